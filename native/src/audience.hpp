// The listeners of a room that sit on one worker, and for each source or row of the mixer the slots that carry it now.
//
// A fan-out to thousands is done in slices, between which listeners come and go: a feed's list keeps its positions
// while a fan-out is under way (leavers leave a hole), and closes the holes when none is.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "history.hpp"
#include "listener.hpp"
#include "redundancy.hpp"

namespace plane {

// Audio m-lines that a listener may offer. More would let one listener cost as much as many.
constexpr std::size_t max_slots = 16;

class Audience {
public:
    struct Subscriber {
        Listener* listener = nullptr;  // null: a hole
        std::uint32_t slot = 0;
    };
    struct Feed {
        FeedKey key = 0;
        std::vector<Subscriber> subscribers;
        std::vector<std::uint32_t> holes;
        std::uint32_t fan_outs = 0;    // under way
        std::unique_ptr<History> history;  // when somebody carries it, or did, who may ask for lost packets
        Instant wanted{};              // of a row's: when its home was told last that somebody carries it
        std::uint64_t left = 0;        // when its last subscriber left it, counted in such events
        red::Recent recent;            // of a source's with copies: what it carried last, in this run
        Position last{};
        std::size_t live() const noexcept { return subscribers.size() - holes.size(); }
    };

    // room: its number, by which slots remember where they were. home: the worker that mixes it. opaque: its payloads are
    // encrypted end to end, and nothing is made of them.
    explicit Audience(std::uint32_t room = 0, unsigned home = 0, bool opaque = false) : room_{room}, home_{home}, opaque_{opaque} {}
    unsigned home() const noexcept { return home_; }

    // The listener stays the caller's, and must be removed before it dies.
    void add(Listener& listener);
    void remove(Listener& listener);
    // What the listener asks for changed: `named` or `row`.
    void reassign(Listener& listener);

    // The audible sources, best rank first.
    void set_order(std::span<const std::uint32_t> csrcs);

    // The feed of a source or row, null when nobody here carries it. Who counts himself in its `fan_outs` keeps it, and calls
    // finish() at the end.
    Feed* feed(FeedKey key) noexcept;
    void finish(Feed& feed) noexcept;

    // What a source's feed with copies carries for this plain packet; the packet itself when there is nothing to repeat.
    static PacketRef with_copies(Feed& feed, const PacketRef& packet, const Position& position, PacketPool& pool) noexcept;

    // What was carried lately of the source or row, by whomever; null when that is not known.
    const History* history(FeedKey key) const noexcept;

    bool empty() const noexcept { return listeners_.empty(); }

private:
    void carry(Listener& listener, std::uint32_t slot, FeedKey key);
    void carry_source(Listener& listener, std::uint32_t slot, std::uint32_t csrc);
    void subscribe(Listener& listener, std::uint32_t slot, FeedKey key);
    void unsubscribe(Listener& listener, std::uint32_t slot);

    // Feeds that nobody carries and that are kept for their history: who turned away from one may still miss its last packets.
    // More costs 24 kB each.
    static constexpr std::size_t max_idle_feeds = 4;

    std::uint32_t room_;
    unsigned home_;
    bool opaque_;
    std::uint64_t departures_ = 0;
    std::vector<Listener*> listeners_;
    std::vector<std::uint32_t> order_;
    std::deque<Feed> feeds_;            // few: as many as were carried at once and the idle; addresses are stable
};

}  // namespace plane
