#include "room.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace plane {

namespace {

// After what the jitter buffer wants now: so much it may come to want more before a speaker is played slower for it, which is heard,
// and costs a passthrough. Less than that (its step, less what a playout bears) mixes who could be passed on; more is delay.
constexpr Duration spare = milliseconds{3};

}  // namespace

bool Room::set_column(std::uint32_t csrc, float gain, Place place, Instant now) {
    Column& column = columns_[csrc];
    const bool was_audible = column.gain > 0 && column.source;
    column.gain = gain;
    column.place = place;
    const bool is_audible = gain > 0 && column.source;
    if (was_audible == is_audible) return false;
    if (is_audible) {
        ranking_.add(csrc, now);
        column.source->break_run();  // what he said before is heard by nobody, in no copy either
        if (column.source->playout) column.source->playout->begin_anew();
    } else {
        ranking_.remove(csrc);
        column.source->break_run();
        column.source->mute();
    }
    return true;
}

bool Room::remove_column(std::uint32_t csrc) {
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return false;
    const Column column = std::move(found->second);
    columns_.erase(found);
    if (column.is_played()) leaving_.emplace_back(csrc, column);
    if (!column.source) return false;
    column.source->break_run();
    if (column.gain <= 0) return false;
    ranking_.remove(csrc);
    return true;
}

void Room::set_chain(std::uint32_t csrc, std::vector<Chain::Link> links) {
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return;
    const std::shared_ptr<Chain> before = found->second.chain;
    const auto delay = before ? before->delay() : std::nullopt;
    found->second.chain = links.empty() && !delay ? nullptr
                                                  : std::make_shared<Chain>(std::move(links), config_.mix.encoder.channels, delay);
}

void Room::set_delay(std::uint32_t csrc, std::size_t samples) {
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return;
    Column& column = found->second;
    if (column.tap) return column.tap->set_delay(samples);
    if (!column.chain && samples == 0) return;
    if (!column.chain) column.chain = std::make_shared<Chain>(std::vector<Chain::Link>{}, config_.mix.encoder.channels);
    column.chain->set_delay(samples);
}

void Room::add_tap(std::uint32_t csrc, std::uint32_t player, float gain, Place place, std::size_t delay) {
    const auto found = columns_.find(player);
    if (found == columns_.end() || !found->second.player) return;
    auto tap = std::make_shared<Tap>(found->second.player, config_.mix.encoder.channels, delay);
    columns_.try_emplace(csrc, Column{.gain = gain, .place = place, .tap = std::move(tap)});
}

void Room::add_player(std::uint32_t csrc, float gain, Place place) {
    columns_.try_emplace(csrc, Column{.gain = gain, .place = place, .player = std::make_shared<Player>()});
}

void Room::add_effect(std::uint32_t csrc, std::shared_ptr<Effect> effect, float gain, Place place) {
    columns_.try_emplace(csrc, Column{.gain = gain, .place = place, .effect = std::move(effect)});
}

Player* Room::player(std::uint32_t csrc) noexcept {
    const auto found = columns_.find(csrc);
    return found == columns_.end() ? nullptr : found->second.player.get();
}

void Room::stop_effect(std::uint32_t csrc) noexcept {
    const auto found = columns_.find(csrc);
    if (found != columns_.end() && found->second.effect) found->second.effect->stop();
}

void Room::configure(const RoomConfig& config) {
    config_.ducking = config.ducking;
    if (config.mix == config_.mix) return;
    config_ = config;
    mixer_.reset();
    for (auto& [csrc, column] : columns_) {
        if (column.source) column.source->playout.reset();
        if (column.chain) set_chain(csrc, column.chain->links_for(config_.mix.encoder.channels));
        if (column.tap) column.tap = std::make_shared<Tap>(*column.tap, config_.mix.encoder.channels);
    }
    for (const auto& [row, cells] : std::exchange(rows_, {})) add_row(row, cells, std::nullopt);
}

void Room::add_row(RowId row, std::vector<Cell> cells, std::optional<RowId> like) {
    if (!mixer_) {
        mixer_ = std::make_unique<Mixer>(config_.mix, kernels_);
        mixer_run_ = next_run();
    }
    rows_[row] = cells;
    // Who moves to it from the other row, for whom it is made, wants what he had there.
    if (const auto model = like ? wishes_.find(*like) : wishes_.end(); model != wishes_.end()) wishes_.emplace(row, model->second);
    mixer_->add_row(row, std::move(cells), like);
}

