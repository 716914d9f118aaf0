#include "ranking.hpp"

#include <algorithm>

namespace plane {

void Ranking::add(std::uint32_t csrc, Instant now) { order_.push_back({csrc, -127.0, false, now}); }

void Ranking::remove(std::uint32_t csrc) {
    std::erase_if(order_, [&](const Speaker& speaker) { return speaker.csrc == csrc; });
}

bool Ranking::update(std::uint32_t csrc, double level_dbov, bool speaking, Instant now) {
    auto speaker = std::find_if(order_.begin(), order_.end(), [&](const Speaker& s) { return s.csrc == csrc; });
    if (speaker == order_.end()) return false;
    speaker->level_dbov = level_dbov;
    speaker->speaking = speaking;
    const auto start = speaker;
    for (; speaker != order_.begin() && outranks(*speaker, *(speaker - 1), now); --speaker) std::iter_swap(speaker, speaker - 1);
    if (speaker == start) return false;
    speaker->ranked = now;
    return true;
}

bool Ranking::outranks(const Speaker& challenger, const Speaker& holder, Instant now) noexcept {
    if (!challenger.speaking) return false;
    if (!holder.speaking) return true;
    return challenger.level_dbov > holder.level_dbov + margin_db && now - holder.ranked >= minimum_stay;
}

}  // namespace plane
