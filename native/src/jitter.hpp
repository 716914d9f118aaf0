// The jitter buffer of one speaker: packets in by their own time, one decision at a time out by ours.
//
// It knows bytes and time, not the codec: next() says what is to be decoded, recovered or concealed, and a Playout does
// it. How long packets should wait follows the lateness that the network shows; that they wait so long is the Playout's
// doing: it plays a little faster or slower. Here no packet is passed over or played twice for that.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "clock.hpp"
#include "lateness.hpp"
#include "packet.hpp"
#include "repeats.hpp"

namespace plane {

class JitterBuffer {
public:
    // More keeps audio whole over a longer hiccup; nobody can converse beyond it.
    static constexpr Duration max_delay = milliseconds{400};
    // Below it the tick and the pacing of senders would cause underruns on a clean network.
    static constexpr Duration min_delay = milliseconds{5};
    static constexpr std::size_t capacity = 64;  // packets: 640 ms of the shortest

    struct Counters {
        // Frames. Of the decoded, some were copies (RED) or had been asked for again (NACK).
        std::uint64_t decoded = 0, copies = 0, repeated = 0;
        std::uint64_t recovered = 0, concealed = 0;               // by in-band FEC; made up
        std::uint64_t late = 0, duplicate = 0, skipped = 0;       // packets
    };

    // repeated: it had been asked for again, so that its lateness says nothing of the network's.
    // level: -dBov, as the sender gives it.
    void insert(const Position& position, Bytes payload, std::uint32_t samples, bool repeated = false,
                std::uint8_t level = 127) noexcept;
    // A copy of an earlier frame that came in the packet at `carrier`, which has been inserted: `distance` frames before it,
    // `before` timestamp units. It fills the place of a packet that is missing, and no other.
    void insert_copy(const Position& carrier, unsigned distance, std::uint32_t before, Bytes payload, std::uint32_t samples,
                     std::uint8_t level = 127) noexcept;
    // How soon what is asked for again comes; nothing: nothing is asked for.
    void set_answers(std::optional<Answers> answers) noexcept { answers_ = answers; }

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
        std::uint8_t level = 127;   // of what is decoded, -dBov
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
    // So long that nearly all packets come in time, and where much is lost, what repairs it as well.
    Duration target() const noexcept { return std::clamp<Duration>(lateness_.target() + repair_time(), min_delay, max_delay); }
    // When the packet that came last should be heard.
    Instant wanted() const noexcept;
    // How much later than the fastest packets come, on average: delay() counts from the fastest.
    Duration lateness() const noexcept { return lateness_.mean(); }
    const Counters& counters() const noexcept { return counters_; }

private:
    enum class Origin : std::uint8_t { sent, copy, repeated };
    struct Entry {
        bool held = false;
        Origin origin = Origin::sent;
        std::uint64_t index = 0;
        std::int64_t media = 0;  // extended timestamp
        std::uint32_t samples = 0;
        std::uint8_t level = 127;
        std::vector<std::uint8_t> payload;
    };

    void restart(const Position& position) noexcept;
    Entry& at(std::uint64_t index) noexcept { return entries_[index % capacity]; }
    const Entry* held(std::uint64_t index) const noexcept;
    Entry* held(std::uint64_t index) noexcept { return const_cast<Entry*>(std::as_const(*this).held(index)); }
    Entry* first_held() noexcept;
    void advance(Entry& entry) noexcept;
    void put(Entry& entry, std::uint64_t index, std::int64_t media, Bytes payload, std::uint32_t samples, Origin origin,
             std::uint8_t level) noexcept;
    // Of a packet that came: how many before it did not.
    void note_gap(std::uint64_t missing) noexcept;
    // Of the frame that is due: whether its packet did not come by itself.
    void note(bool lost) noexcept;
    void choose_tries() noexcept;
    Duration repair_time() const noexcept;
    Duration delay_of(Instant now, std::int64_t media) const noexcept;

    std::array<Entry, capacity> entries_;
    Lateness lateness_;
    Counters counters_;
    std::uint32_t run_ = 0;
    std::uint64_t next_index_ = 0, highest_index_ = 0;
    std::uint64_t first_index_ = 0;          // of the run, or the next that has not been heard: nothing before it will be
    struct Share {
        std::uint64_t seen;                  // with how many it begins, all of them well: one alone says little
        float of_late = 0;
        void add(bool counts, std::uint64_t memory) noexcept;
    };
    Share lost_{32};
    Share doubly_lost_{32}, uncovered_{32};  // the next packet was lost, too; no packet behind it could have a copy
    bool repairing_ = false, twice_ = false;  // it waits for copies; for the second of each
    unsigned tries_ = 0;                     // it waits for the answers to so many NACKs of each packet
    unsigned redundancy_ = 0;                // packets in a row without any, up to a number; 0: none came yet
    std::uint8_t copy_distance_ = 0;         // the farthest copy of late
    std::optional<Answers> answers_;
    std::int64_t next_media_ = 0;
    std::int64_t last_media_ = 0;            // of the packet that came last: unwraps timestamps
    std::uint32_t last_samples_ = 960;
    bool playing_ = false;
    std::uint32_t dry_ = 0;                  // samples concealed in a row with nothing held
};

}  // namespace plane
