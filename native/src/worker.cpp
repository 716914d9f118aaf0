// A packet's whole way: receive → on_datagram → on_rtp (open, accept) → hear → distribute → fan_out → forward (map, header,
// seal) → send. Two arrows may be queues between workers: to hear, when the publisher has moved to a room whose home is
// another worker, and to fan_out, when listeners sit there. Everything on that way works on bytes and time that it is
// given; this file has the clock.
#include "worker.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <random>
#include <system_error>

#include "prefetch.hpp"

namespace plane {

namespace {

// Batches of receive_batch that one socket may hand in before the others get their turn.
constexpr int receive_rounds = 4;
// An address stays with its peer against the claim of another for so long after its last request: it is a client that
// closed one session and reuses the port, or somebody who forges it.
constexpr Duration address_lease = seconds{10};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// RFC 7983: the first byte says what a datagram is.
enum class Kind { stun, dtls, rtp, rtcp, other };
Kind kind_of(Bytes datagram) noexcept {
    if (datagram.size() < 12) return Kind::other;
    const std::uint8_t first = datagram[0];
    if (first <= 3) return Kind::stun;
    if (first >= 20 && first <= 63) return Kind::dtls;
    if (first < 128 || first > 191) return Kind::other;
    // RFC 5761 section 4: RTCP packet types lie at 192 to 223 of the second byte.
    return datagram[1] >= 192 && datagram[1] <= 223 ? Kind::rtcp : Kind::rtp;
}

}  // namespace

Bell::Bell() : fd_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {
    if (fd_ < 0) fail("eventfd");
}
Bell::~Bell() { close(fd_); }
void Bell::ring() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof one);  // fails only when it rings already
}
void Bell::clear() noexcept {
    std::uint64_t count;
    [[maybe_unused]] const auto got = read(fd_, &count, sizeof count);
}

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

// ---- one pass of the loop ------------------------------------------------------------------------------------------

void Worker::nap() {
    stats.naps.add(1);
    const timespec length{0, std::chrono::nanoseconds{nap_length}.count()};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, nullptr);
}

void Worker::receive(Instant now) {
    for (std::uint8_t s = 0; s < sockets_.size(); ++s) {
        for (int round = 0; round < receive_rounds; ++round) {
            const std::size_t count = sockets_[s]->receive(inbox_);
            stats.datagrams_received.add(count);
            for (std::size_t i = 0; i < count; ++i) {
                stats.bytes_received.add(inbox_[i].packet->size);
                inbox_[i].packet->position.time = now;
                on_datagram(now, inbox_[i].packet, inbox_[i].from, s);
            }
            if (count < receive_batch) break;
        }
    }
    if (std::exchange(tcp_ready_, false)) receive_tcp(now);
}

void Worker::receive_tcp(Instant now) {
    const auto take = [this, now](Bytes bytes, const Endpoint& from, ConnectionId connection) {
        PacketRef& packet = inbox_.front().packet;
        std::copy(bytes.begin(), bytes.end(), packet->bytes.begin());
        packet->size = static_cast<std::uint16_t>(bytes.size());
        packet->position.time = now;
        on_datagram(now, packet, from, connection);
    };
    tcp_.receive(now, take, stats);
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
    while (!timers_.empty() && timers_.top().due <= now) {
        const Timer timer = timers_.top();
        timers_.pop();
        if (timer.is_room) {
            Room* room = find_room(timer.id);
            if (room && room->timer == timer.due) tick(*room, timer.due);  // else it was set anew
        } else if (Peer* peer = find_peer(timer.id)) {
            housekeep(*peer, now);
        }
    }
}

