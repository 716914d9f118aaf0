// A publisher's stream as it arrives: which packets belong to it, what is lost, how loud it is (RFC 3550 appendix A).
#pragma once

#include <memory>
#include <optional>

#include "opus.hpp"
#include "packet.hpp"
#include "playout.hpp"
#include "rtcp.hpp"
#include "stats.hpp"
#include "voice.hpp"

namespace plane {

class Room;

struct SourceConfig {
    std::uint32_t csrc = 0;          // the user's id in the room
    std::uint8_t payload_type = 0;
    std::uint8_t level_id = 0;       // RFC 6464 extension; 0: not negotiated
    std::uint32_t report_ssrc = 0;   // our SSRC in RTCP to the publisher
    bool opaque = false;             // end-to-end encrypted: the payload is not looked into
    double silence_dbov = -64.0;     // what is quieter is not mixed
};

class Source {
public:
    // A jump forward by more is a new run: listeners' sequence numbers go on without the gap, and a hostile publisher
    // cannot push their roll-over counters apart. 500 packets are 10 s of audio: no network loses that and goes on.
    static constexpr std::uint64_t max_jump = 500;
    // A second SSRC is another microphone only once the first is silent; before that it is noise or mischief.
    static constexpr Duration ssrc_handover = milliseconds{200};

    // room: the home that hears this source; it outlives the source. serial: rises with every source; of two sources of
    // one user the newer is heard.
    Source(SourceConfig config, Room& room, std::uint32_t serial, std::shared_ptr<PeerStats> stats, WorkerStats& worker_stats);

    // Takes a decrypted packet (packet.position.index is its SRTP index) and fills the fields that forwarding needs.
    // False when it is not of this stream: wrong payload type, another SSRC, malformed.
    bool accept(Packet& packet, Bytes rtp_packet, Instant now);

    // Muted or not, what the sender's voice does.
    const Voice& voice() const noexcept { return voice_; }
    void tick(Instant now) noexcept;

    // Set by the Room while it mixes: where the audio waits for the tick.
    std::shared_ptr<Playout> playout;

    // The run ends here: what follows is not continuous with it (mute, seat lost).
    void break_run() noexcept { run_ = 0; }

    void sender_report(Instant now, const rtcp::SenderInfo& info) noexcept;
    // For our receiver report; nothing before the first packet. Starts the next interval of fraction lost.
    std::optional<rtcp::ReportBlock> report(Instant now) noexcept;

    const SourceConfig& config() const noexcept { return config_; }
    Room& room() const noexcept { return room_; }
    std::uint32_t serial() const noexcept { return serial_; }

private:
    void restart(std::uint32_t ssrc, std::uint64_t index) noexcept;
    void measure_jitter(Instant now, std::uint32_t timestamp) noexcept;
    double measure_level(const rtp::Packet& rtp, Packet& packet);
    void publish_voice() noexcept;
    void publish_playout(Instant now) noexcept;

    SourceConfig config_;
    Room& room_;
    std::uint32_t serial_;
    std::shared_ptr<PeerStats> stats_;
    WorkerStats& worker_stats_;
    std::unique_ptr<opus::LevelMeter> meter_;  // made when first needed
    Voice voice_;

    std::uint32_t ssrc_ = 0;
    std::uint32_t run_ = 0;          // 0: the next packet begins a new one
    std::uint64_t first_index_ = 0;
    std::uint64_t highest_index_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t expected_before_ = 0, received_before_ = 0;
    Instant last_arrival_{};
    double jitter_ = 0;              // RTP time units
    double last_transit_ = 0;
    bool has_transit_ = false;

    std::uint32_t last_sr_ = 0;
    Instant last_sr_arrival_{};
};

}  // namespace plane
