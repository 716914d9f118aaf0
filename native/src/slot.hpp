// One outgoing stream of a listener. Whoever is heard in it, its SSRC stays, and sequence numbers, timestamps and sender
// reports go on without a break (RFC 3550 section 7: the translator's duty).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "packet.hpp"
#include "rtcp.hpp"
#include "rtp.hpp"
#include "sent_log.hpp"
#include "tier.hpp"

namespace plane {

// What a slot can carry: a source, by its CSRC, plain or with copies of its last frames; or a row of the mixer.
using FeedKey = std::uint64_t;
constexpr FeedKey source_feed(std::uint32_t csrc, Variant variant = {}) noexcept {
    return variant.red ? FeedKey{variant.number()} << 32 | csrc : csrc;
}
constexpr std::uint32_t csrc_of(FeedKey feed) noexcept { return static_cast<std::uint32_t>(feed); }
constexpr bool is_row(FeedKey feed) noexcept { return (feed >> 32 & 8) != 0; }
constexpr FeedKey row_feed(std::uint32_t row, Variant variant = {}) noexcept {
    return FeedKey{8 | variant.number()} << 32 | row;
}
constexpr std::uint32_t row_of(FeedKey feed) noexcept { return static_cast<std::uint32_t>(feed); }
constexpr Variant variant_of(FeedKey feed) noexcept { return variant((feed >> 32) & 7); }

struct SlotConfig {
    std::uint32_t ssrc = 0;
    std::uint8_t payload_type = 0;
    std::string mid{};          // at most 16 bytes
    std::uint8_t mid_id = 0;    // header extension ids as offered; 0: not negotiated
    std::uint8_t level_id = 0;        // RFC 6464, of the whole packet
    std::uint8_t csrc_level_id = 0;   // RFC 6465, of each CSRC
    std::uint8_t red_payload_type = 0;  // of RED (RFC 2198); 0: not negotiated
    bool nack = false;                // lost packets may be asked for again (RFC 4585 section 6.2.1)
};

class Slot {
public:
    // first_index: where sequence numbers begin (below 2^15, RFC 3711 section 3.3.1), first_timestamp likewise: both random.
    Slot(SlotConfig config, std::uint16_t first_index, std::uint32_t first_timestamp);

    struct Mapped {
        std::uint64_t index = 0;  // never given twice: an index used for two packets would betray the AEAD key stream
        std::uint32_t timestamp = 0;
        bool marker = false;
    };

    // Where in this stream the packet belongs. Nothing for one from before the slot turned to its source.
    std::optional<Mapped> map(const Position& position) noexcept;

    // Where the packet came from that was, or would have been, sent with this sequence number; nothing when it is too long ago,
    // is still to come, or was not negotiated.
    struct Sent {
        std::uint64_t index = 0;       // ours
        SentLog::Run run;
        std::uint64_t feed_index() const noexcept { return run.index_of(index); }
    };
    std::optional<Sent> sent(std::uint16_t sequence) const noexcept;
    // What map() gave for that packet.
    static Mapped map_again(const Sent& sent, const Position& position) noexcept;
    // Whether it may be sent again now; counts it when so. Only after sent() has given it.
    bool may_repeat(const Sent& sent, Instant now) noexcept { return log_->allow(sent.index, now); }

    // The next packet begins a new run, whoever sends it.
    void turn() noexcept { run_ = 0; }

    // Writes the RTP header: who is heard as CSRCs; mid and levels where negotiated. Returns its size.
    std::size_t write_header(MutableBytes out, const Mapped& mapped, const Packet& packet) const noexcept;

    // What follows the header: the packet's payload, or a copy of it in `space` where payload types in it are other ones here.
    Bytes payload(const Packet& packet, MutableBytes space) const noexcept;

    void count(std::size_t payload_size) noexcept {
        ++packets_;
        octets_ += payload_size;
    }
    std::uint32_t packets() const noexcept { return packets_; }
    // Different packets that were asked for again.
    std::uint32_t asked() const noexcept { return log_ ? log_->asked() : 0; }
    // Timestamps run on with the clock between packets. Nothing before the first packet.
    std::optional<rtcp::SenderInfo> sender_info(Instant now, std::uint64_t ntp) const noexcept;

    const SlotConfig& config() const noexcept { return config_; }

    // Set by the Audience: what this slot carries, in which room, and where in that feed's list it stands.
    FeedKey feed = 0;
    std::uint32_t room = 0;
    std::uint32_t place = 0;

private:
    SlotConfig config_;
    std::uint32_t run_ = 0;               // of the source; 0: none
    std::uint64_t run_first_index_ = 0;   // in the source's numbering
    std::uint64_t run_base_ = 0;          // our index of that packet
    std::uint32_t timestamp_offset_ = 0;
    std::uint64_t next_index_;            // above all that were given
    std::uint32_t last_timestamp_;
    Instant last_arrival_{};
    std::uint32_t packets_ = 0;
    std::uint64_t octets_ = 0;
    std::unique_ptr<SentLog> log_;        // of who negotiated NACK
};

}  // namespace plane
