#include "path.hpp"

#include <algorithm>

namespace load {

using namespace plane;

std::span<const Instant> Path::pass(Instant now) noexcept {
    if (lost()) return {};
    std::size_t count = 0;
    const auto arrive = [&] {
        const auto late = std::chrono::duration_cast<Duration>(random_.share() * config_.jitter);
        last_ = std::max(last_, now + config_.delay + late);
        arrivals_[count++] = last_;
    };
    arrive();
    if (config_.duplicate > 0 && random_.share() < config_.duplicate) arrive();
    return std::span{arrivals_}.first(count);
}

bool Path::lost() noexcept {
    if (config_.loss <= 0) return false;
    if (config_.loss >= 1) return true;
    if (config_.burst <= 1) return random_.share() < config_.loss;
    // Bursts of that mean, and so often that the share is what was asked for.
    const double ends = 1 / config_.burst;
    const double begins = std::min(1.0, ends * config_.loss / (1 - config_.loss));
    bad_ = bad_ ? random_.share() >= ends : random_.share() < begins;
    return bad_;
}

}  // namespace load
