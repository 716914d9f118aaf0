#include "generator.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace load {

using namespace plane;

namespace {

constexpr std::uint64_t bell_key = ~std::uint64_t{0};
constexpr int max_ready = 256;       // sockets in one pass
constexpr std::size_t datagram_size = 2048;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

double thread_cpu_s() noexcept {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
}

}  // namespace

// A client, its socket, and the way of its words to the generator.
class Generator::Peer final : public Outbox {
public:
    Peer(Generator& generator, ClientId id, ClientConfig config, Instant now)
        : up{generator.up_, Random{generator.seed_ ^ (std::uint64_t{id} << 1)}.bits()},
          down{generator.down_, Random{generator.seed_ ^ (std::uint64_t{id} << 1 | 1)}.bits()},
          client{std::move(config), now},
          generator_{generator},
          id_{id} {
        fd = socket(generator.bind_.is_ipv6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) fail("no socket for another peer");
        if (bind(fd, generator.bind_.raw(), generator.bind_.raw_size()) != 0) {
            const int error = errno;
            close();
            errno = error;
            fail("cannot bind a peer's socket to " + generator.bind_.address_text());
        }
        Stamps::ask(fd);
    }
    ~Peer() override { close(); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void close() noexcept {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }

    bool send(const Endpoint& to, Bytes datagram) override {
        if (up.config().clean()) return put(to, datagram), true;
        Measured& measured = generator_.measured_;
        const Instant now = Clock::now();
        const auto arrivals = up.pass(now);
        measured.modelled_lost_up += arrivals.empty();
        measured.modelled_twice_up += arrivals.size() > 1;
        bool any = false;
        for (const Instant arrival : arrivals) {
            if (arrival <= now) {
                put(to, datagram);
                any = true;
            } else {
                any |= generator_.hold(arrival, id_, Held::Fate::up, to, datagram);
            }
        }
        return any;
    }

    void put(const Endpoint& to, Bytes datagram) {
        if (fd < 0) return;
        const ssize_t sent = sendto(fd, datagram.data(), datagram.size(), 0, to.raw(), to.raw_size());
        if (sent < 0) {
            ++generator_.send_failures_;
        } else {
            ++generator_.measured_.datagrams_sent;
        }
    }

    void tell(Happened what, Bytes data) override {
        if (generator_.events_.size() >= max_events) {
            ++generator_.events_dropped_;
            return;
        }
        if (generator_.events_.empty()) generator_.events_bell_.ring();
        generator_.events_.push_back({what, id_, {data.begin(), data.end()}});
    }

    int fd = -1;
    Path up, down;
    Client client;
    Instant scheduled = Instant::max();

    ClientId id() const noexcept { return id_; }

private:
    Generator& generator_;
    ClientId id_;
};

Generator::Generator(const std::string& bind, const PathConfig& up, const PathConfig& down, std::uint64_t seed)
    : up_{up}, down_{down}, seed_{seed} {
    const auto endpoint = Endpoint::from_text(bind, 0);
    if (!endpoint) throw std::invalid_argument("not an IP address: " + bind);
    bind_ = *endpoint;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll");
    epoll_event event{.events = EPOLLIN, .data = {.u64 = bell_key}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_.fd(), &event);
}

Generator::~Generator() {
    stop();
    peers_.clear();
    if (epoll_ >= 0) close(epoll_);
}

void Generator::start() {
    if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
}

void Generator::stop() {
    stopping_ = true;
    bell_.ring();
    if (thread_.joinable()) thread_.join();
}

std::vector<Event> Generator::poll() {
    const std::lock_guard lock{mutex_};
    events_bell_.clear();
    return std::exchange(events_, {});
}

ClientId Generator::add(ClientConfig config) {
    if (config.speaking) {
        if (!config.speaking->sound || config.speaking->sound->frames.empty()) throw std::invalid_argument("a speaker needs a sound");
        std::array<std::uint8_t, 1500> out;
        for (const Frame& frame : config.speaking->sound->frames) {
            if (frame.payload.size() > 1275 || write_marked(out, frame.payload, {}) == 0) {
                throw std::invalid_argument("a sound's packets have one frame of Opus each");
            }
        }
    }
    for (const Endpoint& candidate : config.agent.candidates) {
        if (candidate.is_ipv6() != bind_.is_ipv6()) throw std::invalid_argument("a candidate is of another family than the sockets");
    }
    const std::lock_guard lock{mutex_};
    const auto id = static_cast<ClientId>(peers_.size());
    const std::uint32_t room = config.speaking ? config.speaking->room : config.hearing ? config.hearing->room : 0;
    std::shared_ptr<Board>& board = boards_[room];
    if (!board) board = std::make_shared<Board>();
    if (config.speaking) config.speaking->board = board;
    if (config.hearing) config.hearing->board = board;
    auto peer = std::make_unique<Peer>(*this, id, std::move(config), Clock::now());
    epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, peer->fd, &event) != 0) fail("epoll");
    peers_.push_back(std::move(peer));
    schedule(id);
    bell_.ring();
    return id;
}

