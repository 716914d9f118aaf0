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
    bool home;
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
// To the peer's worker. A publisher's source is made there, where its room is.
struct AddPeer {
    std::unique_ptr<Peer> peer;
    std::optional<SourceConfig> source;
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

using Command = std::variant<std::monostate, command::AddRoom, command::RemoveRoom, command::SetColumn, command::RemoveColumn,
                             command::ConfigureRoom, command::AddRow, command::RemoveRow, command::AttachAudience, command::DetachAudience, command::AddPeer, command::SetSources, command::SetListenerRow,
                             command::RestartIce, command::Send, command::SetKeys, command::ReleaseHandshake,
                             command::RemovePeer, command::Stop>;

enum class EventKind : std::uint8_t { datagram, ice_connected, address_changed, media, consent_expired };

struct Event {
    EventKind kind = EventKind::datagram;
    PeerId peer = 0;
    Datagram data;  // of kind datagram: one DTLS datagram
};

// From a room's home to a worker with an audience of it: a packet for those who carry `feed`, or a new order.
struct Handover {
    RoomId room = 0;
    FeedKey feed = 0;
    PacketRef packet;
    Position position;
    std::shared_ptr<const std::vector<std::uint32_t>> order;   // the audible sources, best rank first
};

}  // namespace plane
