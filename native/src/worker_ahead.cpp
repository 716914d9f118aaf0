// What is asked of memory before it is needed.
#include "prefetch.hpp"
#include "worker.hpp"

namespace plane {

void Worker::prefetch_senders(std::size_t count) const noexcept {
    std::array<const Peer*, receive_batch> senders;
    std::size_t known = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto found = by_address_.find(inbox_[i].from);
        if (found != by_address_.end()) senders[known++] = found->second;
    }
    prefetch_peers({senders.data(), known}, Direction::in);
}

void Worker::prefetch_turns(std::span<const Timer> timers) const noexcept {
    std::array<const Peer*, timer_batch> peers;
    std::size_t known = 0;
    for (const Timer& timer : timers) {
        const auto found = timer.is_room ? peers_.end() : peers_.find(timer.id);
        if (found != peers_.end()) peers[known++] = found->second.get();
    }
    prefetch_peers({peers.data(), known}, Direction::out);
}

// Nothing of thousands who are seldom heard of is in the nearer caches. Each step is done for all of a batch, and reads what the one
// before has asked for.
void Worker::prefetch_peers(std::span<const Peer* const> peers, Direction direction) noexcept {
    const auto each = [&](auto&& ask) {
        for (const Peer* peer : peers) ask(*peer);
    };
    each([](const Peer& peer) { prefetch(&peer); });
    each([](const Peer& peer) {
        prefetch(peer.keys.get());
        prefetch(peer.stats.get());
        prefetch(peer.reception.get());
        prefetch(peer.source);
        prefetch(peer.listener.get());
    });
    for (const auto ahead : {srtp::Ahead::state, srtp::Ahead::transform, srtp::Ahead::cipher}) {
        each([=](const Peer& peer) {
            if (!peer.keys) return;
            if (direction == Direction::out) return peer.keys->seal.prefetch(ahead, srtp::Of::rtcp);
            peer.keys->open.prefetch(ahead, peer.listener ? srtp::Of::rtcp : srtp::Of::rtp);
        });
    }
    each([](const Peer& peer) {
        if (peer.listener) {
            prefetch(peer.listener->slots.data());
            prefetch(peer.listener->audience);
        }
        if (!peer.source) return;
        prefetch(&peer.source->room());
        if (peer.source->playout) prefetch(peer.source->playout.get(), 256);
    });
    each([](const Peer& peer) {
        if (peer.source) peer.source->room().prefetch();
    });
    each([](const Peer& peer) {
        if (peer.source) peer.source->room().prefetch_rows();
    });
}

// A listener's state is spread over a dozen lines of memory, which 20 ms of other work have driven out of the nearer caches.
// Each step reads what an earlier one has asked for, 2 packets before.
void Worker::prefetch_behind(std::span<const Audience::Subscriber> subscribers, std::size_t next) noexcept {
    const auto behind = [&](std::size_t steps, auto&& ask) {
        if (next + steps >= subscribers.size() || !subscribers[next + steps].listener) return;
        ask(*subscribers[next + steps].listener, subscribers[next + steps].slot);
    };
    const auto seal = [](const Listener& listener, srtp::Ahead ahead) {
        if (listener.peer->keys) listener.peer->keys->seal.prefetch(ahead, srtp::Of::rtp);
    };
    behind(12, [](const Listener& listener, std::uint32_t) { prefetch(&listener); });
    behind(10, [](const Listener& listener, std::uint32_t slot) {
        prefetch(listener.peer, Peer::front_size);
        prefetch(&listener.slots[slot]);
    });
    behind(8, [](const Listener& listener, std::uint32_t) {
        if (listener.peer->keys) prefetch(listener.peer->keys.get());
        prefetch(listener.peer->stats.get(), 64);
    });
    behind(6, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Ahead::state); });
    behind(4, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Ahead::transform); });
    behind(2, [&](const Listener& listener, std::uint32_t) { seal(listener, srtp::Ahead::cipher); });
}

}  // namespace plane
