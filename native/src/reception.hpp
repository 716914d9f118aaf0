// A publisher's stream as it arrives: which packets belong to it, what is lost, how loud they are (RFC 3550 appendix A).
// It stays with the peer whatever room the peer is in; what a room makes of the stream is a Source.
#pragma once

#include <memory>
#include <optional>

#include "opus.hpp"
#include "packet.hpp"
#include "repeats.hpp"
#include "rtcp.hpp"
#include "stats.hpp"

namespace plane {

struct ReceptionConfig {
    std::uint8_t payload_type = 0;
    std::uint8_t red_payload_type = 0;  // of redundant audio (RFC 2198); 0: not negotiated
    bool nack = false;               // lost packets may be asked for again (RFC 4585)
    std::uint8_t level_id = 0;       // RFC 6464 extension; 0: not negotiated
    std::uint32_t report_ssrc = 0;   // our SSRC in RTCP to the publisher
    bool opaque = false;             // end-to-end encrypted: the payload is not looked into
};

class Reception {
public:
    // A jump forward by more is a new stretch: listeners' sequence numbers go on without the gap, and a hostile publisher
    // cannot push their roll-over counters apart. 500 packets are 10 s of audio: no network loses that and goes on.
    static constexpr std::uint64_t max_jump = 500;
    // A second SSRC is another microphone only once the first is silent; before that it is noise or mischief.
    static constexpr Duration ssrc_handover = milliseconds{200};

    Reception(ReceptionConfig config, std::shared_ptr<PeerStats> stats, WorkerStats& worker_stats);

    // Takes a decrypted packet (packet.position.index is its SRTP index) and fills the fields that a Source needs.
    // False when it is not of this stream: wrong payload type, another SSRC, malformed.
    bool accept(Packet& packet, Bytes rtp_packet, Instant now);

    // The peer is in another room now: whether its payload may be looked into.
    void set_opaque(bool opaque) noexcept { config_.opaque = opaque; }

    void sender_report(Instant now, const rtcp::SenderInfo& info) noexcept;
    // For our receiver report; nothing before the first packet. Starts the next interval of fraction lost.
    std::optional<rtcp::ReportBlock> report(Instant now) noexcept;

    // Whether there is anything to ask for.
    bool misses() const noexcept { return config_.nack && repeats_.missing(); }
    // Indexes of packets to ask for now (their low 16 bits are the sequence numbers), in order.
    std::size_t ask(Instant now, std::array<std::uint64_t, Repeats::capacity>& out) noexcept;
    std::uint32_t ssrc() const noexcept { return ssrc_; }

    const ReceptionConfig& config() const noexcept { return config_; }

private:
    void restart(std::uint32_t ssrc, std::uint64_t index) noexcept;
    void begin_stretch() noexcept;
    void measure_jitter(Instant now, std::uint32_t timestamp) noexcept;
    rtp::AudioLevel measure_level(const rtp::Packet& rtp, Bytes payload);
    std::optional<Duration> round_trip() const noexcept;

    ReceptionConfig config_;
    std::shared_ptr<PeerStats> stats_;
    WorkerStats& worker_stats_;
    std::unique_ptr<opus::LevelMeter> meter_;  // made when first needed

    std::uint32_t ssrc_ = 0;
    std::uint32_t stretch_ = 0;      // never 0 once a packet came
    std::uint64_t first_index_ = 0;
    std::uint64_t highest_index_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t expected_before_ = 0, received_before_ = 0;
    Instant last_arrival_{};
    Repeats repeats_;
    double jitter_ = 0;              // RTP time units
    double last_transit_ = 0;
    bool has_transit_ = false;

    std::uint32_t last_sr_ = 0;
    Instant last_sr_arrival_{};
};

}  // namespace plane