void Worker::fan_out() {
    std::size_t budget = fan_out_slice;
    while (budget > 0 && fan_out_count_ > 0) {
        FanOut& job = fan_outs_[fan_out_head_];
        if (job.audience) {
            const auto& subscribers = job.feed->subscribers;
            const std::size_t end = std::min(subscribers.size(), job.next + budget);
            budget -= end - job.next;
            for (; job.next < end; ++job.next) {
                prefetch_behind(subscribers, job.next);
                const auto [listener, slot] = subscribers[job.next];
                if (listener) forward(*listener, listener->slots[slot], *job.packet, job.position);
            }
            if (job.next < subscribers.size()) break;
            job.audience->finish(*job.feed);
        }
        job = {};
        fan_out_head_ = (fan_out_head_ + 1) % max_fan_outs;
        --fan_out_count_;
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

// ---- a datagram's way in -------------------------------------------------------------------------------------------

void Worker::on_datagram(Instant now, PacketRef& packet, const Endpoint& from, std::uint16_t socket) {
    const Bytes datagram{packet->bytes.data(), packet->size};
    const Kind kind = kind_of(datagram);
    if (kind == Kind::stun) return on_stun(now, datagram, from, socket);
    if (kind == Kind::other) return stats.dropped_malformed.add(1);
    const auto found = by_address_.find(from);
    if (found == by_address_.end()) return stats.dropped_stranger.add(1);
    Peer& peer = *found->second;
    switch (kind) {
        case Kind::dtls:
            awake_ = now;
            return on_dtls(peer, *peer.ice.find(from), datagram);
        case Kind::rtp: return on_rtp(now, peer, packet);
        default: return on_rtcp(now, peer, *packet);
    }
}

void Worker::on_stun(Instant now, Bytes datagram, const Endpoint& from, std::uint16_t socket) {
    const auto request = stun::parse_request(datagram);
    if (!request) return stats.dropped_malformed.add(1);
    auto found = by_ufrag_.find(request->local_ufrag);
    if (found == by_ufrag_.end() && commands.readable() > 0) {
        drain_commands(now);  // the command that makes the peer known may have been sent since the pass began
        found = by_ufrag_.find(request->local_ufrag);
    }
    if (found == by_ufrag_.end()) return stats.dropped_unauthentic.add(1);
    Peer& peer = *found->second;

    const auto known = by_address_.find(from);
    if (known != by_address_.end() && known->second != &peer &&
        now - known->second->ice.find(from)->last_request < address_lease) {
        return stats.dropped_unauthentic.add(1);
    }
    const IceLite::Outcome outcome = peer.ice.request(now, from, socket, datagram, *request);
    if (!outcome.path) {
        stats.dropped_unauthentic.add(1);
        // Smaller than any request that carries a username and integrity, so it amplifies nothing.
        const MutableBytes space = reserve(from, socket);
        return commit(stun::write_error(space, *request, stun::Error::unauthorized, {}), from, socket);
    }
    stats.stun_requests.add(1);
    if (std::exchange(peer.consent_late, false)) tell(EventKind::consent_back, peer.id);
    if (!outcome.retired_ufrag.empty()) by_ufrag_.erase(outcome.retired_ufrag);
    if (outcome.evicted) drop_path(peer, *outcome.evicted, now);
    by_address_[from] = &peer;
    if (from.is_tcp()) tcp_.prove(socket);

    const MutableBytes space = reserve(from, socket);
    std::size_t size;
    if (request->controlled) {
        size = stun::write_error(space, *request, stun::Error::role_conflict, outcome.password);
    } else if (request->unknown_attribute != 0) {
        size = stun::write_error(space, *request, stun::Error::unknown_attribute, outcome.password);
    } else {
        size = stun::write_success(space, request->transaction, from, outcome.password);
    }
    if (peer.ice.allow(*outcome.path, size)) {
        commit(size, from, socket);
    } else {
        stats.dropped_amplification.add(1);
    }
    if (outcome.selected_changed) {
        const bool first = peer.stats->address().empty();
        peer.stats->over_tcp.set(from.is_tcp());
        peer.stats->set_address(from.text());
        tell(first ? EventKind::ice_connected : EventKind::address_changed, peer.id);
    }
}

void Worker::on_dtls(Peer& peer, Path& path, Bytes datagram) {
    path.bytes_received += datagram.size();
    if (peer.handshake_released) return;
    if (peer.handshake_allowance == 0 || events.free_slots() < 4096) return stats.dropped_handshake.add(1);
    --peer.handshake_allowance;
    tell(EventKind::datagram, peer.id, datagram);
}

void Worker::on_rtp(Instant now, Peer& peer, PacketRef& packet) {
    if (!peer.keys) return stats.dropped_early.add(1);
    const std::size_t wire_size = packet->size;
    const auto opened = peer.keys->open.rtp({packet->bytes.data(), packet->size});
    if (!opened) return stats.dropped_unauthentic.add(1);
    note_media(peer);
    stats.rtp_received.add(1);
    peer.stats->packets_received.add(1);
    peer.stats->bytes_received.add(wire_size);
    if (!peer.reception) return;  // a listener that sends

    packet->position.index = opened->index;
    if (!peer.reception->accept(*packet, {packet->bytes.data(), opened->size}, now)) return stats.dropped_malformed.add(1);
    if (peer.reception->misses()) {
        std::array<std::uint8_t, 256> questions;
        send_compound(peer, {questions.data(), write_questions(peer, questions, now)});
    }
    // Whoever forwards keeps this packet; the next datagram goes into another.
    PacketRef fresh = pool_.take();
    if (!fresh) return stats.dropped_overload.add(1);
    if (peer.source) {
        hear(now, *peer.source, packet);
        if (packet.is_shared()) packet = std::move(fresh);
    } else {
        awake_ = now;  // only the home knows whether it sounds
        hand_over(peer.home, {.kind = Handover::Kind::published, .room = peer.room, .peer = peer.id,
                              .packet = std::exchange(packet, std::move(fresh))});
    }
}

void Worker::hear(Instant now, Source& source, const PacketRef& packet) {
    Room& room = source.room();
    source.take(*packet, now);
    const Room::Verdict verdict = room.hear(source, *packet, now);
    tell_voice(source);
    if (verdict == Room::Verdict::inaudible) return stats.dropped_muted.add(1);
    if (verdict == Room::Verdict::order_changed) after_order_change(room, now);
    if (room.active(now)) {
        awake_ = now;
        if (const auto wanted = room.wanted_tick(source)) align_ticks(room, *wanted, now);
        start_ticking(room, now);
    } else if (source.playout) {
        source.playout->pass(now);  // nobody needs a tick: what is silent has nothing to mix
    }
    fill(source, *packet);
    // A copy may have gone in its place: another packet of this index would betray the key stream.
    if (source.passes(packet->position.index)) distribute(room, source_feed(packet->csrcs[0]), packet, packet->position);
}

// What was lost on the publisher's way, and is in this packet again, goes to listeners in a packet of its own.
void Worker::fill(Source& source, const Packet& packet) {
    for (std::size_t i = packet.copy_count; i-- > 0;) {
        const Packet::Copy& copy = packet.copies[i];
        const std::uint64_t index = packet.position.index - copy.distance;
        const auto samples = opus::duration(packet.copy(copy));
        // Which packet it is the copy of is known only where all are of one length.
        if (copy.distance > packet.position.index || !samples || copy.before != *samples * copy.distance) continue;
        if (!source.lacks(index)) continue;
        PacketRef filled = pool_.take();
        if (!filled) return stats.dropped_overload.add(1);
        const Bytes payload = packet.copy(copy);
        std::copy(payload.begin(), payload.end(), filled->bytes.begin());
        filled->payload_offset = 0;
        filled->size = filled->payload_size = copy.size;
        filled->copy_count = 0;
        filled->repeated = false;
        filled->csrc_count = packet.csrc_count;
        filled->csrcs[0] = packet.csrcs[0];
        filled->csrc_levels[0] = packet.csrc_levels[0];
        filled->level = packet.level;
        filled->position = {packet.position.run, index, packet.position.timestamp - copy.before, false, packet.position.time};
        if (source.passes(index)) distribute(source.room(), source_feed(packet.csrcs[0]), filled, filled->position);
        stats.packets_filled.add(1);
    }
}

void Worker::on_handover(Instant now, Handover& handover) {
    switch (handover.kind) {
        case Handover::Kind::published:
            if (Source* source = find_source(handover.peer, handover.room)) return hear(now, *source, handover.packet);
            return stats.dropped_muted.add(1);  // he moved on while it was on its way
        case Handover::Kind::second:
            if (Source* source = find_source(handover.peer, handover.room)) {
                source->tick(now);
                tell_voice(*source);
            }
            break;
        case Handover::Kind::feed:
            awake_ = now;
            start_fan_out(handover);
            break;
        case Handover::Kind::order:
            if (Audience* audience = find_audience(handover.room)) audience->set_order(*handover.order);
            break;
        case Handover::Kind::wish:
            if (Room* room = find_room(handover.room)) room->want_row(row_of(handover.feed), variant_of(handover.feed), now);
            break;
    }
}

void Worker::on_rtcp(Instant now, Peer& peer, Packet& packet) {
    if (!peer.keys) return stats.dropped_early.add(1);
    const auto size = peer.keys->open.rtcp({packet.bytes.data(), packet.size});
    if (!size) return stats.dropped_unauthentic.add(1);
    note_media(peer);
    stats.rtcp_received.add(1);
    const auto reports = read_reports(peer, {packet.bytes.data(), *size}, now, ntp_);
    if (!reports) return;
    if (reports->bye) peer.ice.goodbye(now);
    if (!peer.listener) return;
    if (peer.listener->has_tiers() && peer.stats->tier.get() != static_cast<std::uint32_t>(peer.listener->tier.tier())) change_tier(peer, now);
    for (std::size_t i = 0; i < reports->nack_count; ++i) retransmit(now, peer, reports->nacks[i]);
}

// ---- a packet's way out --------------------------------------------------------------------------------------------

void Worker::distribute(Room& room, FeedKey feed, const PacketRef& packet, const Position& position) {
    std::uint64_t audiences = room.audiences;
    for (unsigned worker = 0; audiences != 0; ++worker, audiences >>= 1) {
        if (!(audiences & 1)) continue;
        if (worker == number_) {
            start_fan_out({.room = room.id(), .feed = feed, .packet = packet, .position = position});
        } else {
            hand_over(worker, {.room = room.id(), .feed = feed, .packet = packet, .position = position});
        }
    }
}

void Worker::start_fan_out(const Handover& handover) {
    Audience* audience = find_audience(handover.room);
    if (!audience) return;
    if (Audience::Feed* feed = audience->feed(handover.feed)) start_fan_out(*audience, *feed, handover.packet, handover.position);
    if (is_row(handover.feed)) return;
    for (const Tier tier : {Tier::lossy, Tier::very_lossy}) {
        Audience::Feed* feed = audience->feed(source_feed(csrc_of(handover.feed), {tier, true}));
        if (!feed) continue;
        const PacketRef packet = Audience::with_copies(*feed, handover.packet, handover.position, pool_);
        stats.packets_red.add(packet->red_frames != 0 ? 1 : 0);
        start_fan_out(*audience, *feed, packet, handover.position);
    }
}

void Worker::start_fan_out(Audience& audience, Audience::Feed& feed, const PacketRef& packet, const Position& position) {
    if (fan_out_count_ == max_fan_outs) return stats.dropped_overload.add(1);
    ++feed.fan_outs;
    if (feed.history) feed.history->record(*packet, position);
    fan_outs_[(fan_out_head_ + fan_out_count_++) % max_fan_outs] = {packet, position, &audience, &feed, 0};
}

// A listener's state is spread over a dozen lines of memory, which 20 ms of other work have driven out of the nearer caches.
// Each step reads what an earlier one has asked for, 2 packets before.
void Worker::prefetch_behind(std::span<const Audience::Subscriber> subscribers, std::size_t next) noexcept {
    const auto behind = [&](std::size_t steps, auto&& ask) {
        if (next + steps >= subscribers.size() || !subscribers[next + steps].listener) return;
        ask(*subscribers[next + steps].listener, subscribers[next + steps].slot);
    };
    const auto seal = [](const Listener& listener, srtp::Sealer::Ahead ahead) {
        if (listener.peer->keys) listener.peer->keys->seal.prefetch(ahead);
    };
    behind(12, [](const Listener& listener, std::uint32_t) { prefetch(&listener); });
    behind(10, [](const Listener& listener, std::uint32_t slot) {
        prefetch(listener.peer, Peer::sending_size);
        prefetch(&listener.slots[slot]);
    });
    behind(8, [](const Listener& listener, std::uint32_t) {
        if (listener.peer->keys) prefetch(listener.peer->keys.get());
        prefetch(listener.peer->stats.get(), 64);
    });
    behind(6, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Sealer::Ahead::state); });
    behind(4, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Sealer::Ahead::transform); });
    behind(2, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Sealer::Ahead::cipher); });
}

