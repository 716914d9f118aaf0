// What a room does by itself: its ticks, and the order of its speakers that it tells.
#include "worker.hpp"

namespace plane {

void Worker::publish_order(Room& room, Instant now) {
    const auto order = std::make_shared<const std::vector<std::uint32_t>>(room.order());
    std::uint64_t audiences = std::exchange(room.stale_orders, 0) & room.audiences;
    for (unsigned worker = 0; audiences != 0; ++worker, audiences >>= 1) {
        if (!(audiences & 1)) continue;
        if (worker == number_) {
            if (Audience* audience = find_audience(room.id())) audience->set_order(*order);
        } else {
            hand_over(worker, {.kind = Handover::Kind::order, .room = room.id(), .order = order});
        }
    }
    if (room.stale_orders != 0) start_ticking(room, now);  // a full queue: the tick tries again
}

void Worker::after_order_change(Room& room, Instant now) {
    stats.ranking_changes.add(1);
    room.stale_orders = room.audiences;
    publish_order(room, now);
    start_ticking(room, now);
}

void Worker::tick(Room& room, Instant due) {
    const Instant begin = Clock::now();
    stats.room_ticks.add(1);
    stats.tick_lateness.record(begin - due);
    room.timer = {};
    room.last_tick = due;
    room.aligned = false;
    if (room.tick(due)) after_order_change(room, due);
    room.each_source([&](Source& source) { tell_voice(source); });
    if (room.stale_orders != 0) publish_order(room, due);
    room.mix(due, pool_, mixed_, stats);
    for (const Mixer::Output& output : mixed_) distribute(room, row_feed(output.row, output.variant), output.packet, output.position);
    mixed_.clear();
    tell_happenings(room);
    count_mixes(room);
    const Instant end = Clock::now();
    stats.tick_duration.record(end - begin);
    const bool active = room.active(due);
    if (active) awake_ = begin;
    if (active || room.stale_orders != 0) {
        set_room_timer(room, next_tick(room, end));
    } else if (const auto next = room.next_due()) {
        set_room_timer(room, next_tick(room, *next));
    }
}

void Worker::tell_happenings(Room& room) {
    for (const Happening& happening : room.take_happenings()) {
        switch (happening.kind) {
            case Happening::Kind::starved: tell(EventKind::deck_starved, happening.id); break;
            case Happening::Kind::resumed: tell(EventKind::deck_resumed, happening.id); break;
            case Happening::Kind::ended: tell(EventKind::deck_ended, happening.id); break;
            case Happening::Kind::effect_ended: tell(EventKind::effect_ended, happening.id); break;
        }
    }
}

void Worker::count_mixes(Room& room) {
    stats.mixes.set(stats.mixes.get() - std::exchange(room.counted_mixes, room.mixes()) + room.mixes());
}

void Worker::start_ticking(Room& room, Instant now) {
    const Instant next = next_tick(room, now);
    if (room.timer == Instant{} || room.timer > next) set_room_timer(room, next);
}

// A room that says nothing may tick at any phase, and takes the one at which its first speaker's packets are due: they wait for no
// tick then. The first of several has it; else each would put the tick off.
void Worker::align_ticks(Room& room, Instant wanted, Instant now) {
    if (std::exchange(room.aligned, true)) return;
    const Duration interval = room.tick_interval();
    room.phase = wanted.time_since_epoch() % interval;
    // Not sooner after the last than a frame lasts: what that one said is not over.
    set_room_timer(room, next_tick(room, std::max(now, room.last_tick + interval - nanoseconds{1})));
}

void Worker::set_room_timer(Room& room, Instant due) {
    room.timer = due;
    timers_.push({due, true, room.id()});
}

Instant Worker::next_tick(const Room& room, Instant now) const {
    // Each room has a phase of its own, so that their ticks do not fall together: at first anyone, then its first speaker's.
    const auto interval = std::chrono::duration_cast<nanoseconds>(room.tick_interval()).count();
    const auto anyone = static_cast<std::int64_t>(room.id() * 0x9E3779B97F4A7C15ULL >> 32) * interval >> 32;
    const auto phase = room.phase ? std::chrono::duration_cast<nanoseconds>(*room.phase).count() % interval : anyone;
    const auto since_epoch = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
    return Instant{nanoseconds{(since_epoch - phase) / interval * interval + interval + phase}};
}

}  // namespace plane
