// One WebRTC peer as a client: ICE, DTLS passed through to who does it, SRTP, RTP in or out, RTCP. Without sockets and clock:
// datagrams and the time come in, what is to be sent goes to an Outbox.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agent.hpp"
#include "board.hpp"
#include "hearing.hpp"
#include "srtp.hpp"
#include "talk.hpp"

namespace load {

// A voice to repeat: Opus packets of one frame of 20 ms each, and how loud they are (RFC 6464, -dBov).
struct Frame {
    std::vector<std::uint8_t> payload;
    std::uint8_t level = 127;
};
struct Sound {
    std::vector<Frame> frames;
    // A chirp in it: which, and where its middle is.
    struct Chirp {
        unsigned kind = 0;
        std::size_t frame = 0;
        std::uint32_t sample = 0;  // of the frame
    };
    std::optional<Chirp> chirp{};
};

struct SpeakingConfig {
    std::uint32_t run = 0, room = 0, speaker = 0;
    std::uint8_t payload_type = 0;
    std::uint8_t level_id = 0;  // 0: not negotiated
    std::uint32_t ssrc = 0;
    TalkConfig talk;
    std::size_t first_frame = 0;        // where in the sound he begins
    plane::Duration phase{};            // within 20 ms, so that a thousand speakers do not send at once
    std::shared_ptr<const Sound> sound;
    std::shared_ptr<Board> board{};     // of the room: what he chirps, and what of his packets the network model loses
};

struct ClientConfig {
    AgentConfig agent;
    std::uint32_t report_ssrc = 0;  // a listener's in RTCP
    std::string cname;
    std::optional<SpeakingConfig> speaking;
    std::optional<HearingConfig> hearing;
};

// What all clients of a generator measure together.
struct Measured {
    Times times;
    Latencies queue;     // of the generator itself: from when the kernel had a datagram to when it was read
    Latencies lateness;  // of the generator itself: from when a packet was due to when it was sent
    std::uint64_t datagrams_sent = 0, datagrams_received = 0;
    std::uint64_t packets_sent = 0, packets_received = 0;  // RTP
    std::uint64_t packets_skipped = 0;                     // a second too late to be sent: the generator was overloaded
    std::uint64_t connected = 0;                           // with keys
    std::uint64_t chirps_said = 0;
    // The network model: datagrams that it lost and doubled, each way, and those that it could hold no more.
    std::uint64_t modelled_lost_up = 0, modelled_lost_down = 0, modelled_twice_up = 0, modelled_twice_down = 0, modelled_overflow = 0;
};

enum class Happened : std::uint8_t { datagram, ice_connected, ice_failed, goodbye };

class Outbox {
public:
    virtual ~Outbox() = default;
    // False: the network model has lost it.
    virtual bool send(const plane::Endpoint& to, plane::Bytes datagram) = 0;
    // data: of a datagram of DTLS.
    virtual void tell(Happened what, plane::Bytes data) = 0;
};

class Client {
public:
    static constexpr plane::Duration frame = plane::milliseconds{20};
    static constexpr plane::Duration report_interval = plane::seconds{5};  // as browsers report audio; RFC 3550 section 6.2
    static constexpr plane::Duration max_lateness = plane::seconds{1};

    Client(ClientConfig config, plane::Instant now);

    plane::Instant due() const noexcept;
    void advance(plane::Instant now, Outbox& out, Measured& measured);
    // It came at `now`, and was read so much later. `datagram` is decrypted in place.
    void receive(plane::Instant now, const plane::Endpoint& from, plane::MutableBytes datagram, Outbox& out, Measured& measured,
                 plane::Duration waited = {});
    // One that the network model lost, or doubled, on its way here: only what the server did is to be known of it.
    void lose(plane::Instant now, plane::MutableBytes datagram);
    static bool is_rtp(plane::Bytes datagram) noexcept;
    // DTLS; nothing before a candidate is selected.
    void send(plane::Bytes datagram, Outbox& out);
    // The handshake is complete; material as of RFC 5764 section 4.2. False when it has another size than the profile's.
    // client: of the two sides of the handshake we were the client.
    bool set_keys(plane::Instant now, plane::srtp::Profile profile, plane::Bytes material, bool client);
    // A last word (BYE), and silence.
    void leave(Outbox& out);
    // Speakers fall silent; listeners go on, and expect that.
    void hush() noexcept {
        hushed_ = true;
        if (hearing_) hearing_->allow_silence();
    }

    bool connected() const noexcept { return sealer_.has_value(); }
    const std::optional<plane::Endpoint>& selected() const noexcept { return agent_.selected(); }
    const Hearing* hearing() const noexcept { return hearing_ ? &*hearing_ : nullptr; }
    std::uint64_t packets_sent() const noexcept { return packets_sent_; }
    plane::Instant last_sent() const noexcept { return last_sent_; }

private:
    void speak(plane::Instant now, Outbox& out, Measured& measured);
    void report(plane::Instant now, Outbox& out);
    void on_rtp(plane::Instant now, plane::MutableBytes datagram, Measured& measured, plane::Duration waited);
    void on_rtcp(plane::Instant now, plane::MutableBytes datagram, Outbox& out);

    ClientConfig config_;
    Agent agent_;
    Talk talk_;
    std::optional<plane::srtp::Sealer> sealer_;
    std::optional<plane::srtp::Opener> opener_;
    std::optional<Hearing> hearing_;
    bool told_connected_ = false, told_failed_ = false, left_ = false, hushed_ = false, paused_ = true;
    plane::Instant next_frame_{}, next_report_{};
    std::uint64_t frames_ = 0;        // of 20 ms since he could talk, silent ones too
    std::uint64_t index_ = 0;         // SRTP's: the RTP sequence number and how often it has rolled over
    std::uint32_t timestamp_ = 0;
    std::uint64_t packets_sent_ = 0, octets_sent_ = 0;
    plane::Instant last_sent_{};
};

}  // namespace load
