// What is done about loss: copies of what a speaker's packets lost, packets that are sent again, and which variants of its mix
// a room is asked for.
#include <algorithm>

#include "worker.hpp"

namespace plane {

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

bool Worker::want_row(Peer& peer, Instant now) {
    if (!peer.listener || !peer.listener->row) return true;
    Audience* audience = peer.listener->audience;
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
    Audience* audience = listener.audience;
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

}  // namespace plane
