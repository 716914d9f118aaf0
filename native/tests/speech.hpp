// A voice for tests, of a seed.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

// A voice: pulses at a gliding pitch through two resonances, in syllables, with breath.
class Speech {
public:
    explicit Speech(unsigned seed) : random_{seed} {
        pitch_ = std::uniform_real_distribution{90.0, 240.0}(random_);
        formants_ = {std::uniform_real_distribution{350.0, 800.0}(random_), std::uniform_real_distribution{1200.0, 2400.0}(random_)};
        syllable_ = std::uniform_real_distribution{3.5, 6.0}(random_);
    }

    std::array<float, 960> next() {
        std::array<float, 960> samples;
        for (float& sample : samples) {
            const double time = static_cast<double>(count_++) / 48000;
            phase_ += pitch_ * (1 + 0.12 * std::sin(2 * std::numbers::pi * 0.7 * time)) / 48000;
            double excitation = 0.02 * std::normal_distribution{0.0, 1.0}(random_);
            if (phase_ >= 1) {
                phase_ -= 1;
                excitation += 1;
            }
            double voice = 0;
            for (std::size_t i = 0; i < 2; ++i) {
                const double r = 0.995 - 0.003 * static_cast<double>(i);
                const double y = excitation + 2 * r * std::cos(2 * std::numbers::pi * formants_[i] / 48000) * memory_[i][0] - r * r * memory_[i][1];
                memory_[i] = {y, memory_[i][0]};
                voice += y;
            }
            const double loudness = 0.5 + 0.5 * std::sin(2 * std::numbers::pi * syllable_ * time);
            sample = static_cast<float>(0.02 * loudness * voice);
        }
        return samples;
    }

private:
    std::mt19937 random_;
    double pitch_, syllable_, phase_ = 0;
    std::array<double, 2> formants_{};
    std::array<std::array<double, 2>, 2> memory_{};
    std::uint64_t count_ = 0;
};
