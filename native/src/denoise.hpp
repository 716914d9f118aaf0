// Noise suppression for one column: that of WebRTC's audio processing (Debian's libwebrtc-audio-processing), which makes
// everything that stays the same quieter, and leaves what changes as voices do. All memory is taken at creation.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace plane {

class Denoiser {
public:
    // It works on 10 ms at a time, and what comes out is so many samples late: its filter bank's own delay.
    static constexpr std::size_t block = 480;
    static constexpr std::size_t delay_samples = 335;

    // channels: 1 or 2. Throws std::runtime_error if the library cannot be had as it is wanted.
    explicit Denoiser(unsigned channels);
    ~Denoiser();
    Denoiser(Denoiser&&) noexcept;
    Denoiser& operator=(Denoiser&&) noexcept;

    // In place: interleaved samples at 48 kHz, a whole number of blocks; what is left over is not touched. What is not a
    // number is silence, what is over full scale is clipped.
    void process(std::span<float> frame) noexcept;

private:
    class Suppressor;
    std::unique_ptr<Suppressor> suppressor_;
};

}  // namespace plane
