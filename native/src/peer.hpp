// One WebRTC session: its ICE and SRTP state, and what it is: a publisher or a listener. Owned by one worker, whose UDP
// port the client knows: whatever room it moves to, it stays there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "ice.hpp"
#include "listener.hpp"
#include "reception.hpp"
#include "room.hpp"
#include "source.hpp"
#include "srtp.hpp"
#include "stats.hpp"

namespace plane {

using PeerId = std::uint32_t;

// Keys of both directions, prepared off the worker's thread.
struct Keys {
    srtp::Sealer seal;
    srtp::Opener open;
};

struct alignas(64) Peer {
    Peer(PeerId peer_id, RoomId room_id, IceCredentials credentials, Instant now)
        : id{peer_id}, room{room_id}, ice{std::move(credentials), now} {}

    PeerId id;
    RoomId room;
    // What packets from and to the peer need lies together, up to the first path of ICE.
    static constexpr std::size_t front_size = 128;
    std::unique_ptr<Keys> keys;            // set when the handshake is complete
    std::shared_ptr<PeerStats> stats = std::make_shared<PeerStats>();
    std::unique_ptr<Reception> reception;  // a publisher's
    Source* source = nullptr;              // a publisher's, when his room's home is this worker
    std::unique_ptr<Listener> listener;    // a listener's
    std::uint8_t home = 0;                 // a publisher's: the worker that is his room's home
    bool media_seen = false;
    bool loud = false;                     // a publisher's: he gave sound since his last turn
    bool handshake_released = false;       // DTLS is nobody's any more
    bool consent_late = false;             // told, and not told that it is back
    bool consent_reported = false;
    bool loss_told = false;                // cleared by a turn at which nothing is lost
    IceLite ice;

    // -dBov. Packets that are softer are what a silent publisher sends in DTX, and end nothing.
    static constexpr std::uint8_t loud_level = 64;

    // When the worker looks at the peer without being asked, and when it reported to it last.
    Instant turn{};
    Instant reported{};

    // A handshake takes 4 datagrams, with retransmissions a dozen; what is beyond waits for the next second.
    static constexpr int handshake_datagrams = 64;
    static constexpr Duration handshake_window = seconds{1};
    int handshake_allowance = handshake_datagrams;
    Instant handshake_since{};
};

}  // namespace plane
