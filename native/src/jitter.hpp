// The jitter buffer of one speaker: packets in by their own time, one decision at a time out by ours.
//
// It knows bytes and time, not the codec: next() says what is to be decoded, recovered or concealed, and a Playout does
// it. How long packets should wait follows the lateness that the network shows; that they wait so long is the Playout's
// doing: it plays a little faster or slower. Here no packet is passed over or played twice for that.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "clock.hpp"
#include "lateness.hpp"
#include "packet.hpp"

namespace plane {

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
    };
    struct Step {
        Action action = Action::nothing;
        Bytes payload;              // valid until the next insert
        std::uint32_t samples = 0;  // that the step lasts
    };
    // What comes next in the speaker's time; `now` is when it will be heard. frame: samples wanted when there is nothing.
    Step next(Instant now, std::uint32_t frame) noexcept;

    // Whether the next step is to decode a packet that is there and goes on where the last ended.
    bool ready() const noexcept;

    // Lets packets pass whose time has come, undecoded: nobody hears this speaker.
    void pass(Instant now) noexcept;

    // Nothing that came before is heard any more, or counts for how late packets are.
    void clear() noexcept;

    bool playing() const noexcept { return playing_; }
    // From the ideal arrival of the next sample to now; zero while nothing plays.
    Duration delay(Instant now) const noexcept;
    // The next sample's own time; only its differences mean anything.
    std::int64_t next_media() const noexcept { return next_media_; }
    // How long the last packet lasts, in samples.
    std::uint32_t packet_samples() const noexcept { return last_samples_; }
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
    const Entry* held(std::uint64_t index) const noexcept;
    Entry* held(std::uint64_t index) noexcept { return const_cast<Entry*>(std::as_const(*this).held(index)); }
    Entry* first_held() noexcept;
    void advance(Entry& entry) noexcept;
    Duration delay_of(Instant now, std::int64_t media) const noexcept;

    std::array<Entry, capacity> entries_;
    Lateness lateness_;
    Counters counters_;
    std::uint32_t run_ = 0;
    std::uint64_t next_index_ = 0, highest_index_ = 0;
    std::int64_t next_media_ = 0;
    std::int64_t last_media_ = 0;            // of the packet that came last: unwraps timestamps
    std::uint32_t last_samples_ = 960;
    bool playing_ = false;
    std::uint32_t dry_ = 0;                  // samples concealed in a row with nothing held
};

}  // namespace plane
