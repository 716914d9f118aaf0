#include "room.hpp"

#include <algorithm>
#include <utility>

namespace plane {

bool Room::set_column(std::uint32_t csrc, float gain, Instant now) {
    Column& column = columns_[csrc];
    const bool was_audible = column.gain > 0 && column.source;
    column.gain = gain;
    const bool is_audible = gain > 0 && column.source;
    if (was_audible == is_audible) return false;
    if (is_audible) {
        ranking_.add(csrc, now);
        if (column.source->playout) column.source->playout->begin_anew();
    } else {
        ranking_.remove(csrc);
        column.source->break_run();
    }
    return true;
}

bool Room::remove_column(std::uint32_t csrc) {
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return false;
    const Column column = found->second;
    columns_.erase(found);
    if (!column.source) return false;
    column.source->break_run();
    if (column.gain <= 0) return false;
    ranking_.remove(csrc);
    return true;
}

void Room::configure(const RoomConfig& config) {
    if (config.mix == config_.mix) return;
    config_ = config;
    mixer_.reset();
    for (auto& [csrc, column] : columns_) {
        if (column.source) column.source->playout.reset();
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
    if (column.gain <= 0) return Verdict::inaudible;
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

void Room::mix(Instant due, PacketPool& pool, std::vector<Mixer::Output>& outputs, WorkerStats& stats) {
    if (!mixer_) return;
    inputs_.clear();
    for (auto& [csrc, column] : columns_) {
        if (!column.source || !column.source->playout) continue;
        const bool sounds = column.source->voice().sounds(due);
        if (!sounds) column.source->playout->pass(due);
        // What came last before he fell silent is heard when it has waited, and been mixed for a tick or two.
        const Duration heard_after = column.source->playout->delay(due) + milliseconds{40} + tick_interval();
        const bool hushed = column.source->voice().quiet_for(due) > heard_after;
        inputs_.push_back({csrc, sounds ? column.gain : 0, column.source->playout, hushed});
    }
    // Media time runs with the clock, through silence and missed ticks; a frame is a whole number of samples, so ticks at
    // one phase are whole frames apart.
    const auto due_ns = std::chrono::duration_cast<nanoseconds>(due.time_since_epoch()).count();
    const auto timestamp = static_cast<std::uint32_t>(static_cast<std::uint64_t>(due_ns) / 1000 * 48 / 1000);
    apply_wishes(due);
    mixer_->tick(due, timestamp, inputs_, mixer_run_, pool, outputs, stats);
    inputs_.clear();
}

bool Room::active(Instant now) const noexcept {
    if (mixer_ && mixer_->active()) return true;
    return std::any_of(columns_.begin(), columns_.end(), [&](const auto& entry) {
        return entry.second.source && entry.second.source->voice().active(now);
    });
}

std::vector<std::uint32_t> Room::order() const {
    std::vector<std::uint32_t> csrcs;
    csrcs.reserve(ranking_.order().size());
    for (const Ranking::Speaker& speaker : ranking_.order()) csrcs.push_back(speaker.csrc);
    return csrcs;
}

}  // namespace plane
