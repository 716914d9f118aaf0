#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include "timescale.hpp"

using namespace plane;

namespace {

using Samples = std::vector<float>;

Samples tone(double hertz, std::size_t size) {
    Samples samples(size);
    for (std::size_t i = 0; i < size; ++i) {
        samples[i] = 0.5F * static_cast<float>(std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / 48000));
    }
    return samples;
}

// Vowel-like: pulses of the glottis through three resonances.
Samples vowel(double hertz, std::size_t size) {
    Samples samples(size);
    double phase = 0;
    std::array<std::array<double, 2>, 3> state{};
    constexpr std::array<double, 3> formants{700, 1220, 2600};
    for (float& sample : samples) {
        phase += hertz / 48000;
        double in = 0;
        if (phase >= 1) {
            phase -= 1;
            in = 1;
        }
        double out = 0;
        for (std::size_t k = 0; k < formants.size(); ++k) {
            const double r = std::exp(-std::numbers::pi * 90 / 48000);
            const double now = in + 2 * r * std::cos(2 * std::numbers::pi * formants[k] / 48000) * state[k][0] - r * r * state[k][1];
            state[k] = {now, state[k][0]};
            out += now / (30.0 * static_cast<double>(k + 1));
        }
        sample = static_cast<float>(out / 3);
    }
    return samples;
}

Samples noise(std::size_t size) {
    std::mt19937 random{7};
    std::normal_distribution<float> normal{0, 0.1F};
    Samples samples(size);
    for (float& sample : samples) sample = normal(random);
    return samples;
}

// The largest step from one sample to the next.
float roughest(std::span<const float> samples) {
    float most = 0;
    for (std::size_t i = 1; i < samples.size(); ++i) most = std::max(most, std::fabs(samples[i] - samples[i - 1]));
    return most;
}

double rms(std::span<const float> samples) {
    double sum = 0;
    for (const float sample : samples) sum += double{sample} * sample;
    return std::sqrt(sum / static_cast<double>(samples.size()));
}

// Upward zero crossings, after a one-pole low pass at about 300 Hz.
std::size_t periods(std::span<const float> samples) {
    std::size_t count = 0;
    double low = 0, before = 0;
    for (const float sample : samples) {
        low += 0.04 * (double{sample} - low);
        count += before < 0 && low >= 0 ? 1 : 0;
        before = low;
    }
    return count;
}

// `times` periods taken out, or put in, one after the other with some samples between.
Samples scaled(Samples samples, int times, bool faster) {
    for (int n = 0; n < times; ++n) {
        const std::size_t at = 1000 + static_cast<std::size_t>(n) * 2000;
        if (faster) {
            const std::span<float> rest = std::span{samples}.subspan(at);
            const auto match = timescale::find_surplus(rest, 1, timescale::max_lag);
            timescale::shorten(rest, 1, match);
            samples.resize(samples.size() - match.lag);
        } else {
            const auto match = timescale::find_filler(samples, 1, at, timescale::max_lag);
            const std::size_t used = samples.size();
            samples.resize(used + match.lag);
            timescale::lengthen(samples, 1, at, used, match);
        }
    }
    return samples;
}

}  // namespace

TEST_CASE("a tone keeps its pitch, its loudness and its smoothness, faster and slower") {
    for (const double hertz : {70.0, 100.0, 123.4, 220.0, 440.0, 1000.0, 3210.0, 7000.0}) {
        const Samples before = tone(hertz, 24000);
        for (const bool faster : {true, false}) {
            CAPTURE(hertz);
            CAPTURE(faster);
            const Samples after = scaled(before, 5, faster);
            CHECK((after.size() < before.size()) == faster);
            CHECK(after.size() != before.size());
            CHECK(roughest(after) < 1.05F * roughest(before));
            CHECK(rms(after) == doctest::Approx(rms(before)).epsilon(0.03));
            if (hertz < 1000) {
                const double cycles = hertz * static_cast<double>(after.size()) / 48000;
                CHECK(std::fabs(static_cast<double>(periods(after)) - cycles) < 2);
            }
        }
    }
}

