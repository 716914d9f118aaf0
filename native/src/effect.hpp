// A sound effect's column: a clip that is in memory, played once or again and again until it is stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "player.hpp"

namespace plane {

// Interleaved samples at 48 kHz, of 1 or 2 channels; never empty, all finite.
struct Clip {
    std::vector<float> samples;
    unsigned channels = 1;
    std::size_t frames() const noexcept { return samples.size() / channels; }
};

class Effect final : public Sound {
public:
    Effect(std::uint32_t id, std::shared_ptr<const Clip> clip, bool repeat) : id_{id}, clip_{std::move(clip)}, repeat_{repeat} {}

    // As Player::render(). It ends when the clip does, and after stop().
    void render(std::size_t samples, unsigned channels, Happenings& happenings);
    bool active() const noexcept { return !ended_; }
    // Fades out over the next frame.
    void stop() noexcept { stopping_ = true; }

    bool pull(Instant now, std::span<float> out) noexcept override;
    void pass(Instant) noexcept override {}
    bool begin() noexcept override { return fresh_; }
    void count(WorkerStats&) noexcept override {}

private:
    std::uint32_t id_;
    std::shared_ptr<const Clip> clip_;
    bool repeat_;
    bool stopping_ = false, ended_ = false, fresh_ = true;  // it has only begun
    std::size_t at_ = 0;
    std::vector<float> frame_;
};

}  // namespace plane
