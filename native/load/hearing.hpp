// What a listener receives, verified: is all of it there, once, in order, of its own room, and as it was said.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "board.hpp"
#include "chirp_ear.hpp"
#include "ear.hpp"
#include "latencies.hpp"
#include "marker.hpp"
#include "rtcp.hpp"
#include "rtp.hpp"
#include "sequence.hpp"

namespace load {

struct HearingConfig {
    std::uint32_t run = 0;
    std::uint32_t room = 0;
    bool forwarded = true;        // payloads come as they were sent; else mixed
    bool constant = true;         // somebody talks at all times
    bool ear = false;             // decode, and look for tones
    std::uint32_t own_tones = 0;  // bit k: somebody in the room has tone k
    bool chirps = false;          // the ear looks for chirps, not tones
    std::shared_ptr<const Board> board{};  // of the room; chirps need it
};

// What all listeners of a load measure together.
struct Times {
    Latencies delay;          // from when a packet was due to when the kernel had it
    Latencies delay_as_read;  // to when it was read: with the generator's own queue
    MouthToEar mouth_to_ear;  // of the chirps in mixes
};

// Faults are counted by what a user would notice. All are packets, but for gaps and windows.
struct Tally {
    std::uint64_t packets = 0;         // authentic RTP, each once
    std::uint64_t bytes = 0;           // of payload
    std::uint64_t lost = 0;            // RTP sequence numbers that never came
    std::uint64_t duplicates = 0;      // RTP sequence numbers that came again
    std::uint64_t reordered = 0;       // that came behind later ones
    std::uint64_t restarts = 0;        // jumps of a stream that are no loss any more
    std::uint64_t gaps = 0;            // times that a stream made no sound for 200 ms though it had to
    std::uint64_t undecryptable = 0;   // did not authenticate
    std::uint64_t malformed = 0;       // authentic and no RTP
    std::uint64_t marked = 0;          // with a whole marker of this run and room
    std::uint64_t missing = 0;         // of a speaker's packets, between those that were heard
    std::uint64_t repeated = 0;        // of a speaker's packets, under another RTP sequence number
    std::uint64_t disordered = 0;      // of a speaker's packets, behind his later ones
    std::uint64_t foreign = 0;         // of another room, or another run
    std::uint64_t corrupt = 0;         // with another payload than was sent
    std::uint64_t unmarked = 0;        // forwarded, but nobody's of ours
    std::uint64_t modelled_lost = 0;   // that came, and that the network model lost: none of the above counts them
    std::uint64_t modelled_missing = 0;  // of a speaker's packets, that it kept from the server
    std::uint64_t unexplained_chirps = 0;  // in a mix, that nobody of the room said
    std::uint64_t windows = 0, own_windows = 0, foreign_windows = 0;  // of 100 ms that an ear decoded
    Tally& operator+=(const Tally& more) noexcept;
};

class Hearing {
public:
    // As many as an Opener authenticates. More SSRCs than slots are a server's fault, and count as undecryptable.
    static constexpr std::size_t max_streams = 8;
    // Speakers of a room that one listener's memory holds.
    static constexpr std::size_t max_speakers = 64;
    // Silence that everybody hears: jitter buffers of browsers hide less.
    static constexpr plane::Duration gap = plane::milliseconds{200};

    explicit Hearing(const HearingConfig& config);

    // Whether the packet's number has come before: asked in front of SRTP, whose replay window would only say "no".
    bool is_duplicate(std::uint32_t ssrc, std::uint16_t sequence) const noexcept;
    void count_duplicate() noexcept { ++tally_.duplicates; }
    void count_undecryptable() noexcept { ++tally_.undecryptable; }
    // From now on speakers may be silent: what comes behind a pause is no gap, if the pause was theirs.
    void allow_silence() noexcept { config_.constant = false; }
    // A decrypted packet that came at `now`, and was read so much later.
    void packet(plane::Instant now, plane::Bytes rtp_packet, Times& times, plane::Duration waited = {});
    // One that the network model lost on its last bit of way: the server has sent it, and it is not heard.
    void lose(plane::Instant now, plane::Bytes rtp_packet);
    void sender_report(plane::Instant now, std::uint32_t ssrc, const plane::rtcp::SenderInfo& info) noexcept;
    // Blocks for a receiver report; how many.
    std::size_t report(plane::Instant now, std::array<plane::rtcp::ReportBlock, max_streams>& blocks) noexcept;

    Tally tally() const noexcept;
    plane::Instant first() const noexcept { return first_; }  // Instant{}: nothing came
    plane::Instant last() const noexcept { return last_; }

private:
    struct Stream {
        std::uint32_t ssrc = 0;
        Sequence sequence;
        plane::Instant last{};
        std::uint32_t timestamp = 0;
        double transit = 0, jitter = 0;  // RTP time units, RFC 3550 appendix A.8
        std::uint64_t expected_before = 0, received_before = 0;
        std::uint64_t modelled_lost = 0;
        std::uint32_t last_sr = 0;
        plane::Instant last_sr_at{};
    };
    struct Voice {
        std::uint32_t speaker = 0;
        Sequence sequence;
        std::uint32_t first = 0;  // number
    };
    // A packet as it stands in its stream; nothing when it is not one to be heard.
    struct Placed {
        plane::rtp::Packet rtp;
        Stream& stream;
        Sequence::Verdict verdict;
    };
    std::optional<Placed> place(plane::Bytes rtp_packet);
    void interrupt();
    Stream* find(std::uint32_t ssrc) noexcept;
    void time(Stream& stream, plane::Instant now, std::uint32_t timestamp) noexcept;
    void marked(plane::Instant now, const Marked& marked, Times* times, plane::Duration waited);

    HearingConfig config_;
    Tally tally_;
    std::vector<Stream> streams_;
    std::vector<Voice> voices_;
    std::unique_ptr<Ear> ear_;
    std::unique_ptr<ChirpEar> chirps_;
    plane::Instant first_{}, last_{};
};

}  // namespace load