void Generator::send(ClientId client, Bytes datagram) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    peer.client.send(datagram, peer);
    if (!held_.empty()) bell_.ring();  // the loop may wait for something later
}

bool Generator::set_keys(ClientId client, srtp::Profile profile, Bytes material, bool we_are_client) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    const bool before = peer.client.connected();
    if (!peer.client.set_keys(Clock::now(), profile, material, we_are_client)) return false;
    if (!before && peer.client.connected()) ++measured_.connected;
    schedule(client);
    bell_.ring();
    return true;
}

void Generator::leave(ClientId client) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    peer.client.leave(peer);
    peer.close();
}

void Generator::hush() {
    const std::lock_guard lock{mutex_};
    for (const auto& peer : peers_) peer->client.hush();
}

Snapshot Generator::snapshot() {
    const std::lock_guard lock{mutex_};
    Snapshot result{measured_, {}, 0, cpu_s_, send_failures_, events_dropped_};
    for (const auto& peer : peers_) {
        const Hearing* hearing = peer->client.hearing();
        if (!hearing) continue;
        result.tally += hearing->tally();
        result.silent += peer->client.connected() && hearing->first() == Instant{};
    }
    return result;
}

Outcome Generator::outcome(ClientId client) {
    const std::lock_guard lock{mutex_};
    const Client& peer = peers_.at(client)->client;
    if (const Hearing* hearing = peer.hearing()) {
        const Tally tally = hearing->tally();
        return {true, peer.connected(), hearing->first(), hearing->last(), tally.packets, tally};
    }
    return {false, peer.connected(), {}, peer.last_sent(), peer.packets_sent(), {}};
}

std::size_t Generator::clients() {
    const std::lock_guard lock{mutex_};
    return peers_.size();
}

void Generator::run() {
    std::array<epoll_event, max_ready> ready;
    std::unique_lock lock{mutex_};
    while (!stopping_) {
        const Instant now = Clock::now();
        release(now);
        advance(now);
        cpu_s_ = thread_cpu_s();
        Instant next = timers_.empty() ? Instant::max() : timers_.top().due;
        if (!held_.empty()) next = std::min(next, held_.front().due);
        timespec wait{1, 0};
        if (next != Instant::max()) {
            const auto ns = std::clamp<std::int64_t>((next - Clock::now()) / nanoseconds{1}, 0, 999'999'999);
            wait = {0, static_cast<long>(ns)};
        }
        lock.unlock();
        const int count = epoll_pwait2(epoll_, ready.data(), max_ready, &wait, nullptr);
        lock.lock();
        for (int i = 0; i < count; ++i) {
            const std::uint64_t key = ready[static_cast<std::size_t>(i)].data.u64;
            if (key == bell_key) {
                bell_.clear();
            } else {
                receive(static_cast<ClientId>(key));
            }
        }
    }
    cpu_s_ = thread_cpu_s();
}

