#include "audience.hpp"

#include <algorithm>

namespace plane {

void Audience::add(Listener& listener) {
    listeners_.push_back(&listener);
    reassign(listener);
}

void Audience::remove(Listener& listener) {
    for (std::uint32_t slot = 0; slot < listener.slots.size(); ++slot) unsubscribe(listener, slot);
    std::erase(listeners_, &listener);
}

void Audience::set_order(std::span<const std::uint32_t> csrcs) {
    order_.assign(csrcs.begin(), csrcs.end());
    for (Listener* listener : listeners_) reassign(*listener);
}

void Audience::reassign(Listener& listener) {
    const auto audible = [&](std::uint32_t csrc) { return std::find(order_.begin(), order_.end(), csrc) != order_.end(); };
    if (!listener.named.empty()) {
        for (std::uint32_t slot = 0; slot < listener.slots.size(); ++slot) {
            const std::uint32_t wanted = slot < listener.named.size() ? listener.named[slot] : 0;
            if (listener.slots[slot].csrc == wanted && audible(wanted)) continue;
            unsubscribe(listener, slot);
            if (wanted != listener.csrc && audible(wanted)) subscribe(listener, slot, wanted);
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
        const auto kept = std::find(wanted.begin(), end, listener.slots[slot].csrc);
        if (kept == end) {
            unsubscribe(listener, slot);
        } else {
            *kept = 0;  // has its slot already
        }
    }
    std::uint32_t slot = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (wanted[i] == 0) continue;
        while (listener.slots[slot].csrc != 0) ++slot;
        subscribe(listener, slot, wanted[i]);
    }
}

Audience::Feed* Audience::feed(std::uint32_t csrc) noexcept {
    const auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.csrc == csrc; });
    return found == feeds_.end() || found->live() == 0 ? nullptr : &*found;
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
        last.listener->slots[last.slot].position = hole;
    }
    feed.holes.clear();
}

void Audience::subscribe(Listener& listener, std::uint32_t slot, std::uint32_t csrc) {
    auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.csrc == csrc; });
    if (found == feeds_.end()) {
        // One that nobody carries any more serves again, so that a room of ever new speakers does not grow.
        found = std::find_if(feeds_.begin(), feeds_.end(),
                             [](const Feed& feed) { return feed.live() == 0 && feed.fan_outs == 0; });
        if (found == feeds_.end()) found = feeds_.emplace(feeds_.end());
        found->csrc = csrc;
    }
    listener.slots[slot].csrc = csrc;
    listener.slots[slot].position = static_cast<std::uint32_t>(found->subscribers.size());
    listener.slots[slot].turn();
    found->subscribers.push_back({&listener, slot});
}

void Audience::unsubscribe(Listener& listener, std::uint32_t slot) {
    const std::uint32_t csrc = listener.slots[slot].csrc;
    if (csrc == 0) return;
    listener.slots[slot].csrc = 0;
    const auto found = std::find_if(feeds_.begin(), feeds_.end(), [&](const Feed& feed) { return feed.csrc == csrc; });
    const std::uint32_t position = listener.slots[slot].position;
    found->subscribers[position] = {};
    found->holes.push_back(position);
    ++found->fan_outs;  // finish() closes the hole at once when no other fan-out is under way
    finish(*found);
}

}  // namespace plane
