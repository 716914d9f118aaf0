// A worker's thread: what wakes it, what it does in a pass, and what it tells others at the end of one.
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>

#include "worker.hpp"

namespace plane {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Worker::Worker(unsigned number, unsigned worker_count, std::span<const Endpoint> binds, std::size_t tcp_capacity,
               Bell& events_bell, const Kernels& kernels, const NtpClock& ntp)
    : number_{number},
      tcp_{tcp_capacity},
      events_bell_{events_bell},
      kernels_{kernels},
      ntp_{ntp},
      fan_outs_(max_fan_outs) {
    for (unsigned i = 0; i < worker_count; ++i) handovers.push_back(std::make_unique<SpscQueue<Handover>>(4096));
    std::uint16_t port = 0;
    for (const Endpoint& bind : binds) {
        // Port 0 beside another socket of this worker means: the same port as that one.
        Endpoint wanted = bind;
        if (bind.port() == 0 && port != 0) wanted = *Endpoint::from_text(bind.address_text(), port);
        sockets_.push_back(std::make_unique<UdpSocket>(wanted));
        port = sockets_.back()->bound().port();
        if (tcp_capacity == 0) continue;
        const Endpoint& bound = sockets_.back()->bound();
        if (const std::string reason = tcp_.listen(bound); !reason.empty()) tcp_failures_.push_back(bound.text() + ": " + reason);
    }
    for (Received& received : inbox_) received.packet = pool_.take();

    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll_ < 0 || timer_fd_ < 0) fail("epoll or timerfd");
    const auto watch = [&](int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    };
    for (const auto& socket : sockets_) watch(socket->fd());
    watch(tcp_.fd());
    watch(bell.fd());
    watch(timer_fd_);
}

Worker::~Worker() {
    close(timer_fd_);
    close(epoll_);
}

void Worker::discard() {
    for (const auto& queue : handovers) {
        for (std::size_t n = queue->readable(); n > 0; --n) queue->pop();
    }
    for (FanOut& job : fan_outs_) job = {};
    fan_out_count_ = 0;
}

std::vector<Endpoint> Worker::bound() const {
    std::vector<Endpoint> endpoints;
    for (const auto& socket : sockets_) endpoints.push_back(socket->bound());
    return endpoints;
}

void Worker::run(std::span<const std::unique_ptr<Worker>> workers) {
    workers_ = workers;
    pthread_setname_np(pthread_self(), ("plane-" + std::to_string(number_)).c_str());
    std::array<epoll_event, 16> ready;
    while (!stopping_) {
        const bool busy = fan_out_count_ != 0;
        int count = epoll_wait(epoll_, ready.data(), ready.size(), busy ? 0 : -1);
        if (!busy && Clock::now() - awake_ > drowsy_after) {
            nap();
            count = epoll_wait(epoll_, ready.data(), ready.size(), 0);
        }
        for (int i = 0; i < count; ++i) {
            if (ready[static_cast<std::size_t>(i)].data.fd == bell.fd()) bell.clear();
            if (ready[static_cast<std::size_t>(i)].data.fd == tcp_.fd()) tcp_ready_ = true;
            if (ready[static_cast<std::size_t>(i)].data.fd == timer_fd_) {
                std::uint64_t expirations;
                [[maybe_unused]] const auto got = read(timer_fd_, &expirations, sizeof expirations);
                timer_armed_ = {};
            }
        }
        const Instant now = Clock::now();
        drain_queues(now);
        receive(now);
        run_timers(now);
        fan_out();
        finish_pass();
    }
}

void Worker::nap() {
    stats.naps.add(1);
    const timespec length{0, std::chrono::nanoseconds{nap_length}.count()};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, nullptr);
}

void Worker::drain_queues(Instant now) {
    // What is readable is counted before the commands are drained: a packet of a room or a source can then not overtake
    // the command that made it known here, since the control thread sent that first.
    std::array<std::size_t, 64> readable{};
    for (std::size_t i = 0; i < handovers.size(); ++i) readable[i] = handovers[i]->readable();
    drain_commands(now);
    for (std::size_t i = 0; i < handovers.size(); ++i) {
        for (; readable[i] > 0; --readable[i]) {
            Handover handover = handovers[i]->pop();
            on_handover(now, handover);
        }
    }
}