void Room::set_row(RowId row, std::vector<Cell> cells) {
    const auto found = rows_.find(row);
    if (found == rows_.end()) return;
    found->second = cells;
    mixer_->set_row(row, std::move(cells));
}

void Room::want_row(RowId row, Variant variant, Instant now) { wishes_[row][variant.number()] = now + wish; }

void Room::apply_wishes(Instant now) {
    for (auto entry = wishes_.begin(); entry != wishes_.end();) {
        std::uint8_t wanted = 0;
        for (std::size_t v = 0; v < variants; ++v) wanted |= entry->second[v] > now ? variant(v).bit() : 0;
        // A row of which nobody wants anything has its configured mix made, for who is on his way to it.
        mixer_->want(entry->first, wanted != 0 ? wanted : Variant{}.bit());
        entry = wanted != 0 ? std::next(entry) : wishes_.erase(entry);
    }
}

void Room::remove_row(RowId row) {
    wishes_.erase(row);
    if (rows_.erase(row) == 0) return;
    mixer_->remove_row(row);
    if (!mixer_->empty()) return;
    mixer_.reset();
    for (auto& [csrc, column] : columns_) {
        if (column.source) column.source->playout.reset();
    }
}

Room::Verdict Room::hear(Source& source, const Packet& packet, Instant now) {
    const std::uint32_t csrc = source.config().csrc;
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return Verdict::inaudible;
    Column& column = found->second;
    bool changed = false;
    if (column.source != &source) {
        if (column.source && column.source->serial() > source.serial()) return Verdict::inaudible;
        const bool first = column.source == nullptr;
        column.source = &source;
        source.playout.reset();  // one from before he was taken over may be of other settings
        if (first && column.gain > 0) {
            ranking_.add(csrc, now);
            changed = true;
        }
    }
    if (column.gain <= 0) {
        source.mute();
        return Verdict::inaudible;
    }
    source.pass(packet, now);
    if (mixer_) {
        if (!source.playout) source.playout = std::make_shared<Playout>(config_.mix.encoder.channels);
        source.playout->take(packet);
    }
    changed |= ranking_.update(csrc, source.voice().level_dbov(), source.voice().speaking(), now);
    return changed ? Verdict::order_changed : Verdict::audible;
}

bool Room::detach(const Source& source) {
    const auto found = columns_.find(source.config().csrc);
    if (found == columns_.end() || found->second.source != &source) return false;
    found->second.source = nullptr;
    if (found->second.gain <= 0) return false;
    ranking_.remove(source.config().csrc);
    return true;
}

bool Room::tick(Instant now) {
    bool changed = false;
    for (auto& [csrc, column] : columns_) {
        if (!column.source) continue;
        column.source->tick(now);
        const Voice& voice = column.source->voice();
        changed |= ranking_.update(csrc, voice.level_dbov(), voice.speaking(), now);
    }
    return changed;
}

void Room::render(Instant due) {
    const Instant end = due + tick_interval() + nanoseconds{kernels_.limiter_delay * 1'000'000LL / 48};
    const unsigned channels = config_.mix.encoder.channels;
    const std::size_t samples = opus::sample_rate / 1000 * config_.mix.ptime_ms;
    const auto render_column = [&](Column& column) {
        if (column.player) column.player->render(end, samples, channels, happenings_);
        if (column.effect) column.effect->render(samples, channels, happenings_);
    };
    for (auto& [csrc, column] : columns_) render_column(column);
    for (auto& [csrc, column] : leaving_) render_column(column);
    // After the players that they tap, the one that leaves included.
    for (auto& [csrc, column] : columns_) {
        if (column.tap) column.tap->render(samples);
    }
    for (auto& [csrc, column] : leaving_) {
        if (column.tap) column.tap->render(samples);
    }
}

void Room::duck(Instant now) {
    const Ducking& ducking = config_.ducking;
    const bool somebody_speaks = std::any_of(columns_.begin(), columns_.end(), [&](const auto& entry) {
        const Column& column = entry.second;
        return column.source && column.gain > 0 && column.source->voice().speaks_just_now(now);
    });
    const float target = somebody_speaks ? ducking.gain : 1.0F;
    // As many dB in each frame, whatever the way; to silence and back by way of -60 dB.
    constexpr float floor = 0.001F;
    // Turned off while it was down it comes up by 12 dB in that time.
    const float span = ducking.gain < 1 ? std::max(ducking.gain, floor) : 0.25F;
    const float step = std::pow(span, std::chrono::duration<float>(tick_interval()) /
                                                                   (somebody_speaks ? ducking.attack : ducking.release));
    if (ducked_ > target) {
        ducked_ = ducked_ * step <= std::max(target, floor) ? target : ducked_ * step;
    } else if (ducked_ < target) {
        ducked_ = std::min(std::max(ducked_, floor) / step, target);
    }
}

