#include "audience.hpp"

#include <algorithm>
#include <utility>

namespace plane {

void Audience::add(Listener& listener) {
    listener.audience = this;
    listeners_.push_back(&listener);
    reassign(listener);
}

void Audience::remove(Listener& listener) {
    for (std::uint32_t slot = 0; slot < listener.slots.size(); ++slot) unsubscribe(listener, slot);
    std::erase(listeners_, &listener);
    listener.audience = nullptr;
}

void Audience::set_order(std::span<const std::uint32_t> csrcs) {
    order_.assign(csrcs.begin(), csrcs.end());
    for (Listener* listener : listeners_) reassign(*listener);
}

void Audience::reassign(Listener& listener) {
    const auto audible = [&](std::uint32_t csrc) { return std::find(order_.begin(), order_.end(), csrc) != order_.end(); };
    if (listener.row) return carry(listener, 0, listener.row_feed());
    if (!listener.named.empty()) {
        for (std::uint32_t slot = 0; slot < listener.slots.size(); ++slot) {
            const std::uint32_t wanted = slot < listener.named.size() ? listener.named[slot] : 0;
            carry_source(listener, slot, wanted != listener.csrc && audible(wanted) ? wanted : 0);
        }
        return;
    }

    // The best-ranked that fit, its own voice left out. Who has a slot keeps it; the others fill what is free.
    const std::size_t slots = listener.slots.size();
    std::array<std::uint32_t, max_slots> wanted{};
    std::size_t count = 0;
    for (std::uint32_t csrc : order_) {
        if (count == slots) break;
        if (csrc != listener.csrc) wanted[count++] = csrc;
    }
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
        const auto end = wanted.begin() + static_cast<std::ptrdiff_t>(count);
        const FeedKey carried = listener.slots[slot].feed;
        if (carried == 0) continue;
        const auto kept = std::find(wanted.begin(), end, csrc_of(carried));
        if (kept == end) {
            unsubscribe(listener, slot);
        } else {
            carry_source(listener, slot, std::exchange(*kept, 0));  // has its slot already
        }
    }
    std::uint32_t slot = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (wanted[i] == 0) continue;
        while (listener.slots[slot].feed != 0) ++slot;
        carry_source(listener, slot, wanted[i]);
    }
}

Audience::Feed* Audience::feed(FeedKey key) noexcept {
    const auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.key == key; });
    return found == feeds_.end() || found->live() == 0 ? nullptr : &*found;
}

const History* Audience::history(FeedKey key) const noexcept {
    const auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.key == key; });
    return found == feeds_.end() ? nullptr : found->history.get();
}

void Audience::finish(Feed& feed) noexcept {
    if (--feed.fan_outs != 0 || feed.holes.empty()) return;
    // Fill each hole with the last subscriber.
    std::sort(feed.holes.begin(), feed.holes.end(), std::greater<>{});
    for (std::uint32_t hole : feed.holes) {
        const Subscriber last = feed.subscribers.back();
        feed.subscribers.pop_back();
        if (hole == feed.subscribers.size()) continue;
        feed.subscribers[hole] = last;
        last.listener->slots[last.slot].place = hole;
    }
    feed.holes.clear();
}

void Audience::carry(Listener& listener, std::uint32_t slot, FeedKey key) {
    if (listener.slots[slot].feed == key) return;
    unsubscribe(listener, slot);
    if (key != 0) subscribe(listener, slot, key);
}

void Audience::carry_source(Listener& listener, std::uint32_t slot, std::uint32_t csrc) {
    if (csrc == 0) return carry(listener, slot, 0);
    carry(listener, slot, opaque_ ? source_feed(csrc) : listener.source_feed(listener.slots[slot], csrc));
}

PacketRef Audience::with_copies(Feed& feed, const PacketRef& packet, const Position& position, PacketPool& pool) noexcept {
    if (position.run != feed.last.run) {
        feed.recent = {};
    } else if (position.index <= feed.last.index) {
        return packet;  // it came late: those behind it have been repeated without it
    }
    PacketRef out = pool.take();
    if (!out || !red::write(*out, feed.recent, variant_of(feed.key).redundancy(), *packet, position.timestamp)) {
        out = packet;
    } else {
        out->csrcs = packet->csrcs;
        out->csrc_levels = packet->csrc_levels;
        out->csrc_count = packet->csrc_count;
        out->level = packet->level;
    }
    feed.recent.add(packet, position.timestamp);
    feed.last = position;
    return out;
}

void Audience::subscribe(Listener& listener, std::uint32_t slot, FeedKey key) {
    auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.key == key; });
    if (found == feeds_.end()) {
        // Of those that nobody carries any more the one that was left first serves again, so that a room of ever new speakers
        // does not grow.
        std::size_t idle = 0;
        for (auto feed = feeds_.begin(); feed != feeds_.end(); ++feed) {
            if (feed->live() != 0 || feed->fan_outs != 0) continue;
            ++idle;
            if (found == feeds_.end() || feed->left < found->left) found = feed;
        }
        if (idle <= max_idle_feeds) found = feeds_.emplace(feeds_.end());
        found->key = key;
        found->wanted = {};
        found->last = {};
        if (found->history) found->history->clear();
    }
    if (listener.slots[slot].config().nack && !found->history) found->history = std::make_unique<History>();
    listener.slots[slot].feed = key;
    listener.slots[slot].room = room_;
    listener.slots[slot].place = static_cast<std::uint32_t>(found->subscribers.size());
    listener.slots[slot].turn();
    found->subscribers.push_back({&listener, slot});
}

void Audience::unsubscribe(Listener& listener, std::uint32_t slot) {
    const FeedKey key = listener.slots[slot].feed;
    if (key == 0) return;
    listener.slots[slot].feed = 0;
    const auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.key == key; });
    const std::uint32_t place = listener.slots[slot].place;
    found->subscribers[place] = {};
    found->holes.push_back(place);
    if (found->live() == 0) {
        found->left = ++departures_;
        found->recent = {};  // packets that are kept stand in the way of the pool's next lap
        found->last = {};
    }
    ++found->fan_outs;  // finish() closes the hole at once when no other fan-out is under way
    finish(*found);
}

}  // namespace plane