void Worker::drain_commands(Instant now) {
    for (std::size_t n = commands.readable(); n > 0; --n) {
        awake_ = now;
        Command command = commands.pop();
        std::visit([&](auto& c) { on(c, now); }, command);
    }
}

void Worker::run_timers(Instant now) {
    const auto is_due = [&] { return !timers_.empty() && timers_.top().due <= now; };
    while (is_due()) {
        std::array<Timer, timer_batch> batch;
        std::size_t count = 0;
        for (; count < batch.size() && is_due(); timers_.pop()) batch[count++] = timers_.top();
        prefetch_turns({batch.data(), count});
        for (const Timer& timer : std::span{batch}.first(count)) {
            if (timer.is_room) {
                Room* room = find_room(timer.id);
                if (room && room->timer == timer.due) tick(*room, timer.due);  // else it was set anew
            } else if (Peer* peer = find_peer(timer.id); peer && peer->turn == timer.due) {
                take_turn(*peer, now);
            }
        }
    }
}

void Worker::finish_pass() {
    for (const auto& socket : sockets_) {
        socket->finish(stats);
    }
    if (tcp_.has_work()) tcp_.flush(lost_, stats);
    for (const Endpoint& remote : lost_) {
        const auto found = by_address_.find(remote);
        if (found == by_address_.end()) continue;
        found->second->ice.forget(remote);
        by_address_.erase(found);
    }
    lost_.clear();
    for (unsigned i = 0; rung_ != 0; ++i, rung_ >>= 1) {
        if (rung_ & 1) workers_[i]->bell.ring();
    }
    while (!unsent_events_.empty() && events.push(std::move(unsent_events_.front()))) {
        unsent_events_.pop_front();
        events_rung_ = true;
    }
    if (std::exchange(events_rung_, false)) events_bell_.ring();

    if (!timers_.empty() && (timer_armed_ == Instant{} || timers_.top().due < timer_armed_)) {
        timer_armed_ = timers_.top().due;
        const auto since_epoch = timer_armed_.time_since_epoch();
        const auto whole = std::chrono::duration_cast<seconds>(since_epoch);
        itimerspec when{};
        when.it_value.tv_sec = whole.count();
        when.it_value.tv_nsec = std::max<long>(1, std::chrono::duration_cast<nanoseconds>(since_epoch - whole).count());
        timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
    }
    timespec cpu{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    stats.cpu_ns.set(static_cast<std::uint64_t>(cpu.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(cpu.tv_nsec));
}

bool Worker::hand_over(unsigned worker, Handover handover) {
    const bool is_order = handover.kind == Handover::Kind::order;
    const RoomId room = handover.room;
    if (workers_[worker]->handovers[number_]->push(std::move(handover))) {
        rung_ |= std::uint64_t{1} << worker;
        return true;
    }
    if (is_order) {
        find_room(room)->stale_orders |= std::uint64_t{1} << worker;
    } else {
        stats.dropped_overload.add(1);
    }
    return false;
}

void Worker::tell(EventKind kind, std::uint32_t id, Bytes data) {
    Event event{kind, id, {data.begin(), data.end()}};
    if (!unsent_events_.empty() || !events.push(std::move(event))) {
        if (kind != EventKind::datagram) unsent_events_.push_back({kind, id, {}});
    }
    events_rung_ = true;
}

// What cannot be told now is told with his next packet or tick, and waits nowhere.
void Worker::tell_voice(Source& source) {
    if (!source.has_news() || events.free_slots() < 2048) return;
    tell(EventKind::voice, source.config().peer);
    source.told();
}

Peer* Worker::find_peer(PeerId id) noexcept {
    const auto found = peers_.find(id);
    return found == peers_.end() ? nullptr : found->second.get();
}

Room* Worker::find_room(RoomId id) noexcept {
    const auto found = rooms_.find(id);
    return found == rooms_.end() ? nullptr : found->second.get();
}

Source* Worker::find_source(PeerId peer, RoomId room) noexcept {
    const auto found = sources_.find(peer);
    return found == sources_.end() || found->second->room().id() != room ? nullptr : found->second.get();
}

Audience* Worker::find_audience(RoomId id) noexcept {
    const auto found = audiences_.find(id);
    return found == audiences_.end() ? nullptr : found->second.get();
}

}  // namespace plane
