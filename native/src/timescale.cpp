#include "timescale.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace plane::timescale {

namespace {

constexpr std::size_t coarse = 6;  // the first search goes at 8 kHz
constexpr std::size_t fine = 6;    // samples to either side of what it found
// Mean square below which samples count as silence (-75 dBFS), where every lag is as good.
constexpr float silence = 3e-8F;

constexpr std::size_t most = compared + max_lag;

struct Mono {
    std::array<float, most> samples;
    std::array<float, most / coarse> slow;
    std::size_t size = 0;
};

void fold(Mono& mono, std::span<const float> samples, unsigned channels, std::size_t size) noexcept {
    mono.size = size;
    for (std::size_t i = 0; i < size; ++i) {
        mono.samples[i] = channels == 2 ? 0.5F * (samples[2 * i] + samples[2 * i + 1]) : samples[i];
    }
    for (std::size_t i = 0; i < size / coarse; ++i) {
        float sum = 0;
        for (std::size_t j = 0; j < coarse; ++j) sum += mono.samples[i * coarse + j];
        mono.slow[i] = sum;
    }
}

// Normalized correlation of `size` samples at a and b.
float likeness(const float* a, const float* b, std::size_t size) noexcept {
    float product = 0, energy_a = 0, energy_b = 0;
    for (std::size_t i = 0; i < size; ++i) {
        product += a[i] * b[i];
        energy_a += a[i] * a[i];
        energy_b += b[i] * b[i];
    }
    const float energy = energy_a * energy_b;
    return energy > 0 ? product / std::sqrt(energy) : 0;
}

// The best displacement of b against a; b(lag) points to `size` samples.
template <class At>
Match search(const float* a, At b, std::size_t size, std::size_t from, std::size_t to) noexcept {
    Match best{0, -2, 0};
    for (std::size_t lag = from; lag <= to; ++lag) {
        const float alike = likeness(a, b(lag), size);
        if (alike > best.likeness) best = {lag, alike, 0};
    }
    return best;
}

float mean_square(const Mono& mono) noexcept {
    float energy = 0;
    for (std::size_t i = 0; i < mono.size; ++i) energy += mono.samples[i] * mono.samples[i];
    return energy / static_cast<float>(mono.size);
}

bool silent(const Mono& mono) noexcept { return mean_square(mono) < silence; }

// a: where the stretch lies that is compared; direction +1: with later ones, -1: with earlier ones.
Match find(const Mono& mono, std::size_t a, int direction, std::size_t longest) noexcept {
    const float* samples = mono.samples.data() + a;
    if (silent(mono)) return {longest, 1, 0};
    const float* slow = mono.slow.data() + a / coarse;
    const auto displaced = [direction](const float* from) {
        return [from, direction](std::size_t lag) { return from + direction * static_cast<std::ptrdiff_t>(lag); };
    };
    const Match rough = search(slow, displaced(slow), compared / coarse, min_lag / coarse, longest / coarse);
    const std::size_t centre = rough.lag * coarse;
    return search(samples, displaced(samples), compared, std::max(min_lag, centre - fine), std::min(longest, centre + fine));
}

// Weight of the second of two stretches that go over into each other, and the factor that keeps their loudness: alike
// ones add up, unlike ones would dip by 3 dB in the middle.
struct Blend {
    std::size_t size;
    float alike;
    float operator()(float from, float to, std::size_t i) const noexcept {
        const float w = (static_cast<float>(i) + 0.5F) / static_cast<float>(size);
        const float v = 1 - w;
        return (v * from + w * to) / std::sqrt(v * v + w * w + 2 * v * w * alike);
    }
};

Blend blend(const Match& match) noexcept { return {match.lag, std::clamp(match.likeness, 0.0F, 1.0F)}; }

}  // namespace

Match find_surplus(std::span<const float> samples, unsigned channels, std::size_t longest) noexcept {
    longest = std::min(longest, max_lag);
    if (longest < min_lag || samples.size() / channels < compared + longest) return {};
    Mono mono;
    fold(mono, samples, channels, compared + longest);
    return find(mono, 0, +1, longest);
}

Match find_filler(std::span<const float> samples, unsigned channels, std::size_t past, std::size_t longest) noexcept {
    longest = std::min(longest, max_lag) / coarse * coarse;
    if (longest < min_lag || past < longest || samples.size() / channels < past + compared) return {};
    Mono mono;
    fold(mono, samples.subspan((past - longest) * channels), channels, longest + compared);
    return find(mono, longest, -1, longest);
}

// Stretches `lag` apart, the later of which ends the samples.
namespace {
Match one(const Mono& mono, std::size_t lag) noexcept {
    if (silent(mono)) return {lag, 1, 0};
    return {lag, likeness(mono.samples.data(), mono.samples.data() + lag, compared), mean_square(mono)};
}
}  // namespace

Match surplus_of(std::span<const float> samples, unsigned channels, std::size_t lag) noexcept {
    if (lag == 0 || lag > max_lag || samples.size() / channels < compared + lag) return {};
    Mono mono;
    fold(mono, samples, channels, compared + lag);
    return one(mono, lag);
}

Match filler_of(std::span<const float> samples, unsigned channels, std::size_t past, std::size_t lag) noexcept {
    if (lag == 0 || lag > max_lag || past < lag || samples.size() / channels < past + compared) return {};
    Mono mono;
    fold(mono, samples.subspan((past - lag) * channels), channels, lag + compared);
    return one(mono, lag);
}

void shorten(std::span<float> samples, unsigned channels, const Match& match) noexcept {
    const Blend mix = blend(match);
    const std::size_t period = match.lag * channels;
    for (std::size_t i = 0; i < period; ++i) samples[i] = mix(samples[i], samples[period + i], i / channels);
    std::copy(samples.begin() + static_cast<std::ptrdiff_t>(2 * period), samples.end(),
              samples.begin() + static_cast<std::ptrdiff_t>(period));
}

void lengthen(std::span<float> space, unsigned channels, std::size_t past, std::size_t used, const Match& match) noexcept {
    const Blend mix = blend(match);
    const std::size_t period = match.lag * channels, at = past * channels;
    // Room for it: what was at `at` is now a period later. The new period begins as that did, and ends as the one before
    // it did, of which it is the continuation.
    std::copy_backward(space.begin() + static_cast<std::ptrdiff_t>(at), space.begin() + static_cast<std::ptrdiff_t>(used * channels),
                       space.begin() + static_cast<std::ptrdiff_t>(used * channels + period));
    for (std::size_t i = 0; i < period; ++i) space[at + i] = mix(space[at + period + i], space[at - period + i], i / channels);
}

}  // namespace plane::timescale