void Worker::forward(Listener& listener, Slot& slot, const Packet& packet, const Position& position) {
    Peer& peer = *listener.peer;
    Path* path = peer.ice.selected();
    if (!peer.keys || !path) return;
    const auto mapped = slot.map(position);
    if (!mapped) return;
    const bool mixed = listener.row.has_value();
    if (!send_rtp(peer, *path, slot, *mapped, packet, position.time, mixed ? &stats.mix_residence : &stats.residence)) return;
    slot.count(packet.payload_size);
    (mixed ? stats.packets_mixed : stats.packets_forwarded).add(1);
}

bool Worker::send_rtp(Peer& peer, const Path& path, const Slot& slot, const Slot::Mapped& mapped, const Packet& packet,
                      Instant since, Histogram* histogram) {
    const MutableBytes space = reserve(path.remote, path.socket);
    const std::size_t header_size = slot.write_header(space, mapped, packet);
    const Bytes payload = slot.payload(packet, space.subspan(header_size));
    const std::size_t size = peer.keys->seal.rtp(mapped.index, header_size, payload, space);
    if (header_size == 0 || size == 0) {
        stats.dropped_malformed.add(1);
        return false;
    }
    commit(size, path.remote, path.socket, since, histogram);
    peer.stats->packets_sent.add(1);
    peer.stats->bytes_sent.add(size);
    return true;
}

