#include "capture.hpp"

#include <algorithm>
#include <cmath>

namespace plane {

bool Capture::is_clipped(std::span<const float> samples) noexcept {
    return std::count_if(samples.begin(), samples.end(), [](float sample) { return std::fabs(sample) >= full_scale; }) >=
           full_scale_samples;
}

void Capture::hear(double dbov, Instant now) noexcept {
    if (dbov > silent_dbov) {
        silent_ = counting_ = false;
    } else if (!counting_ || now - last_packet_ > longest_gap) {
        counting_ = true;
        silent_since_ = now;
    } else if (now - silent_since_ >= silent_after) {
        silent_ = true;
    }
    last_packet_ = now;
}

void Capture::clip(std::uint64_t packets, Instant now) noexcept {
    if (packets == 0) return;
    clipped_ = (now - last_clipped_ > clipping_window ? 0 : clipped_) + packets;
    last_clipped_ = now;
    if (clipped_ >= clipping_packets) clipping_ = true;
}

void Capture::tick(Instant now) noexcept {
    if (now - last_clipped_ > clipping_hold) clipping_ = false;
}

}  // namespace plane
