// The jitter buffer of one speaker: packets in by their own time, one decision at a time out by ours.
//
// It knows bytes and time, not the codec: next() says what is to be decoded, recovered or concealed, and a Playout does
// it. How long packets wait follows the lateness that the network shows: a percentile of the arrival times relative to
// the fastest packet of late.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "bytes.hpp"
#include "clock.hpp"
#include "packet.hpp"

namespace plane {

// How late packets come: arrival time less media time, against the smallest such difference of the last 5 to 10 s.
class Lateness {
public:
    // media: the packet's own time. Returns how much later it came than the fastest.
    Duration update(Instant arrival, Duration media) noexcept;
    // The arrival that a packet of this media time would have had on the fastest path.
    Instant earliest(Duration media) const noexcept { return Instant{media + fastest()}; }
    // What `percentile` of the packets of about the last 10 s stayed below.
    Duration target() const noexcept;
    void reset() noexcept { *this = {}; }

    static constexpr double percentile = 0.97;
    static constexpr Duration bin = milliseconds{5};
    static constexpr std::size_t bins = 80;
    // Later than that is no lateness but another clock: the sender or the path has stood still. It counts anew.
    static constexpr Duration limit = bin * bins;

private:
    Duration fastest() const noexcept { return std::min(minimum_, previous_minimum_); }

    std::array<float, bins> histogram_{};  // weights, their sum 1 once there was a packet
    bool any_ = false;
    unsigned seen_ = 0;
    Duration minimum_ = Duration::max(), previous_minimum_ = Duration::max();
    Instant window_start_{};
};

class JitterBuffer {
public:
    // More keeps audio whole over a longer hiccup; nobody can converse beyond it.
    static constexpr Duration max_delay = milliseconds{400};
    // Below it the tick and the pacing of senders would cause underruns on a clean network.
    static constexpr Duration min_delay = milliseconds{5};
    static constexpr std::size_t capacity = 64;  // packets: 640 ms of the shortest

    struct Counters {
        std::uint64_t decoded = 0, recovered = 0, concealed = 0;  // frames
        std::uint64_t late = 0, duplicate = 0, skipped = 0;       // packets
    };

    void insert(const Position& position, Bytes payload, std::uint32_t samples) noexcept;

    enum class Action {
        nothing,   // no speech now: not begun, a pause of the sender, or run dry
        decode,    // payload
        recover,   // the frame before payload is lost; payload stays for the next call
        conceal,   // lost, or late so far
        skip,      // decode payload, and let it pass unheard: the delay has grown longer than it need be
    };
    struct Step {
        Action action = Action::nothing;
        Bytes payload;              // valid until the next insert
        std::uint32_t samples = 0;  // that the step lasts
    };
    // What comes next in the speaker's time; `now` is when it will be heard. frame: samples wanted when there is nothing.
    Step next(Instant now, std::uint32_t frame) noexcept;

    // Lets packets pass whose time has come, undecoded: nobody hears this speaker.
    void pass(Instant now) noexcept;

    // From the ideal arrival of the next sample to now; zero while nothing plays.
    Duration delay(Instant now) const noexcept;
    Duration target() const noexcept { return std::clamp<Duration>(lateness_.target(), min_delay, max_delay); }
    const Counters& counters() const noexcept { return counters_; }

private:
    struct Entry {
        bool held = false;
        std::uint64_t index = 0;
        std::int64_t media = 0;  // extended timestamp
        std::uint32_t samples = 0;
        std::vector<std::uint8_t> payload;
    };

    void restart(const Position& position) noexcept;
    Entry& at(std::uint64_t index) noexcept { return entries_[index % capacity]; }
    Entry* held(std::uint64_t index) noexcept;
    Entry* first_held() noexcept;
    void advance(Entry& entry) noexcept;
    Duration delay_of(Instant now, std::int64_t media) const noexcept;
    bool too_slow(Instant now) noexcept;

    std::array<Entry, capacity> entries_;
    Lateness lateness_;
    Counters counters_;
    std::uint32_t run_ = 0;
    std::uint64_t next_index_ = 0, highest_index_ = 0;
    std::int64_t next_media_ = 0;
    std::int64_t last_media_ = 0;            // of the packet that came last: unwraps timestamps
    std::uint32_t last_samples_ = 960;
    bool playing_ = false;
    unsigned dry_ = 0;                       // steps concealed in a row with nothing held
    Instant slow_since_{};
};

}  // namespace plane
