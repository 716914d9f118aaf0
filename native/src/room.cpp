#include "room.hpp"

#include <algorithm>

namespace plane {

bool Room::set_column(std::uint32_t csrc, float gain, Instant now) {
    Column& column = columns_[csrc];
    const bool was_audible = column.gain > 0 && column.source;
    column.gain = gain;
    const bool is_audible = gain > 0 && column.source;
    if (was_audible == is_audible) return false;
    if (is_audible) {
        ranking_.add(csrc, now);
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

Room::Verdict Room::hear(Source& source, Instant now) {
    const std::uint32_t csrc = source.config().csrc;
    const auto found = columns_.find(csrc);
    if (found == columns_.end()) return Verdict::inaudible;
    Column& column = found->second;
    bool changed = false;
    if (column.source != &source) {
        if (column.source && column.source->serial() > source.serial()) return Verdict::inaudible;
        const bool first = column.source == nullptr;
        column.source = &source;
        if (first && column.gain > 0) {
            ranking_.add(csrc, now);
            changed = true;
        }
    }
    if (column.gain <= 0) return Verdict::inaudible;
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

bool Room::active(Instant now) const noexcept {
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