Mixer::Input Room::input_of(std::uint32_t csrc, Column& column, Instant due) {
    if (column.player) {
        const float gain = column.player->sounds() ? column.gain * ducked_ : 0;
        return {.csrc = csrc, .gain = gain, .sound = column.player, .place = column.place, .chain = column.chain, .speaks = false};
    }
    if (column.tap) {
        const float gain = column.tap->sounds() ? column.gain * ducked_ : 0;
        return {.csrc = csrc, .gain = gain, .sound = column.tap, .place = column.place, .chain = column.chain, .speaks = false};
    }
    if (column.effect) {
        return {.csrc = csrc, .gain = column.gain, .sound = column.effect, .place = column.place, .chain = column.chain, .speaks = false};
    }
    const Duration tail = column.chain ? microseconds{column.chain->tail_samples() * 1000ULL / 48} : microseconds{0};
    const bool sounds = column.source->voice().sounds(due - tail);
    if (!sounds) column.source->playout->pass(due);
    // What came last before he fell silent is heard when it has waited, and been mixed for a tick or two.
    const Duration heard_after = column.source->playout->delay(due) + milliseconds{40} + tick_interval();
    const bool hushed = column.source->voice().quiet_for(due) > heard_after;
    return {.csrc = csrc, .gain = sounds ? column.gain : 0, .sound = column.source->playout, .place = column.place, .chain = column.chain,
            .hushed = hushed};
}

void Room::mix(Instant due, PacketPool& pool, std::vector<Mixer::Output>& outputs, WorkerStats& stats) {
    // Media time runs with the clock, through silence and missed ticks; a frame is a whole number of samples, so ticks at
    // one phase are whole frames apart.
    const auto due_ns = std::chrono::duration_cast<nanoseconds>(due.time_since_epoch()).count();
    const auto timestamp = static_cast<std::uint32_t>(static_cast<std::uint64_t>(due_ns) / 1000 * 48 / 1000);
    render(due);  // music goes on when nobody listens
    duck(due);
    if (mixer_) {
        inputs_.clear();
        for (auto& [csrc, column] : columns_) {
            if (column.is_played() || (column.source && column.source->playout)) inputs_.push_back(input_of(csrc, column, due));
        }
        for (auto& [csrc, column] : leaving_) {
            inputs_.push_back(input_of(csrc, column, due));
            inputs_.back().gain = 0;
        }
        apply_wishes(due);
        mixer_->tick(due, timestamp, inputs_, mixer_run_, pool, outputs, stats);
        inputs_.clear();
    }
    leaving_.clear();
    for (auto entry = columns_.begin(); entry != columns_.end();) {
        const bool ended = entry->second.effect && !entry->second.effect->active();
        if (ended) leaving_.emplace_back(entry->first, entry->second);
        entry = ended ? columns_.erase(entry) : std::next(entry);
    }
}

std::optional<Instant> Room::wanted_tick(const Source& source) const noexcept {
    if (!mixer_ || !source.playout || mixer_->active() || !leaving_.empty()) return std::nullopt;
    for (const auto& [csrc, column] : columns_) {
        if (column.is_played()) return std::nullopt;
    }
    return source.playout->buffer().wanted() + spare;
}

bool Room::active(Instant now) const noexcept {
    if (mixer_ && mixer_->active()) return true;
    return !leaving_.empty() || std::any_of(columns_.begin(), columns_.end(), [&](const auto& entry) {
        const Column& column = entry.second;
        return column.effect || (column.player && column.player->active()) || (column.tap && column.tap->active()) || (column.source && column.source->voice().active(now));
    });
}

std::vector<std::uint32_t> Room::order() const {
    std::vector<std::uint32_t> csrcs;
    csrcs.reserve(ranking_.order().size());
    for (const Ranking::Speaker& speaker : ranking_.order()) csrcs.push_back(speaker.csrc);
    return csrcs;
}

}  // namespace plane
