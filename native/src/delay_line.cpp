#include "delay_line.hpp"

#include <algorithm>
#include <cmath>

namespace plane {

namespace {
constexpr std::size_t largest_frame = 2880;
// Of the ring, a power of two: the longest delay, a frame, and what interpolation looks at.
constexpr std::size_t capacity = 65'536;
static_assert(capacity > DelayLine::max_delay + largest_frame + 4);
}  // namespace

DelayLine::DelayLine(unsigned channels, std::size_t delay)
    : channels_{channels},
      past_(capacity * channels),
      delay_{static_cast<double>(std::min(delay, max_delay))},
      target_{delay_} {}

void DelayLine::set_delay(std::size_t samples) noexcept { target_ = static_cast<double>(std::min(samples, max_delay)); }

// The sample that is `delay` older than the one `newer` frames before the last.
float DelayLine::at(double delay, std::size_t newer, std::size_t channel) const noexcept {
    const double whole = std::floor(delay);
    const auto sample = [&](std::size_t back) {
        return past_[((next_ + 2 * capacity - 1 - newer - back) % capacity) * channels_ + channel];
    };
    const auto back = static_cast<std::size_t>(whole);
    const auto part = static_cast<float>(delay - whole);
    if (part == 0) return sample(back);
    // Cubic Hermite between the two neighbours, and the one newer than both where there is one.
    const float newest = back == 0 ? sample(0) : sample(back - 1);
    const float a = sample(back), b = sample(back + 1), oldest = sample(back + 2);
    const float slope_a = (b - newest) / 2, slope_b = (oldest - a) / 2;
    const float p2 = part * part, p3 = p2 * part;
    return a * (2 * p3 - 3 * p2 + 1) + slope_a * (p3 - 2 * p2 + part) + b * (3 * p2 - 2 * p3) + slope_b * (p3 - p2);
}

void DelayLine::process(std::span<float> frame) noexcept {
    const std::size_t count = frame.size() / channels_;
    for (std::size_t i = 0; i < count; ++i) {
        std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(i * channels_), channels_,
                    past_.begin() + static_cast<std::ptrdiff_t>(next_ * channels_));
        next_ = (next_ + 1) % capacity;
    }
    const double from = delay_;
    const bool jumps = std::abs(target_ - from) > too_far;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t newer = count - 1 - i;
        if (!jumps) delay_ += std::clamp(target_ - delay_, -glide, glide);
        for (std::size_t c = 0; c < channels_; ++c) {
            float& out = frame[i * channels_ + c];
            out = at(delay_, newer, c);
            if (!jumps) continue;
            const float share = static_cast<float>(i + 1) / static_cast<float>(count);
            out += (at(target_, newer, c) - out) * share;
        }
    }
    if (jumps) delay_ = target_;
}

}  // namespace plane