bool Worker::want_row(Peer& peer, Instant now) {
    if (!peer.listener || !peer.listener->row) return true;
    Audience* audience = find_audience(peer.room);
    const FeedKey key = peer.listener->slots[0].feed;
    Audience::Feed* feed = audience ? audience->feed(key) : nullptr;
    if (!feed || now - feed->wanted < wish_interval) return true;
    if (audience->home() == number_) {
        if (Room* room = find_room(peer.room)) room->want_row(row_of(key), variant_of(key), now);
    } else if (!hand_over(audience->home(), {.kind = Handover::Kind::wish, .room = peer.room, .feed = key})) {
        return false;
    }
    feed->wanted = now;
    return true;
}

void Worker::change_tier(Peer& peer, Instant now) {
    Listener& listener = *peer.listener;
    Audience* audience = find_audience(peer.room);
    if (!audience) return;
    count_tier(peer, -1);
    peer.stats->tier.set(static_cast<std::uint32_t>(listener.tier.tier()));
    count_tier(peer, 1);
    audience->reassign(listener);
    want_row(peer, now);
}

void Worker::count_tier(const Peer& peer, int change) noexcept {
    const auto tier = static_cast<Tier>(peer.stats->tier.get());
    if (tier == Tier::clean) return;
    (tier == Tier::lossy ? stats.listeners_lossy : stats.listeners_very_lossy).add(static_cast<std::uint64_t>(change));
}

