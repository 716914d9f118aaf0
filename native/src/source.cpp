#include "source.hpp"

#include "room.hpp"

namespace plane {

Source::Source(SourceConfig config, Room& room, std::uint32_t serial, std::shared_ptr<PeerStats> stats)
    : config_{config}, room_{room}, serial_{serial}, stats_{std::move(stats)} {
    voice_.silence_dbov = config_.silence_dbov;
}

void Source::take(Packet& packet, Instant now) noexcept {
    if (packet.position.run != stretch_) {
        stretch_ = packet.position.run;
        run_ = 0;
    }
    if (run_ == 0) {
        run_ = room_.next_run();
        run_first_ = packet.position.index;
        passed_ = {};
    }
    packet.position.run = run_;
    packet.csrcs[0] = config_.csrc;
    packet.csrc_levels[0] = packet.level.level;
    packet.csrc_count = 1;
    voice_.hear(-static_cast<double>(packet.level.level), now);
    publish_voice();
}

void Source::pass(const Packet& packet, Instant now) noexcept {
    capture_.hear(-static_cast<double>(packet.level.level), now);
    publish_voice();
}

void Source::mute() noexcept {
    capture_.mute();
    publish_voice();
}

void Source::tick(Instant now) noexcept {
    voice_.tick(now);
    if (playout) {
        const std::uint64_t clipped = playout->packets_clipped();
        // A new playout counts anew.
        capture_.clip(clipped < clipped_ ? clipped : clipped - clipped_, now);
        clipped_ = clipped;
    }
    capture_.tick(now);
    publish_voice();
    if (!playout) return;
    playout->publish(*stats_, now);
    const auto duration = [](double ms) { return nanoseconds{static_cast<std::int64_t>(ms * 1e6)}; };
    const double answer_ms = stats_->answer_ms.get();
    if (answer_ms >= 0) playout->set_answers(Answers{duration(answer_ms), duration(stats_->question_ms.get())});
}

void Source::publish_voice() noexcept {
    stats_->level_dbov.set(voice_.level_dbov());
    stats_->speaking.set(voice_.speaking());
    stats_->silent.set(capture_.silent());
    stats_->clipping.set(capture_.clipping());
}

}  // namespace plane
