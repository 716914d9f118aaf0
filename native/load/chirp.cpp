#include "chirp.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace load {

namespace {

constexpr double from_hz = 500, to_hz = 3000;
constexpr std::size_t coarse = 4;  // samples to one of the first search: 12 kHz
constexpr std::size_t fine = 8;    // samples to both sides of what it found

std::vector<float> make(unsigned kind) {
    std::vector<float> made(chirp_samples);
    const double length_s = double{chirp_samples} / plane::opus::sample_rate;
    for (std::size_t i = 0; i < made.size(); ++i) {
        const double at = static_cast<double>(i) / plane::opus::sample_rate;
        const double turns = from_hz * at + (to_hz - from_hz) * at * at / (2 * length_s);
        const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / chirp_samples);
        made[kind == 0 ? i : made.size() - 1 - i] = static_cast<float>(window * std::sin(2 * std::numbers::pi * turns));
    }
    return made;
}

std::vector<float> thin(std::span<const float> samples) {
    std::vector<float> thinned(samples.size() / coarse);
    for (std::size_t i = 0; i < thinned.size(); ++i) {
        float sum = 0;
        for (std::size_t k = 0; k < coarse; ++k) sum += samples[i * coarse + k];
        thinned[i] = sum;
    }
    return thinned;
}

const std::vector<float>& thin_chirp(unsigned kind) {
    static const std::array<std::vector<float>, chirp_kinds> made{thin(chirp(0)), thin(chirp(1))};
    return made[kind];
}

// Plain sums, so that the compiler may add in lanes.
float dot(const float* x, const float* y, std::size_t count) noexcept {
    std::array<float, 8> sums{};
    for (std::size_t i = 0; i + 8 <= count; i += 8) {
        for (std::size_t k = 0; k < 8; ++k) sums[k] += x[i + k] * y[i + k];
    }
    float sum = 0;
    for (const float each : sums) sum += each;
    return sum;
}

float energy(std::span<const float> samples) noexcept { return dot(samples.data(), samples.data(), samples.size()); }

// -1..1, of samples whose energy is known.
float alike(const float* samples, float power, const std::vector<float>& pattern, float pattern_power) noexcept {
    return power > 1e-9F ? dot(samples, pattern.data(), pattern.size()) / std::sqrt(power * pattern_power) : 0;
}

}  // namespace

const std::vector<float>& chirp(unsigned kind) {
    static const std::array<std::vector<float>, chirp_kinds> made{make(0), make(1)};
    return made[kind];
}

void ChirpFinder::add(std::span<const float> samples, std::vector<Found>& found) {
    pending_.insert(pending_.end(), samples.begin(), samples.end());
    while (pending_.size() >= block + overlap + chirp_samples + fine) {
        search(found);
        pending_.erase(pending_.begin(), pending_.begin() + block);
        begin_ += block;
    }
}

void ChirpFinder::interrupt() {
    begin_ += pending_.size();
    pending_.clear();
}

float ChirpFinder::likeness(unsigned kind, std::size_t begin) const noexcept {
    const std::span<const float> samples = std::span{pending_}.subspan(begin, chirp_samples);
    return alike(samples.data(), energy(samples), chirp(kind), energy(chirp(kind)));
}

void ChirpFinder::search(std::vector<Found>& found) {
    const float loudest = std::abs(*std::max_element(pending_.begin(), pending_.end(), [](float x, float y) { return std::abs(x) < std::abs(y); }));
    if (loudest < loud) return;
    const std::vector<float> thinned = thin(pending_);
    std::vector<double> sums{0};  // of squares, so that the energy of any stretch is a difference
    for (const float sample : thinned) sums.push_back(sums.back() + double{sample} * sample);
    for (unsigned kind = 0; kind < chirp_kinds; ++kind) {
        const float pattern_power = energy(thin_chirp(kind));
        std::size_t best = 0;
        float most = -1;
        for (std::size_t i = 0; i <= (block + overlap) / coarse; ++i) {
            const auto power = static_cast<float>(sums[i + chirp_samples / coarse] - sums[i]);
            const float value = alike(thinned.data() + i, power, thin_chirp(kind), pattern_power);
            if (value > most) most = value, best = i;
        }
        if (most < least / 2) continue;
        const std::size_t near = best * coarse;
        std::size_t place = near;
        most = -1;
        for (std::size_t at = near > fine ? near - fine : 0; at <= near + fine; ++at) {
            const float value = likeness(kind, at);
            if (value > most) most = value, place = at;
        }
        if (most < least || place >= block) continue;  // in the overlap: the next block has it whole
        const std::uint64_t begin = begin_ + place;
        if (last_[kind] && begin - *last_[kind] < block) continue;  // the flank of one that the last block had
        last_[kind] = begin;
        found.push_back({kind, begin + chirp_middle});
    }
}

}  // namespace load