void Worker::retransmit(Instant now, Peer& peer, const rtcp::Nack& nack) {
    auto& slots = peer.listener->slots;
    const auto slot = std::find_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.config().ssrc == nack.ssrc; });
    if (slot == slots.end() || !slot->config().nack) return;
    for (unsigned bit = 0; bit <= 16; ++bit) {
        if (bit != 0 && (nack.following >> (bit - 1) & 1) == 0) continue;
        stats.packets_nacked.add(1);
        peer.stats->packets_nacked.add(1);
        if (!retransmit(now, peer, *slot, static_cast<std::uint16_t>(nack.sequence + bit))) continue;
        stats.packets_retransmitted.add(1);
        peer.stats->packets_retransmitted.add(1);
    }
}

bool Worker::retransmit(Instant now, Peer& peer, Slot& slot, std::uint16_t sequence) {
    const Path* path = peer.ice.selected();
    const auto sent = slot.sent(sequence);
    // The allowance is asked first: it bounds what a client can make us look up, too.
    if (!path || !sent || !slot.may_repeat(*sent, now)) return false;
    const Audience* audience = find_audience(sent->run.room);
    const History* history = audience ? audience->history(sent->run.feed) : nullptr;
    if (!history || !history->recall(sent->run.run, sent->feed_index(), recalled_)) return false;
    if (now - recalled_.position.time > useful_age) return false;
    return send_rtp(peer, *path, slot, Slot::map_again(*sent, recalled_.position), recalled_, {}, nullptr);
}

MutableBytes Worker::reserve(const Endpoint& to, std::uint16_t socket) noexcept {
    return to.is_tcp() ? tcp_.reserve() : sockets_[socket]->reserve(stats);
}

void Worker::commit(std::size_t size, const Endpoint& to, std::uint16_t socket, Instant since, Histogram* histogram) noexcept {
    if (to.is_tcp()) return tcp_.commit(size, to, socket, stats);
    sockets_[socket]->commit(size, to, since, histogram);
}

void Worker::send_now(Peer& peer, Bytes datagram) {
    Path* path = peer.ice.selected();
    if (!path || datagram.size() > max_datagram) return;
    if (!peer.ice.allow(*path, datagram.size())) return stats.dropped_amplification.add(1);
    const MutableBytes space = reserve(path->remote, path->socket);
    std::copy(datagram.begin(), datagram.end(), space.begin());
    commit(datagram.size(), path->remote, path->socket);
}

