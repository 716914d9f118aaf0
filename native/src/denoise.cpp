#include "denoise.hpp"

#include <webrtc/modules/audio_processing/include/audio_processing.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace plane {

class Denoiser::Suppressor {
public:
    explicit Suppressor(unsigned channels)
        : channels_{channels}, format_{48000, static_cast<int>(channels), false}, processing_{webrtc::AudioProcessing::Create()} {
        if (channels < 1 || channels > 2) throw std::runtime_error("noise suppression has one or two channels");
        webrtc::ProcessingConfig config;
        for (auto& stream : config.streams) stream = format_;
        // kHigh: 18 dB less noise; PESQ of noisy speech is better than with kModerate (12 dB), and than with kVeryHigh.
        if (!processing_ || processing_->Initialize(config) != 0 ||
            processing_->noise_suppression()->set_level(webrtc::NoiseSuppression::kHigh) != 0 ||
            processing_->noise_suppression()->Enable(true) != 0)
            throw std::runtime_error("noise suppression cannot be started");
        // The first block makes it allocate what it has not yet.
        std::array<float, 2 * block> silence{};
        process(std::span{silence}.first(block * channels));
    }

    // One block.
    void process(std::span<float> samples) noexcept {
        const std::array<float*, 2> planes{planes_.data(), planes_.data() + block};
        for (std::size_t i = 0; i < samples.size(); ++i) {
            const float x = samples[i];
            planes[i % channels_][i / channels_] = std::isfinite(x) ? std::clamp(x, -1.0f, 1.0f) : 0.0f;
        }
        if (processing_->ProcessStream(planes.data(), format_, format_, planes.data()) != 0) return;  // as it came
        for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = planes[i % channels_][i / channels_];
    }

    unsigned channels() const noexcept { return channels_; }

private:
    unsigned channels_;
    webrtc::StreamConfig format_;
    std::unique_ptr<webrtc::AudioProcessing> processing_;
    std::array<float, 2 * block> planes_{};
};

Denoiser::Denoiser(unsigned channels) : suppressor_{std::make_unique<Suppressor>(channels)} {}
Denoiser::~Denoiser() = default;
Denoiser::Denoiser(Denoiser&&) noexcept = default;
Denoiser& Denoiser::operator=(Denoiser&&) noexcept = default;

void Denoiser::process(std::span<float> frame) noexcept {
    const std::size_t size = block * suppressor_->channels();
    for (; frame.size() >= size; frame = frame.subspan(size)) suppressor_->process(frame.first(size));
}

}  // namespace plane
