#include "sent_log.hpp"

#include <algorithm>

namespace plane {

const SentLog::Run* SentLog::find(std::uint64_t index) const noexcept {
    const std::uint64_t known = std::min<std::uint64_t>(count_, max_runs);
    for (std::uint64_t back = 1; back <= known; ++back) {
        const Run& run = runs_[(count_ - back) % max_runs];
        if (run.base <= index) return &run;
    }
    return nullptr;
}

bool SentLog::allow(std::uint64_t index, Instant now) noexcept {
    constexpr Duration each = std::chrono::duration_cast<Duration>(seconds{1}) / repeats_per_second;
    const Duration spent = std::max(Duration{}, spent_ - (now - spent_at_));
    if (spent + each > each * burst) return false;

    Repeat& repeat = repeats_[index % repeats_.size()];
    const auto now_ms = static_cast<std::uint32_t>(std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count());
    if (repeat.times == 0 || repeat.index != static_cast<std::uint32_t>(index)) {
        repeat = {static_cast<std::uint32_t>(index), 0, 0};
        ++asked_;
    } else if (repeat.times == max_repeats || milliseconds{now_ms - repeat.last_ms} < spacing) {
        return false;
    }
    ++repeat.times;
    repeat.last_ms = now_ms;
    spent_ = spent + each;
    spent_at_ = now;
    return true;
}

}  // namespace plane
