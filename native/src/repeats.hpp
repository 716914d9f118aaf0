// Which lost packets of a publisher are asked for again (generic NACK, RFC 4585): those whose answer can come before they
// are to be heard, each as often as it can, and not more of all than a good sender would answer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "clock.hpp"

namespace plane {

// How soon what is asked for comes.
struct Answers {
    Duration time{};    // from a question to its answer
    Duration again{};   // from a question to the next of the same packet
};

class Repeats {
public:
    static constexpr std::size_t capacity = 32;      // packets that are missed at once; more are not repaired one by one
    // Of one packet. At 30 % loss each way every other question is answered, and one in 250 packets needs more.
    static constexpr unsigned max_asks = 8;
    // Asked for in a second. Beyond 35 % loss of packets of 20 ms, asking adds to what ails the path.
    static constexpr double per_second = 50, at_once = 25;
    // So many of them are left to packets that were not asked for yet.
    static constexpr double reserve = 10;
    // An answer that takes so long is none.
    static constexpr Duration forgotten = milliseconds{500};
    // How long an answer takes before one has come, if RTCP tells nothing either.
    static constexpr Duration presumed = milliseconds{60};
    // It must come so much sooner than it is needed.
    static constexpr Duration margin = milliseconds{5};

    // index, timestamp: of a packet that came; copies: how many before it are in it (RED). True when it is the answer to
    // what was asked.
    bool arrived(std::uint64_t index, std::uint32_t timestamp, std::size_t copies, Instant now) noexcept;
    // round_trip: by RTCP, if known. heard: when the sample of timestamp 0 is heard, in samples of our clock (mod 2^32), if
    // that is known; else what can come within `blind` is asked for. Fills `out` with the indexes to ask for now, in order.
    std::size_t ask(Instant now, std::optional<Duration> round_trip, std::optional<std::uint32_t> heard,
                    std::array<std::uint64_t, capacity>& out) noexcept;
    static constexpr Duration blind = milliseconds{80};

    bool missing() const noexcept { return count_ != 0; }
    Answers answers(std::optional<Duration> round_trip) const noexcept;
    // Another stream.
    void reset() noexcept { count_ = 0, any_ = false; }

private:
    struct Missing {
        std::uint64_t index = 0;
        std::uint32_t timestamp = 0;     // presumed
        Instant noticed{};
        unsigned asks = 0;
        std::array<Instant, max_asks> asked{};
    };
    void remove(std::size_t i) noexcept;
    void measure(const Missing& missing, Instant now) noexcept;

    std::array<Missing, capacity> missing_{};  // oldest first
    std::size_t count_ = 0;
    bool any_ = false;
    std::uint64_t highest_ = 0;
    std::uint32_t highest_timestamp_ = 0;
    std::uint32_t frame_ = 960;                // timestamp units from packet to packet
    std::optional<Duration> answer_time_, round_trip_;
    double allowance_ = at_once;
    Instant allowed_{};
};

// Samples of our clock at an instant, mod 2^32.
std::uint32_t clock_samples(Instant now) noexcept;

}  // namespace plane
