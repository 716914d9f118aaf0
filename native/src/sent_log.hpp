// What a slot remembers of the packets that it sent lately, so that one can be sent again exactly as it was. Not the packets:
// those are in the feeds' histories (history.hpp), once for all listeners. Only where in which feed each index came from, a
// line for each run, and how often it was sent again.
//
// Another packet under an SRTP index that was used before would give away the key stream (RFC 3711 section 9.1, RFC 7714
// section 8.1), so what is not surely the same is not sent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "clock.hpp"

namespace plane {

class SentLog {
public:
    // Stretches between changes of the source or row; a quarter of a second each in the liveliest talk. What is older than
    // these is not sent again.
    static constexpr std::size_t max_runs = 8;
    // Times that one packet is sent again. A third try comes too late nearly always.
    static constexpr unsigned max_repeats = 2;
    // Between two of them: who asks again sooner has not had the time to receive the first.
    static constexpr Duration spacing = milliseconds{20};
    // Retransmissions of a slot: what 60 % of loss asks for at 50 packets a second, and 32 at once. More would let a client
    // have its streams twice.
    static constexpr std::uint32_t repeats_per_second = 32;
    static constexpr std::uint32_t burst = 32;

    // A stretch of a slot's indices that is one of a feed's, too.
    struct Run {
        std::uint64_t base = 0;             // our index of its first packet
        std::uint64_t first_index = 0;      // the feed's index of that
        std::uint64_t feed = 0;
        std::uint32_t room = 0;             // where that feed is
        std::uint32_t run = 0;
        std::uint32_t timestamp_offset = 0;

        std::uint64_t index_of(std::uint64_t ours) const noexcept { return first_index + (ours - base); }
    };

    // From this run's base on indices are of this run.
    void begin(const Run& run) noexcept {
        runs_[count_ % max_runs] = run;
        ++count_;
    }
    // The run that an index was given in; null when that is forgotten.
    const Run* find(std::uint64_t index) const noexcept;

    // Whether the packet may be sent again now; counts it when so.
    bool allow(std::uint64_t index, Instant now) noexcept;
    // Different packets for which allow() was asked.
    std::uint32_t asked() const noexcept { return asked_; }

private:
    struct Repeat {
        std::uint32_t index = 0;    // its lower half
        std::uint32_t last_ms = 0;  // of the clock, modulo 2^32
        std::uint8_t times = 0;
    };

    std::array<Run, max_runs> runs_{};
    std::uint64_t count_ = 0;  // of runs, ever
    std::array<Repeat, 64> repeats_{};  // by index modulo their number: as many as a history has packets
    std::uint32_t asked_ = 0;
    Duration spent_{};         // of the allowance, as the time that earns it back
    Instant spent_at_{};
};

}  // namespace plane
