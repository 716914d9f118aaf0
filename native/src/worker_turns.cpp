// What a peer is owed though nobody asks: word of its consent, reports, and what it wants of its room said again.
#include <algorithm>

#include "worker.hpp"

namespace plane {

namespace {

// RFC 3550 section 6.2: reports at least 5 s apart serve audio. A publisher who gives sound has one each second, since that paces
// repair; listeners and the silent are many.
constexpr Duration report_interval = seconds{5};
// Peers' turns come together this often: each is a wake-up of the worker, which costs more than what there is to do. Rarer would
// make bursts of reports.
constexpr Duration turn_grid = milliseconds{20};

}  // namespace

Instant Worker::turn_after(Instant time) noexcept {
    return Instant{(time.time_since_epoch() / turn_grid + 1) * turn_grid};
}

void Worker::set_turn(Peer& peer, Instant due) {
    if (peer.turn == due) return;
    peer.turn = due;
    timers_.push({due, false, peer.id});
}

// A publisher begins to give sound: what ends it must not wait for the rare turn of the silent.
void Worker::rouse(Peer& peer, Instant now) {
    peer.loud = true;
    if (peer.turn - now > brisk_turn) set_turn(peer, turn_after(now + brisk_turn - turn_grid));
}

void Worker::take_turn(Peer& peer, Instant now) {
    if (peer.keys && peer.ice.consent_late(now) && !std::exchange(peer.consent_late, true)) {
        tell(EventKind::consent_late, peer.id);
    }
    if (peer.ice.consent_expired(now) && !std::exchange(peer.consent_reported, true)) {
        tell(EventKind::consent_expired, peer.id);
    }
    // A muted voice has no room tick to end it.
    if (peer.source) {
        peer.source->tick(now);
        tell_voice(*peer.source);
    } else if (peer.reception) {
        hand_over(peer.home, {.kind = Handover::Kind::turn, .room = peer.room, .peer = peer.id});
    }
    want_row(peer, now);

    const bool brisk = !peer.keys || std::exchange(peer.loud, false) || peer.stats->speaking.get() || peer.stats->clipping.get();
    const Duration reports_every = peer.reception && brisk ? brisk_turn : report_interval;
    if (peer.keys && now - peer.reported >= reports_every - turn_grid) {
        peer.reported = now;
        std::array<std::uint8_t, max_compound> compound;
        send_compound(peer, {compound.data(), write_reports(peer, compound, now, ntp_)});
    }
    if (peer.stats->fraction_lost.get() > 0) {
        note_loss(peer);
    } else {
        peer.loss_told = false;
    }

    Instant next = now + (brisk ? brisk_turn : report_interval) - turn_grid;
    if (peer.keys && !peer.consent_late) next = std::min(next, peer.ice.consent_late_at());
    if (!peer.consent_reported) next = std::min(next, peer.ice.consent_until());
    set_turn(peer, turn_after(std::max(next, now)));
}

}  // namespace plane
