// What the control thread asks of a worker.
#include <algorithm>

#include "worker.hpp"

namespace plane {

namespace {
constexpr double music_silence_dbov = -90.0;  // a room for music loses no soft note to save a decoder
}  // namespace

void Worker::on(const command::AddRoom& add, Instant) {
    const auto audience = audiences_.emplace(add.room, std::make_unique<Audience>(add.room, add.home, add.config.e2ee)).first;
    if (add.home == number_) {
        const auto room = rooms_.emplace(add.room, std::make_unique<Room>(add.room, add.config, kernels_)).first;
        room->second->here = audience->second.get();
    }
    stats.rooms.set(rooms_.size());
}

void Worker::on(const command::RemoveRoom& remove, Instant) {
    // The control side removes a room's peers first; what is left are packets on their way to nobody.
    Audience* audience = find_audience(remove.room);
    for (std::size_t i = 0; audience && i < fan_out_count_; ++i) {
        FanOut& job = fan_outs_[(fan_out_head_ + i) % max_fan_outs];
        if (job.audience == audience) job = {};
    }
    if (Room* room = find_room(remove.room)) stats.mixes.set(stats.mixes.get() - room->counted_mixes);
    audiences_.erase(remove.room);
    rooms_.erase(remove.room);
    stats.rooms.set(rooms_.size());
}

void Worker::on(const command::SetColumn& set, Instant now) {
    Room* room = find_room(set.room);
    if (room && room->set_column(set.csrc, set.gain, set.place, now)) after_order_change(*room, now);
}

void Worker::on(command::SetChain& set, Instant) {
    if (Room* room = find_room(set.room)) room->set_chain(set.csrc, std::move(set.links));
}

void Worker::on(const command::AddPlayer& add, Instant) {
    if (Room* room = find_room(add.room)) room->add_player(add.csrc, add.gain, add.place);
}

void Worker::on(const command::SetDelay& set, Instant) {
    if (Room* room = find_room(set.room)) room->set_delay(set.csrc, set.samples);
}

void Worker::on(const command::AddTap& add, Instant) {
    if (Room* room = find_room(add.room)) room->add_tap(add.csrc, add.player, add.gain, add.place, add.delay);
}

void Worker::on(command::AddDeck& add, Instant now) {
    Room* room = find_room(add.room);
    Player* player = room ? room->player(add.csrc) : nullptr;
    if (!player) return;
    player->add_deck(add.deck, std::move(add.ring), add.gain, add.fade_samples);
    start_ticking(*room, now);
}

void Worker::on(const command::FadeDeck& fade, Instant now) {
    Room* room = find_room(fade.room);
    Player* player = room ? room->player(fade.csrc) : nullptr;
    if (!player) return;
    player->fade_deck(fade.deck, fade.gain, fade.fade_samples, fade.then);
    start_ticking(*room, now);
}

void Worker::on(command::StartEffect& start, Instant now) {
    Room* room = find_room(start.room);
    if (!room) return;
    room->add_effect(start.csrc, std::move(start.effect), start.gain, start.place);
    start_ticking(*room, now);
}

void Worker::on(const command::StopEffect& stop, Instant) {
    if (Room* room = find_room(stop.room)) room->stop_effect(stop.csrc);
}

void Worker::on(const command::RemoveColumn& remove, Instant now) {
    Room* room = find_room(remove.room);
    if (room) start_ticking(*room, now);  // a player's last frame
    if (room && room->remove_column(remove.csrc)) after_order_change(*room, now);
}

void Worker::on(const command::ConfigureRoom& configure, Instant) {
    if (Room* room = find_room(configure.room)) room->configure(configure.config);
}

void Worker::on(command::AddRow& add, Instant now) {
    Room* room = find_room(add.room);
    if (!room) return;
    room->add_row(add.row, std::move(add.cells), add.like);
    start_ticking(*room, now);
}

void Worker::on(command::SetRow& set, Instant) {
    if (Room* room = find_room(set.room)) room->set_row(set.row, std::move(set.cells));
}

void Worker::on(const command::RemoveRow& remove, Instant) {
    Room* room = find_room(remove.room);
    if (!room) return;
    room->remove_row(remove.row);
    count_mixes(*room);
}

void Worker::on(const command::AttachAudience& attach, Instant now) {
    Room* room = find_room(attach.room);
    if (!room) return;
    room->audiences |= std::uint64_t{1} << attach.worker;
    room->stale_orders |= std::uint64_t{1} << attach.worker;
    publish_order(*room, now);
}

void Worker::on(const command::DetachAudience& detach, Instant) {
    if (Room* room = find_room(detach.room)) room->audiences &= ~(std::uint64_t{1} << detach.worker);
}

void Worker::on(command::AddSource& add, Instant now) {
    drop_source(add.peer, now);
    Room* room = find_room(add.room);
    if (!room) return;
    SourceConfig config{.csrc = add.csrc, .peer = add.peer};
    if (room->config().mix.encoder.music) config.silence_dbov = music_silence_dbov;
    sources_.emplace(add.peer, std::make_unique<Source>(config, *room, ++last_serial_, std::move(add.stats)));
}

void Worker::on(const command::RemoveSource& remove, Instant now) { drop_source(remove.peer, now); }

void Worker::drop_source(PeerId id, Instant now) {
    const auto found = sources_.find(id);
    if (found == sources_.end()) return;
    Room& room = found->second->room();
    if (room.detach(*found->second)) after_order_change(room, now);
    if (Peer* peer = find_peer(id)) peer->source = nullptr;
    sources_.erase(found);
}

void Worker::drop_path(const Peer& peer, const Path& path, Instant now) {
    const auto found = by_address_.find(path.remote);
    if (found == by_address_.end() || found->second != &peer) return;
    by_address_.erase(found);
    if (path.remote.is_tcp()) tcp_.end(path.socket, path.remote, now);
}

void Worker::on(command::AddPeer& add, Instant now) {
    Peer& peer = *add.peer;
    if (peer.listener) {
        Audience* audience = find_audience(peer.room);
        if (!audience) return;
        peer.listener->peer = &peer;
        audience->add(*peer.listener);
        want_row(peer, now);
    } else {
        peer.source = find_source(peer.id, peer.room);
    }
    by_ufrag_.emplace(peer.ice.current().ufrag, &peer);
    set_turn(peer, turn_after(now + brisk_turn));
    peers_.emplace(peer.id, std::move(add.peer));
    stats.peers.set(peers_.size());
}

void Worker::on(const command::MovePublisher& move, Instant) {
    Peer* peer = find_peer(move.peer);
    if (!peer || !peer->reception) return;
    peer->room = move.room;
    peer->home = static_cast<std::uint8_t>(move.home);
    peer->reception->set_opaque(move.opaque);
    peer->source = find_source(move.peer, move.room);
}

void Worker::on(const command::MoveListener& move, Instant now) {
    Peer* peer = find_peer(move.peer);
    if (!peer || !peer->listener) return;
    Listener& listener = *peer->listener;
    if (Audience* audience = find_audience(peer->room)) audience->remove(listener);
    peer->room = move.room;
    listener.csrc = move.csrc;
    listener.row = move.row;
    listener.named.clear();
    if (Audience* audience = find_audience(peer->room)) audience->add(listener);
    want_row(*peer, now);
}

void Worker::on(command::SetSources& set, Instant) {
    Peer* peer = find_peer(set.peer);
    if (!peer || !peer->listener) return;
    peer->listener->named = std::move(set.csrcs);
    if (Audience* audience = find_audience(peer->room)) audience->reassign(*peer->listener);
}

void Worker::on(const command::SetListenerRow& set, Instant now) {
    Peer* peer = find_peer(set.peer);
    if (!peer || !peer->listener) return;
    peer->listener->row = set.row;
    if (Audience* audience = find_audience(peer->room)) audience->reassign(*peer->listener);
    want_row(*peer, now);
}

void Worker::on(command::RestartIce& restart, Instant) {
    Peer* peer = find_peer(restart.peer);
    if (!peer) return;
    by_ufrag_.emplace(restart.credentials.ufrag, peer);
    const std::string unused = peer->ice.restart(std::move(restart.credentials));
    if (!unused.empty()) by_ufrag_.erase(unused);
}

void Worker::on(const command::Send& send, Instant) {
    Peer* peer = find_peer(send.peer);
    for (const Datagram& datagram : send.datagrams) {
        if (peer) send_now(*peer, datagram);
    }
}

void Worker::on(command::SetKeys& set, Instant) {
    if (Peer* peer = find_peer(set.peer)) {
        peer->keys = std::move(set.keys);
        peer->ice.prove();
    }
}

void Worker::on(const command::ReleaseHandshake& release, Instant) {
    if (Peer* peer = find_peer(release.peer)) peer->handshake_released = true;
}

void Worker::on(const command::RemovePeer& remove, Instant now) {
    Peer* peer = find_peer(remove.peer);
    if (!peer) return;
    std::array<std::uint8_t, max_compound> compound;
    send_compound(*peer, {compound.data(), write_goodbye(*peer, compound)});
    for (const Datagram& datagram : remove.farewell) send_now(*peer, datagram);

    if (peer->listener) {
        if (Audience* audience = find_audience(peer->room)) audience->remove(*peer->listener);
        count_tier(*peer, -1);
    }
    drop_source(remove.peer, now);  // elsewhere, his home is told by itself
    by_ufrag_.erase(peer->ice.current().ufrag);
    if (peer->ice.previous()) by_ufrag_.erase(peer->ice.previous()->ufrag);
    for (const Path& path : peer->ice.paths()) drop_path(*peer, path, now);
    peers_.erase(remove.peer);
    stats.peers.set(peers_.size());
}

void Worker::on(const command::Stop&, Instant) { stopping_ = true; }

}  // namespace plane