TEST_CASE("of a voice, whole periods of its pitch go and come") {
    for (const double hertz : {85.0, 120.0, 180.0, 250.0, 330.0}) {
        const Samples before = vowel(hertz, 24000);
        const double period = 48000 / hertz;
        for (std::size_t at = 2000; at < 20000; at += 1777) {
            CAPTURE(hertz);
            const std::span<const float> rest = std::span{before}.subspan(at);
            const auto surplus = timescale::find_surplus(rest, 1, timescale::max_lag);
            const auto filler = timescale::find_filler(before, 1, at, timescale::max_lag);
            for (const auto& match : {surplus, filler}) {
                const double whole = static_cast<double>(match.lag) / period;
                CHECK(match.likeness > 0.9F);
                CHECK(std::fabs(whole - std::round(whole)) * period < 4);
            }
        }
        for (const bool faster : {true, false}) {
            const Samples after = scaled(before, 5, faster);
            CHECK(roughest(after) < 1.1F * roughest(before));
            CHECK(rms(after) == doctest::Approx(rms(before)).epsilon(0.05));
        }
    }
}

TEST_CASE("noise, in which nothing repeats, keeps its loudness") {
    const Samples before = noise(48000);
    for (const bool faster : {true, false}) CHECK(rms(scaled(before, 20, faster)) == doctest::Approx(rms(before)).epsilon(0.05));
    CHECK(timescale::find_surplus(before, 1, timescale::max_lag).likeness < 0.5F);
}

TEST_CASE("what is taken out of a rising tone is heard neither as a step nor as a hole") {
    Samples chirp(24000);
    double phase = 0;
    for (std::size_t i = 0; i < chirp.size(); ++i) {
        phase += 2 * std::numbers::pi * (200 + 300 * static_cast<double>(i) / 24000) / 48000;
        chirp[i] = 0.5F * static_cast<float>(std::sin(phase));
    }
    for (const bool faster : {true, false}) {
        const Samples after = scaled(chirp, 5, faster);
        CHECK(roughest(after) <= 1.05F * roughest(chirp));
        for (std::size_t i = 0; i + 480 < after.size(); i += 480) CHECK(rms(std::span{after}.subspan(i, 480)) > 0.25);
    }
}

TEST_CASE("silence is as good at any lag, its edge is not") {
    Samples samples(2000, 0.0F);
    CHECK(timescale::find_surplus(samples, 1, 500).lag == 500);
    CHECK(timescale::find_surplus(samples, 1, 500).likeness == 1);
    const Samples loud = tone(150, 700);
    std::copy(loud.begin(), loud.end(), samples.begin() + 500);
    CHECK(timescale::find_surplus(samples, 1, 700).likeness < 0.5F);
}

TEST_CASE("stereo is scaled as one") {
    const Samples left = vowel(140, 4000), right = tone(280, 4000);
    Samples both(8000);
    for (std::size_t i = 0; i < 4000; ++i) {
        both[2 * i] = left[i];
        both[2 * i + 1] = -0.1F * left[i];
    }
    const auto alone = timescale::find_surplus(left, 1, timescale::max_lag);
    const auto match = timescale::find_surplus(both, 2, timescale::max_lag);
    CHECK(match.lag == alone.lag);
    Samples mono = left;
    timescale::shorten(mono, 1, match);
    timescale::shorten(both, 2, match);
    for (std::size_t i = 0; i < 4000 - match.lag; ++i) {
        CHECK(both[2 * i] == doctest::Approx(mono[i]));
        CHECK(both[2 * i + 1] == doctest::Approx(-0.1F * mono[i]));
    }
}

TEST_CASE("too few samples, or too short a lag, match nothing") {
    const Samples samples = tone(200, 1000);
    CHECK(timescale::find_surplus(samples, 1, timescale::max_lag).lag == 0);
    CHECK(timescale::find_surplus(samples, 1, 119).lag == 0);
    CHECK(timescale::find_filler(samples, 1, 600, timescale::max_lag).lag == 0);
    CHECK(timescale::find_filler({}, 1, 0, timescale::max_lag).lag == 0);
}
