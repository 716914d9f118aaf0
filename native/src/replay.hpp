// Packet indexes: which one a sequence number stands for, and which have been seen (RFC 3711 sections 3.3.1 and 3.3.2).
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace plane::srtp {

constexpr std::uint64_t index_limit = std::uint64_t{1} << 48;  // 32 bits of roll-over counter, 16 of sequence number

// The index that `sequence` most likely stands for when `highest` is the highest that authenticated: appendix A of the
// RFC. Nothing when it would lie before the first or behind the last that a key may have.
inline std::optional<std::uint64_t> estimate_index(std::uint64_t highest, std::uint16_t sequence) noexcept {
    std::uint64_t counter = highest >> 16;
    const int last = static_cast<int>(highest & 0xFFFF);
    if (last < 0x8000) {
        if (sequence - last > 0x8000) {
            if (counter == 0) return std::nullopt;
            --counter;
        }
    } else if (last - 0x8000 > sequence) {
        ++counter;
    }
    const std::uint64_t index = counter << 16 | sequence;
    if (index >= index_limit) return std::nullopt;
    return index;
}

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
