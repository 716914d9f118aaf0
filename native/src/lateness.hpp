// How late a speaker's packets come: arrival time less media time, against the smallest such difference of late, and how
// long the jitter buffer should wait for that.
#pragma once

#include <array>
#include <cstdint>

#include "clock.hpp"

namespace plane {

class Lateness {
public:
    // What `percentile` of the packets of the last `window` stayed below is waited for. A longer window meets the next
    // burst prepared, and keeps everybody waiting for longer after the last.
    static constexpr double percentile = 0.97;
    static constexpr Duration window = milliseconds{2500};
    static constexpr Duration bin = milliseconds{5};
    static constexpr std::size_t bins = 80;
    // Later than that is no lateness but another clock: the sender or the path has stood still. It counts anew.
    static constexpr Duration limit = bin * bins;

    // A packet came. media: its own time. Returns how much later it came than the fastest of the window.
    Duration update(Instant arrival, Duration media) noexcept;
    // The arrival that a packet of this media time would have had on the fastest path.
    Instant earliest(Duration media) const noexcept { return Instant{media + fastest_}; }
    // How much later than the fastest the packets of the window came, on average. Zero before the first.
    Duration mean() const noexcept;
    // Zero before the first packet.
    Duration target() const noexcept { return target_; }
    void reset() noexcept { *this = {}; }

private:
    // A sender that pauses (DTX) leaves few packets in the window; so many are kept whatever their age.
    static constexpr std::size_t enough = 50;
    static constexpr std::size_t capacity = 256;  // 2.5 s of packets of 10 ms
    struct Seen {
        Instant arrival;
        Duration transit;
    };

    static std::size_t bin_of(Duration late) noexcept;
    Seen& seen(std::size_t i) noexcept { return seen_[(first_ + i) % capacity]; }
    void forget_old(Instant now) noexcept;
    void count_anew() noexcept;
    Duration find_target() const noexcept;

    std::array<Seen, capacity> seen_{};               // ring, oldest first
    std::size_t first_ = 0, count_ = 0;
    std::array<std::uint16_t, bins> histogram_{};     // of seen_, against fastest_
    Duration base_{}, sum_{};                         // transits of seen_ after the base: those after the epoch are too long to add up
    Duration fastest_{};
    Duration target_{};
};

}  // namespace plane
