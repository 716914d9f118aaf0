// How long things took, 1 µs to a minute, each to 3 %: percentiles of any number of them in fixed memory.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "clock.hpp"

namespace load {

class Latencies {
public:
    void record(plane::Duration value) noexcept {
        const auto us = std::chrono::duration_cast<plane::microseconds>(value).count();
        ++counts_[bucket(us < 0 ? 0 : static_cast<std::uint64_t>(us))];
        ++count_;
        if (us > max_us_) max_us_ = us;
    }
    std::uint64_t count() const noexcept { return count_; }
    std::int64_t max_us() const noexcept { return max_us_; }
    // The value, in µs, that a share of all do not exceed; 0 without any.
    std::int64_t percentile_us(double share) const noexcept {
        const double wanted = share * static_cast<double>(count_);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen != 0 && static_cast<double>(seen) >= wanted) return std::min(upper(i), max_us_);
        }
        return max_us_;
    }

private:
    static constexpr unsigned steps = 32;  // to an octave
    static constexpr std::size_t octaves = 22;

    static std::size_t bucket(std::uint64_t us) noexcept {
        if (us < steps) return us;
        const unsigned shift = static_cast<unsigned>(std::bit_width(us)) - 6;
        return std::min<std::size_t>((shift + 1) * steps + (us >> shift) - steps, (octaves + 1) * steps - 1);
    }
    static std::int64_t upper(std::size_t bucket) noexcept {
        if (bucket < steps) return static_cast<std::int64_t>(bucket);
        const std::size_t shift = bucket / steps - 1;
        return static_cast<std::int64_t>(((bucket % steps + steps + 1) << shift) - 1);
    }

    std::array<std::uint64_t, (octaves + 1) * steps> counts_{};
    std::uint64_t count_ = 0;
    std::int64_t max_us_ = 0;
};

}  // namespace load
