// Which packet indexes have been seen: the replay list of RFC 3711 section 3.3.2.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

namespace plane::srtp {

class ReplayWindow {
public:
    // Raising it lets later packets through at a bit each; the RFC asks for 64 at least. 128 packets of 10 ms are 1.3 s.
    static constexpr std::size_t size = 128;

    // Neither accepted before nor older than the window.
    bool fresh(std::uint64_t index) const noexcept {
        if (index > highest_) return true;
        const std::uint64_t age = highest_ - index;
        return age < size && !seen_[age];
    }

    // Only for an index that is fresh and whose packet has authenticated.
    void accept(std::uint64_t index) noexcept {
        if (index > highest_) {
            const std::uint64_t advance = index - highest_;
            seen_ = advance < size ? seen_ << advance : std::bitset<size>{};
            highest_ = index;
        }
        seen_[highest_ - index] = true;
    }

    std::uint64_t highest() const noexcept { return highest_; }

private:
    std::uint64_t highest_ = 0;
    std::bitset<size> seen_;  // bit n: highest_ - n
};

}  // namespace plane::srtp