void Worker::send_compound(Peer& peer, Bytes compound) {
    Path* path = peer.ice.selected();
    if (!peer.keys || !path || compound.empty()) return;
    const std::size_t size = peer.keys->seal.rtcp(compound, reserve(path->remote, path->socket));
    if (size != 0) commit(size, path->remote, path->socket);
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

void Worker::publish_order(Room& room, Instant now) {
    const auto order = std::make_shared<const std::vector<std::uint32_t>>(room.order());
    std::uint64_t audiences = std::exchange(room.stale_orders, 0) & room.audiences;
    for (unsigned worker = 0; audiences != 0; ++worker, audiences >>= 1) {
        if (!(audiences & 1)) continue;
        if (worker == number_) {
            if (Audience* audience = find_audience(room.id())) audience->set_order(*order);
        } else {
            hand_over(worker, {.kind = Handover::Kind::order, .room = room.id(), .order = order});
        }
    }
    if (room.stale_orders != 0) start_ticking(room, now);  // a full queue: the tick tries again
}

void Worker::after_order_change(Room& room, Instant now) {
    stats.ranking_changes.add(1);
    room.stale_orders = room.audiences;
    publish_order(room, now);
    start_ticking(room, now);
}

void Worker::tick(Room& room, Instant due) {
    const Instant begin = Clock::now();
    stats.room_ticks.add(1);
    stats.tick_lateness.record(begin - due);
    room.timer = {};
    room.last_tick = due;
    room.aligned = false;
    if (room.tick(due)) after_order_change(room, due);
    room.each_source([&](Source& source) { tell_voice(source); });
    if (room.stale_orders != 0) publish_order(room, due);
    room.mix(due, pool_, mixed_, stats);
    for (const Mixer::Output& output : mixed_) distribute(room, row_feed(output.row, output.variant), output.packet, output.position);
    mixed_.clear();
    tell_happenings(room);
    count_mixes(room);
    const Instant end = Clock::now();
    stats.tick_duration.record(end - begin);
    const bool active = room.active(due);
    if (active) awake_ = begin;
    if (active || room.stale_orders != 0) {
        set_room_timer(room, next_tick(room, end));
    } else if (const auto next = room.next_due()) {
        set_room_timer(room, next_tick(room, *next));
    }
}

void Worker::tell_happenings(Room& room) {
    for (const Happening& happening : room.take_happenings()) {
        switch (happening.kind) {
            case Happening::Kind::starved: tell(EventKind::deck_starved, happening.id); break;
            case Happening::Kind::resumed: tell(EventKind::deck_resumed, happening.id); break;
            case Happening::Kind::ended: tell(EventKind::deck_ended, happening.id); break;
            case Happening::Kind::effect_ended: tell(EventKind::effect_ended, happening.id); break;
        }
    }
}

void Worker::count_mixes(Room& room) {
    stats.mixes.set(stats.mixes.get() - std::exchange(room.counted_mixes, room.mixes()) + room.mixes());
}

void Worker::start_ticking(Room& room, Instant now) {
    const Instant next = next_tick(room, now);
    if (room.timer == Instant{} || room.timer > next) set_room_timer(room, next);
}

// A room that says nothing may tick at any phase, and takes the one at which its first speaker's packets are due: they wait for no
// tick then. The first of several has it; else each would put the tick off.
void Worker::align_ticks(Room& room, Instant wanted, Instant now) {
    if (std::exchange(room.aligned, true)) return;
    const Duration interval = room.tick_interval();
    room.phase = wanted.time_since_epoch() % interval;
    // Not sooner after the last than a frame lasts: what that one said is not over.
    set_room_timer(room, next_tick(room, std::max(now, room.last_tick + interval - nanoseconds{1})));
}

void Worker::set_room_timer(Room& room, Instant due) {
    room.timer = due;
    timers_.push({due, true, room.id()});
}

Instant Worker::next_tick(const Room& room, Instant now) const {
    // Each room has a phase of its own, so that their ticks do not fall together: at first anyone, then its first speaker's.
    const auto interval = std::chrono::duration_cast<nanoseconds>(room.tick_interval()).count();
    const auto anyone = static_cast<std::int64_t>(room.id() * 0x9E3779B97F4A7C15ULL >> 32) * interval >> 32;
    const auto phase = room.phase ? std::chrono::duration_cast<nanoseconds>(*room.phase).count() % interval : anyone;
    const auto since_epoch = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
    return Instant{nanoseconds{(since_epoch - phase) / interval * interval + interval + phase}};
}

// ---- small change ---------------------------------------------------------------------------------------------------

void Worker::note_media(Peer& peer) {
    if (!std::exchange(peer.media_seen, true)) tell(EventKind::media, peer.id);
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
