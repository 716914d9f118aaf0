#include "ear.hpp"

#include <array>
#include <cmath>
#include <numbers>

namespace load {

namespace {

const std::array<float, Ear::window>& hann() {
    static const std::array<float, Ear::window> made = [] {
        std::array<float, Ear::window> window{};
        for (std::size_t i = 0; i < window.size(); ++i) {
            window[i] = static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / Ear::window));
        }
        return window;
    }();
    return made;
}

}  // namespace

Ear::Heard Ear::hear(plane::Bytes payload) {
    std::array<float, plane::opus::max_samples> samples;
    const std::size_t count = decoder_.decode(payload, samples);
    Heard heard;
    for (std::size_t i = 0; i < count; ++i) {
        pending_.push_back(samples[i]);
        if (pending_.size() < window) continue;
        const std::uint32_t found = analyse();
        pending_.clear();
        ++heard.windows;
        heard.own += (found & own_) != 0;
        heard.foreign += (found & ~own_) != 0;
    }
    return heard;
}

std::uint32_t Ear::analyse() const noexcept {
    // The amplitude of a sine of full scale comes out as 1: Goertzel's recurrence over Hann's window, whose sum is half its length.
    const double least = std::pow(10.0, threshold_db / 20);
    std::uint32_t found = 0;
    for (unsigned tone = 0; tone < tones; ++tone) {
        const double turn = 2 * std::cos(2 * std::numbers::pi * tone_hz(tone) / plane::opus::sample_rate);
        double before = 0, last = 0;
        for (std::size_t i = 0; i < window; ++i) {
            const double next = double{pending_[i]} * double{hann()[i]} + turn * last - before;
            before = last;
            last = next;
        }
        const double power = last * last + before * before - turn * last * before;
        if (std::sqrt(std::max(power, 0.0)) * 2 / (window / 2.0) > least) found |= std::uint32_t{1} << tone;
    }
    return found;
}

}  // namespace load
