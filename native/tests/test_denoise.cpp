// Noise suppression: noise goes, a voice stays, and nothing that comes in stops it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <vector>

#include "denoise.hpp"

using plane::Denoiser;

namespace {

constexpr std::size_t rate = 48000;
constexpr std::size_t frame = 960;

// A voice: harmonics that glide, in syllables of 160 ms with pauses of 240 ms, after `silence` samples.
std::vector<float> voice(std::size_t samples, std::size_t silence) {
    std::vector<float> out(samples);
    double phase = 0;
    for (std::size_t n = silence; n < samples; ++n) {
        const double t = static_cast<double>(n) / rate;
        phase += (150 + 30 * std::sin(2 * std::numbers::pi * 1.7 * t)) / rate;
        const double in_syllable = std::fmod(t, 0.4) / 0.16;
        if (in_syllable >= 1) continue;
        double sum = 0;
        for (int k = 1; k <= 20; ++k) sum += std::sin(2 * std::numbers::pi * k * phase) / k;
        out[n] = static_cast<float>(0.15 * sum * std::sin(std::numbers::pi * in_syllable));
    }
    return out;
}

std::vector<float> with_noise(std::vector<float> samples, float level) {
    std::mt19937 random{7};
    std::normal_distribution<float> normal{0, level};
    for (float& x : samples) x += normal(random);
    return samples;
}

std::vector<float> suppressed(std::vector<float> samples, unsigned channels = 1) {
    Denoiser denoiser{channels};
    for (std::size_t at = 0; at < samples.size(); at += frame * channels)
        denoiser.process(std::span{samples}.subspan(at, std::min(frame * channels, samples.size() - at)));
    return samples;
}

double level_db(std::span<const float> samples) {
    double sum = 1e-20;
    for (const float x : samples) sum += static_cast<double>(x) * x;
    return 10 * std::log10(sum / static_cast<double>(samples.size()));
}

// How much of what is heard at `late` samples is the original, 0..1.
double likeness(std::span<const float> original, std::span<const float> heard, std::size_t late) {
    double product = 0, a = 1e-20, b = 1e-20;
    for (std::size_t n = 0; n + late < heard.size(); ++n) {
        product += static_cast<double>(original[n]) * heard[n + late];
        a += static_cast<double>(original[n]) * original[n];
        b += static_cast<double>(heard[n + late]) * heard[n + late];
    }
    return product / std::sqrt(a * b);
}

}  // namespace

TEST_CASE("noise goes down by 10 dB and more, and the voice in it stays") {
    constexpr std::size_t silence = 3 * rate, samples = 8 * rate;
    const auto clean = voice(samples, silence);
    for (const float level : {0.004f, 0.012f}) {
        CAPTURE(level);
        const auto noisy = with_noise(clean, level);
        const auto heard = suppressed(noisy);
        const std::span before{noisy}, after{heard};
        CHECK(level_db(after.subspan(2 * rate, rate / 2)) < level_db(before.subspan(2 * rate, rate / 2)) - 10);
        const auto talk = std::span{clean}.subspan(4 * rate), rest = after.subspan(4 * rate);
        CHECK(std::abs(level_db(rest) - level_db(talk)) < 2);
        CHECK(likeness(talk, rest, Denoiser::delay_samples) > 0.95);
        CHECK(likeness(talk, rest, Denoiser::delay_samples) > likeness(talk, rest, Denoiser::delay_samples + 5));
        CHECK(likeness(talk, rest, Denoiser::delay_samples) > likeness(talk, rest, Denoiser::delay_samples - 5));
    }
}

TEST_CASE("noise is suppressed in both channels, and a voice stays in its own") {
    constexpr std::size_t samples = 6 * rate;
    const auto clean = voice(samples, 2 * rate);
    const auto left = with_noise(clean, 0.008f);
    std::vector<float> stereo(2 * samples), right = with_noise(std::vector<float>(samples), 0.008f);
    for (std::size_t n = 0; n < samples; ++n) stereo[2 * n] = left[n], stereo[2 * n + 1] = right[n];
    const auto heard = suppressed(stereo, 2);
    std::vector<float> heard_left(samples), heard_right(samples);
    for (std::size_t n = 0; n < samples; ++n) heard_left[n] = heard[2 * n], heard_right[n] = heard[2 * n + 1];
    const auto talk = std::span{clean}.subspan(3 * rate);
    CHECK(likeness(talk, std::span{heard_left}.subspan(3 * rate), Denoiser::delay_samples) > 0.95);
    CHECK(level_db(std::span{heard_right}.first(2 * rate).last(rate / 2)) < level_db(std::span{right}.first(rate)) - 10);
}

TEST_CASE("silence stays silence") {
    const auto heard = suppressed(std::vector<float>(rate));
    CHECK(std::ranges::all_of(heard, [](float x) { return x == 0; }));
}

TEST_CASE("what is not a number, or far too loud, does no lasting harm") {
    constexpr std::size_t samples = 8 * rate;
    const auto clean = voice(samples, rate);
    auto noisy = with_noise(clean, 0.004f);
    for (std::size_t n = rate; n < rate + 4800; n += 3)
        noisy[n] = n % 2 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    for (std::size_t n = 2 * rate; n < 2 * rate + 4800; ++n) noisy[n] = 1e30f;
    const auto heard = suppressed(noisy);
    CHECK(std::ranges::all_of(heard, [](float x) { return std::abs(x) < 2; }));
    CHECK(likeness(std::span{clean}.subspan(5 * rate), std::span{heard}.subspan(5 * rate), Denoiser::delay_samples) > 0.9);
}

TEST_CASE("a part of a block is not touched") {
    Denoiser denoiser{1};
    std::vector<float> samples(700, 0.25f);
    denoiser.process(samples);
    CHECK(std::ranges::all_of(std::span{samples}.subspan(480), [](float x) { return x == 0.25f; }));
}

TEST_CASE("noise suppression has one or two channels") {
    CHECK_THROWS_AS(Denoiser{0}, std::runtime_error);
    CHECK_THROWS_AS(Denoiser{3}, std::runtime_error);
}
