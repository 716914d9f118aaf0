// A packet's whole way: receive → on_datagram → on_rtp (open, accept) → hear → distribute → fan_out → forward (map, header,
// seal) → send. Two arrows may be queues between workers: to hear, when the publisher has moved to a room whose home is
// another worker, and to fan_out, when listeners sit there. Everything on that way works on bytes and time that it is
// given; this file has the clock.
#include "worker.hpp"

#include <algorithm>

namespace plane {

namespace {

// Batches of receive_batch that one socket may hand in before the others get their turn.
constexpr int receive_rounds = 4;

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

// ---- a datagram's way in -------------------------------------------------------------------------------------------

void Worker::receive(Instant now) {
    for (std::uint8_t s = 0; s < sockets_.size(); ++s) {
        for (int round = 0; round < receive_rounds; ++round) {
            const std::size_t count = sockets_[s]->receive(inbox_);
            stats.datagrams_received.add(count);
            prefetch_senders(count);
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
            return on_dtls(now, peer, *peer.ice.find(from), datagram);
        case Kind::rtp: return on_rtp(now, peer, packet);
        default: return on_rtcp(now, peer, *packet);
    }
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
    // What is encrypted end to end may be loud without saying so.
    if (packet->level.level <= Peer::loud_level || peer.reception->config().opaque) rouse(peer, now);
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

void Worker::on_handover(Instant now, Handover& handover) {
    switch (handover.kind) {
        case Handover::Kind::published:
            if (Source* source = find_source(handover.peer, handover.room)) return hear(now, *source, handover.packet);
            return stats.dropped_muted.add(1);  // he moved on while it was on its way
        case Handover::Kind::turn:
            if (Source* source = find_source(handover.peer, handover.room)) {
                source->tick(now);
                tell_voice(*source);
            }
            break;
        case Handover::Kind::feed:
            awake_ = now;
            if (Audience* audience = find_audience(handover.room)) {
                start_fan_out(*audience, handover.feed, handover.packet, handover.position);
            }
            break;
        case Handover::Kind::order:
            if (Audience* audience = find_audience(handover.room)) audience->set_order(*handover.order);
            break;
        case Handover::Kind::wish:
            if (Room* room = find_room(handover.room)) room->want_row(row_of(handover.feed), variant_of(handover.feed), now);
            break;
    }
}

// ---- a packet's way out --------------------------------------------------------------------------------------------

void Worker::distribute(Room& room, FeedKey feed, const PacketRef& packet, const Position& position) {
    std::uint64_t audiences = room.audiences;
    for (unsigned worker = 0; audiences != 0; ++worker, audiences >>= 1) {
        if (!(audiences & 1)) continue;
        if (worker == number_) {
            start_fan_out(*room.here, feed, packet, position);
        } else {
            hand_over(worker, {.room = room.id(), .feed = feed, .packet = packet, .position = position});
        }
    }
}

void Worker::start_fan_out(Audience& audience, FeedKey key, const PacketRef& packet, const Position& position) {
    if (Audience::Feed* feed = audience.feed(key)) start_fan_out(audience, *feed, packet, position);
    if (is_row(key)) return;
    for (const Tier tier : {Tier::lossy, Tier::very_lossy}) {
        Audience::Feed* feed = audience.feed(source_feed(csrc_of(key), {tier, true}));
        if (!feed) continue;
        const PacketRef with_copies = Audience::with_copies(*feed, packet, position, pool_);
        stats.packets_red.add(with_copies->red_frames != 0 ? 1 : 0);
        start_fan_out(audience, *feed, with_copies, position);
    }
}

void Worker::start_fan_out(Audience& audience, Audience::Feed& feed, const PacketRef& packet, const Position& position) {
    if (fan_out_count_ == max_fan_outs) return stats.dropped_overload.add(1);
    ++feed.fan_outs;
    if (feed.history) feed.history->record(*packet, position);
    fan_outs_[(fan_out_head_ + fan_out_count_++) % max_fan_outs] = {packet, position, &audience, &feed, 0};
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

MutableBytes Worker::reserve(const Endpoint& to, std::uint16_t socket) noexcept {
    return to.is_tcp() ? tcp_.reserve() : sockets_[socket]->reserve(stats);
}

void Worker::commit(std::size_t size, const Endpoint& to, std::uint16_t socket, Instant since, Histogram* histogram) noexcept {
    if (to.is_tcp()) return tcp_.commit(size, to, socket, stats);
    sockets_[socket]->commit(size, to, since, histogram);
}

}  // namespace plane
