// Speech made shorter or longer by whole periods of its pitch, so that it keeps pitch and sound (WSOLA: waveform
// similarity and overlap-add). Samples are float at 48 kHz, interleaved; sizes count samples per channel.
#pragma once

#include <cstddef>
#include <span>

namespace plane::timescale {

// Voices lie between 66 and 400 Hz; a higher one repeats after several of its periods as well.
constexpr std::size_t min_lag = 120;
constexpr std::size_t max_lag = 720;
// Over so many samples (10 ms) two stretches are compared.
constexpr std::size_t compared = 480;

struct Match {
    std::size_t lag = 0;      // 0: there are too few samples
    float likeness = 0;       // normalized correlation, -1..1; 1 for silence
    float mean_square = 0;    // of what was looked at, where one lag alone was
};

// What can be taken out at the beginning of `samples`: the lag at which it resembles itself best. It looks at
// compared + longest samples. longest: at most max_lag.
Match find_surplus(std::span<const float> samples, unsigned channels, std::size_t longest) noexcept;
// What can be put in before samples[past], which goes on from what is before: `past` samples of that, at least max_lag.
Match find_filler(std::span<const float> samples, unsigned channels, std::size_t past, std::size_t longest) noexcept;

// The same for one lag, 1 to max_lag.
Match surplus_of(std::span<const float> samples, unsigned channels, std::size_t lag) noexcept;
Match filler_of(std::span<const float> samples, unsigned channels, std::size_t past, std::size_t lag) noexcept;

// Takes match.lag samples out at the beginning: the first period goes over into the second. At least two periods of
// samples. Afterwards the first samples.size() / channels - lag count.
void shorten(std::span<float> samples, unsigned channels, const Match& match) noexcept;
// Puts match.lag samples in before samples[past]. space: the `used` samples that there are, and lag more behind them.
void lengthen(std::span<float> space, unsigned channels, std::size_t past, std::size_t used, const Match& match) noexcept;

}  // namespace plane::timescale
