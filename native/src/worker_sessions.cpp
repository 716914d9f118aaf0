// Datagrams that carry no sound: connectivity checks, handshakes, RTCP; and what is sent to a peer of our own.
#include <algorithm>

#include "worker.hpp"

namespace plane {

namespace {

// An address stays with its peer against the claim of another for so long after its last request: it is a client that
// closed one session and reuses the port, or somebody who forges it.
constexpr Duration address_lease = seconds{10};

}  // namespace

void Worker::on_stun(Instant now, Bytes datagram, const Endpoint& from, std::uint16_t socket) {
    const auto request = stun::parse_request(datagram);
    if (!request) return stats.dropped_malformed.add(1);
    auto found = by_ufrag_.find(request->local_ufrag);
    if (found == by_ufrag_.end() && commands.readable() > 0) {
        drain_commands(now);  // the command that makes the peer known may have been sent since the pass began
        found = by_ufrag_.find(request->local_ufrag);
    }
    if (found == by_ufrag_.end()) return stats.dropped_unauthentic.add(1);
    Peer& peer = *found->second;

    const auto known = by_address_.find(from);
    if (known != by_address_.end() && known->second != &peer &&
        now - known->second->ice.find(from)->last_request < address_lease) {
        return stats.dropped_unauthentic.add(1);
    }
    const IceLite::Outcome outcome = peer.ice.request(now, from, socket, datagram, *request);
    if (!outcome.path) {
        stats.dropped_unauthentic.add(1);
        // Smaller than any request that carries a username and integrity, so it amplifies nothing.
        const MutableBytes space = reserve(from, socket);
        return commit(stun::write_error(space, *request, stun::Error::unauthorized, {}), from, socket);
    }
    stats.stun_requests.add(1);
    if (std::exchange(peer.consent_late, false)) tell(EventKind::consent_back, peer.id);
    if (!outcome.retired_ufrag.empty()) by_ufrag_.erase(outcome.retired_ufrag);
    if (outcome.evicted) drop_path(peer, *outcome.evicted, now);
    by_address_[from] = &peer;
    if (from.is_tcp()) tcp_.prove(socket);

    const MutableBytes space = reserve(from, socket);
    std::size_t size;
    if (request->controlled) {
        size = stun::write_error(space, *request, stun::Error::role_conflict, outcome.password);
    } else if (request->unknown_attribute != 0) {
        size = stun::write_error(space, *request, stun::Error::unknown_attribute, outcome.password);
    } else {
        size = stun::write_success(space, request->transaction, from, outcome.password);
    }
    if (peer.ice.allow(*outcome.path, size)) {
        commit(size, from, socket);
    } else {
        stats.dropped_amplification.add(1);
    }
    if (outcome.selected_changed) {
        const bool first = peer.stats->address().empty();
        peer.stats->over_tcp.set(from.is_tcp());
        peer.stats->set_address(from.text());
        if (first) tell(EventKind::ice_connected, peer.id);  // and no more: a peer may change as often as he sends
    }
}

void Worker::on_dtls(Instant now, Peer& peer, Path& path, Bytes datagram) {
    path.bytes_received += datagram.size();
    if (peer.handshake_released) return;
    if (now - peer.handshake_since >= Peer::handshake_window) {
        peer.handshake_since = now;
        peer.handshake_allowance = Peer::handshake_datagrams;
    }
    if (peer.handshake_allowance == 0 || events.free_slots() < 4096) return stats.dropped_handshake.add(1);
    --peer.handshake_allowance;
    tell(EventKind::datagram, peer.id, datagram);
}

void Worker::on_rtcp(Instant now, Peer& peer, Packet& packet) {
    if (!peer.keys) return stats.dropped_early.add(1);
    const auto size = peer.keys->open.rtcp({packet.bytes.data(), packet.size});
    if (!size) return stats.dropped_unauthentic.add(1);
    note_media(peer);
    stats.rtcp_received.add(1);
    const auto reports = read_reports(peer, {packet.bytes.data(), *size}, now, ntp_);
    if (!reports) return;
    if (reports->bye) {
        peer.ice.goodbye(now);
        set_turn(peer, std::min(peer.turn, turn_after(now)));  // consent ends sooner
    }
    if (!peer.listener) return;
    note_loss(peer);
    if (peer.listener->has_tiers() && peer.stats->tier.get() != static_cast<std::uint32_t>(peer.listener->tier.tier())) change_tier(peer, now);
    for (std::size_t i = 0; i < reports->nack_count; ++i) retransmit(now, peer, reports->nacks[i]);
}

void Worker::send_now(Peer& peer, Bytes datagram) {
    Path* path = peer.ice.selected();
    if (!path || datagram.size() > max_datagram) return;
    if (!peer.ice.allow(*path, datagram.size())) return stats.dropped_amplification.add(1);
    const MutableBytes space = reserve(path->remote, path->socket);
    std::copy(datagram.begin(), datagram.end(), space.begin());
    commit(datagram.size(), path->remote, path->socket);
}

void Worker::send_compound(Peer& peer, Bytes compound) {
    Path* path = peer.ice.selected();
    if (!peer.keys || !path || compound.empty()) return;
    const std::size_t size = peer.keys->seal.rtcp(compound, reserve(path->remote, path->socket));
    if (size != 0) commit(size, path->remote, path->socket);
}

// Once between two turns at most, whatever a client reports. What cannot be told now is told with the next report or turn.
void Worker::note_loss(Peer& peer) {
    if (peer.loss_told || peer.stats->fraction_lost.get() == 0 || events.free_slots() < 2048) return;
    peer.loss_told = true;
    tell(EventKind::loss, peer.id);
}

void Worker::note_media(Peer& peer) {
    if (!std::exchange(peer.media_seen, true)) tell(EventKind::media, peer.id);
}

}  // namespace plane
