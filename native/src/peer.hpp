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

struct Peer {
    Peer(PeerId peer_id, RoomId room_id, IceCredentials credentials, Instant now)
        : id{peer_id}, room{room_id}, ice{std::move(credentials), now} {}

    PeerId id;
    RoomId room;
    // What sending to the peer needs lies together, up to the first path of ICE.
    static constexpr std::size_t sending_size = 128;
    std::unique_ptr<Keys> keys;            // set when the handshake is complete
    std::shared_ptr<PeerStats> stats = std::make_shared<PeerStats>();
    IceLite ice;
    std::unique_ptr<Reception> reception;  // a publisher's
    unsigned home = 0;                     // a publisher's: the worker that is his room's home
    Source* source = nullptr;              // a publisher's, when that is this worker
    std::unique_ptr<Listener> listener;    // a listener's

    // A handshake takes 4 datagrams, with retransmissions a dozen; what is beyond waits for the next second.
    static constexpr int handshake_datagrams_per_second = 64;
    int handshake_allowance = handshake_datagrams_per_second;
    bool handshake_released = false;       // DTLS is nobody's any more
    bool media_seen = false;
    bool consent_late = false;             // told, and not told that it is back
    bool consent_reported = false;
    unsigned seconds = 0;                  // age, for what happens every few seconds
};

}  // namespace plane
