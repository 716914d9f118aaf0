// Audio later by so many samples, and by another number soon, without a step: what is played a little faster or slower
// meanwhile is off pitch by less than anybody hears.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace plane {

class DelayLine {
public:
    // A second. More is never needed to wait for the slowest singer, and costs 0.4 MB in stereo.
    static constexpr std::size_t max_delay = 48'000;
    // Half a percent is 9 cents. Slower takes longer to follow a network that changed, faster is heard on held notes.
    static constexpr double glide = 0.005;
    // Farther than that (60 ms) it would take longer than 12 s: it goes there at once, fading over a frame.
    static constexpr double too_far = 2880;

    explicit DelayLine(unsigned channels, std::size_t delay = 0);

    // At most max_delay.
    void set_delay(std::size_t samples) noexcept;
    // In place: interleaved samples of a tick's frame, at most 60 ms.
    void process(std::span<float> frame) noexcept;
    // Of the last sample that went out.
    double delay() const noexcept { return delay_; }

private:
    float at(double delay, std::size_t newer, std::size_t channel) const noexcept;

    unsigned channels_;
    std::vector<float> past_;   // ring, interleaved
    std::size_t next_ = 0;      // frame of the ring that is written next
    double delay_, target_;
};

}  // namespace plane
