// What crosses threads: commands from Python to a worker, events back, packets and orders between workers.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "packet.hpp"
#include "peer.hpp"

namespace plane {

using Datagram = std::vector<std::uint8_t>;

namespace command {
// To every worker, so that whichever gets the room's first listener knows it.
struct AddRoom {
    RoomId room;
    unsigned home;
    RoomConfig config;
};
struct RemoveRoom {
    RoomId room;
};
// To the room's home.
struct SetColumn {
    RoomId room;
    std::uint32_t csrc;
    float gain;
    Place place;
};
struct SetChain {
    RoomId room;
    std::uint32_t csrc;
    std::vector<Chain::Link> links;
};
struct AddPlayer {
    RoomId room;
    std::uint32_t csrc;
    float gain;
    Place place;
};
struct SetDelay {
    RoomId room;
    std::uint32_t csrc;
    std::size_t samples;
};
struct AddTap {
    RoomId room;
    std::uint32_t csrc;
    std::uint32_t player;
    float gain;
    Place place;
    std::size_t delay;
};
struct AddDeck {
    RoomId room;
    std::uint32_t csrc;
    DeckId deck;
    std::shared_ptr<Ring> ring;
    float gain;
    std::size_t fade_samples;
};
struct FadeDeck {
    RoomId room;
    std::uint32_t csrc;
    DeckId deck;
    float gain;
    std::size_t fade_samples;
    Player::Then then;
};
struct StartEffect {
    RoomId room;
    std::uint32_t csrc;
    std::shared_ptr<Effect> effect;
    float gain;
    Place place;
};
struct StopEffect {
    RoomId room;
    std::uint32_t csrc;
};
struct RemoveColumn {
    RoomId room;
    std::uint32_t csrc;
};
struct ConfigureRoom {
    RoomId room;
    RoomConfig config;
};
struct AddRow {
    RoomId room;
    RowId row;
    std::vector<Cell> cells;
    std::optional<RowId> like;
};
struct SetRow {
    RoomId room;
    RowId row;
    std::vector<Cell> cells;
};
struct RemoveRow {
    RoomId room;
    RowId row;
};
struct AttachAudience {
    RoomId room;
    unsigned worker;
};
struct DetachAudience {
    RoomId room;
    unsigned worker;
};
// To the home of the room that a publisher comes to. In place of the source that this worker may have of him already.
struct AddSource {
    PeerId peer;
    RoomId room;
    std::uint32_t csrc;
    std::shared_ptr<PeerStats> stats;
};
// To the home that he has left, when he has no source there any more.
struct RemoveSource {
    PeerId peer;
};
// To the peer's worker; a publisher's after his AddSource, so that his packets find it.
struct AddPeer {
    std::unique_ptr<Peer> peer;
};
struct MovePublisher {
    PeerId peer;
    RoomId room;
    unsigned home;
    bool opaque;
};
struct MoveListener {
    PeerId peer;
    RoomId room;
    std::uint32_t csrc;
    std::optional<RowId> row;
};
struct SetSources {
    PeerId peer;
    std::vector<std::uint32_t> csrcs;
};
struct SetListenerRow {
    PeerId peer;
    RowId row;
};
struct RestartIce {
    PeerId peer;
    IceCredentials credentials;
};
struct Send {
    PeerId peer;
    std::vector<Datagram> datagrams;
};
struct SetKeys {
    PeerId peer;
    std::unique_ptr<Keys> keys;
};
struct ReleaseHandshake {
    PeerId peer;
};
struct RemovePeer {
    PeerId peer;
    std::vector<Datagram> farewell;
};
struct Stop {};
}  // namespace command

using Command = std::variant<std::monostate, command::AddRoom, command::RemoveRoom, command::SetColumn, command::SetChain,
                             command::AddPlayer, command::SetDelay, command::AddTap, command::AddDeck, command::FadeDeck, command::StartEffect, command::StopEffect, command::RemoveColumn,
                             command::ConfigureRoom, command::AddRow, command::SetRow, command::RemoveRow, command::AttachAudience,
                             command::DetachAudience, command::AddSource, command::RemoveSource, command::AddPeer,
                             command::MovePublisher, command::MoveListener, command::SetSources, command::SetListenerRow,
                             command::RestartIce, command::Send, command::SetKeys, command::ReleaseHandshake,
                             command::RemovePeer, command::Stop>;

// consent_late: a peer with keys has sent no STUN request for 7 s (told within 1 s of that); consent_back: it has again.
// deck_starved, deck_resumed, deck_ended and effect_ended are of a deck or an effect, the rest of a peer.
enum class EventKind : std::uint8_t {
    datagram,
    ice_connected,
    media,
    consent_expired,
    consent_late,
    consent_back,
    deck_starved,
    deck_resumed,
    deck_ended,
    effect_ended,
    voice,  // whether a publisher speaks, is silent or clips has changed: his PeerStats say it
    loss,   // a peer's packets begin to be lost: its PeerStats say how many, and when none are any more
};

struct Event {
    EventKind kind = EventKind::datagram;
    std::uint32_t id = 0;  // of the peer, deck or effect
    Datagram data;  // of kind datagram: one DTLS datagram
};

// Between a room's home and the workers of those in it.
struct Handover {
    enum class Kind : std::uint8_t {
        published,  // to the home: `packet` of publisher `peer`, the only reference to it
        turn,       // to the home: time has passed for publisher `peer`
        feed,       // to an audience: `packet` for those who carry `feed`
        order,      // to an audience
        wish,       // to the home: somebody carries `feed`, of a row
    };
    Kind kind = Kind::feed;
    RoomId room = 0;
    PeerId peer = 0;
    FeedKey feed = 0;
    PacketRef packet{};
    Position position{};
    std::shared_ptr<const std::vector<std::uint32_t>> order{};   // the audible sources, best rank first
};

}  // namespace plane
