// Seeded numbers, the same on every machine: SplitMix64. For schedules and identifiers of a load, not for secrets.
#pragma once

#include <cstdint>

namespace load {

class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}

    std::uint64_t bits() noexcept {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
        z = (z ^ z >> 27) * 0x94D049BB133111EBU;
        return z ^ z >> 31;
    }
    // 0 <= x < 1
    double share() noexcept { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }

private:
    std::uint64_t state_;
};

}  // namespace load