void Generator::receive(ClientId id) {
    Peer& peer = *peers_[id];
    if (peer.fd < 0) return;
    // One: to ask for more that is rarely there would cost as much again, and epoll tells of the rest in the next pass.
    std::array<std::uint8_t, datagram_size> datagram;
    alignas(cmsghdr) std::array<std::uint8_t, Stamps::control_size> control;
    Endpoint from;
    iovec vector{datagram.data(), datagram.size()};
    msghdr message{};
    message.msg_name = from.raw();
    message.msg_namelen = Endpoint::capacity;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(peer.fd, &message, 0);
    if (got < 0) return;  // the echo of an ICMP error
    ++measured_.datagrams_received;
    // When the kernel had it: what waited in our own sockets is no delay of the server's.
    const Instant read = Clock::now();
    const Instant arrival = stamps_.arrival(message, read);
    measured_.queue.record(read - arrival);
    const MutableBytes data = MutableBytes{datagram}.first(static_cast<std::size_t>(got));
    if (peer.down.config().clean()) return deliver(peer, arrival, read - arrival, from, data);

    const auto arrivals = peer.down.pass(arrival);
    if (arrivals.empty()) {
        ++measured_.modelled_lost_down;
        // Not before those that came before it.
        const Instant missed = std::max(arrival, peer.down.last());
        if (missed <= read || !hold(missed, id, Held::Fate::lost, from, data)) peer.client.lose(missed, data);
        return;
    }
    // Of a copy, every protocol here throws away the second; counted as received it would be the server's fault.
    measured_.modelled_twice_down += arrivals.size() > 1;
    const Instant heard = arrivals.front();
    if (heard <= read) return deliver(peer, heard, read - heard, from, data);
    if (!hold(heard, id, Held::Fate::down, from, data)) peer.client.lose(arrival, data);
}

void Generator::deliver(Peer& peer, Instant arrival, Duration waited, const Endpoint& from, MutableBytes datagram) {
    peer.client.receive(arrival, from, datagram, peer, measured_, waited);
    schedule(peer.id());
}

bool Generator::hold(Instant due, ClientId client, Held::Fate fate, const Endpoint& other, Bytes data) {
    if (held_.size() >= max_held) {
        ++measured_.modelled_overflow;
        return false;
    }
    held_.push_back({due, held_ever_++, client, fate, other, {data.begin(), data.end()}});
    std::push_heap(held_.begin(), held_.end(), std::greater<>{});
    return true;
}

void Generator::release(Instant now) {
    while (!held_.empty() && held_.front().due <= now) {
        std::pop_heap(held_.begin(), held_.end(), std::greater<>{});
        Held held = std::move(held_.back());
        held_.pop_back();
        Peer& peer = *peers_[held.client];
        if (peer.fd < 0) continue;
        switch (held.fate) {
            case Held::Fate::up:
                measured_.lateness.record(now - held.due);
                peer.put(held.other, held.data);
                break;
            case Held::Fate::down: deliver(peer, held.due, now - held.due, held.other, held.data); break;
            case Held::Fate::lost: peer.client.lose(held.due, held.data); break;
        }
    }
}

void Generator::advance(Instant now) {
    while (!timers_.empty() && timers_.top().due <= now) {
        const Timer timer = timers_.top();
        timers_.pop();
        Peer& peer = *peers_[timer.client];
        if (peer.scheduled != timer.due) continue;  // there is another one
        peer.scheduled = Instant::max();
        peer.client.advance(now, peer, measured_);
        schedule(timer.client);
    }
}

void Generator::schedule(ClientId id) {
    Peer& peer = *peers_[id];
    const Instant due = peer.client.due();
    if (due >= peer.scheduled) return;
    peer.scheduled = due;
    timers_.push({due, id});
}

}  // namespace load
