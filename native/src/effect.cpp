#include "effect.hpp"

#include <algorithm>

namespace plane {

void Effect::render(std::size_t samples, unsigned channels, Happenings& happenings) {
    frame_.assign(samples * channels, 0.0F);
    if (ended_) return;
    fresh_ = at_ == 0;
    const Clip& clip = *clip_;
    for (std::size_t i = 0; i < samples; ++i) {
        if (at_ == clip.frames()) {
            if (!repeat_) break;
            at_ = 0;
        }
        const float left = clip.samples[at_ * clip.channels];
        const float right = clip.samples[at_ * clip.channels + clip.channels - 1];
        const float gain = stopping_ ? 1 - static_cast<float>(i + 1) / static_cast<float>(samples) : 1.0F;
        if (channels == 2) {
            frame_[2 * i] = left * gain;
            frame_[2 * i + 1] = right * gain;
        } else {
            frame_[i] = (left + right) / 2 * gain;
        }
        ++at_;
    }
    ended_ = stopping_ || (at_ == clip.frames() && !repeat_);
    if (ended_) happenings.push_back({Happening::Kind::effect_ended, id_});
}

bool Effect::pull(Instant, std::span<float> out) noexcept {
    std::fill(out.begin(), out.end(), 0.0F);
    std::copy_n(frame_.begin(), std::min(frame_.size(), out.size()), out.begin());
    return true;
}

}  // namespace plane
