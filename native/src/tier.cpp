#include "tier.hpp"

namespace plane {

bool TierByLoss::report(Instant now, double lost, std::uint32_t packets) noexcept {
    if (packets < least_packets || (last_ != Instant{} && now - last_ < spacing)) return false;
    last_ = now;
    for (std::size_t tier = tiers - 1; tier > static_cast<std::size_t>(tier_); --tier) {
        if (lost < enter[tier]) continue;
        tier_ = static_cast<Tier>(tier);
        better_ = 0;
        return true;
    }
    better_ = lost < leave[static_cast<std::size_t>(tier_)] ? better_ + 1 : 0;
    if (better_ == patience) {
        tier_ = static_cast<Tier>(static_cast<std::size_t>(tier_) - 1);
        better_ = 0;
    }
    return true;
}

}  // namespace plane
