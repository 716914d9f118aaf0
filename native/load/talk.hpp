// When a speaker talks: always, or in spurts and silences of exponential lengths (the two-state model of Brady, 1969, which
// ITU-T P.59 took up), decided frame by frame from a seed.
#pragma once

#include "random.hpp"

namespace load {

struct TalkConfig {
    // Means, in frames of 20 ms; without a silence he always talks.
    double spurt_frames = 0;
    double silence_frames = 0;
    std::uint64_t seed = 0;
};

class Talk {
public:
    explicit Talk(const TalkConfig& config) noexcept : config_{config}, random_{config.seed} {
        // As if he had been at it for long.
        const double cycle = config.spurt_frames + config.silence_frames;
        talking_ = constant() || random_.share() < config.spurt_frames / cycle;
    }

    bool constant() const noexcept { return config_.silence_frames <= 0; }

    // Whether he talks in this frame; moves on to the next.
    bool next() noexcept {
        const bool now = talking_;
        if (!constant()) {
            const double mean = talking_ ? config_.spurt_frames : config_.silence_frames;
            if (random_.share() * mean < 1) talking_ = !talking_;  // geometric, of that mean
        }
        return now;
    }

private:
    TalkConfig config_;
    Random random_;
    bool talking_ = true;
};

}  // namespace load
