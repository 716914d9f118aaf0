#include "opus.hpp"

#include <opus/opus.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <new>

namespace plane::opus {

namespace {
constexpr int meter_rate = 8000;
constexpr int meter_frame_max = meter_rate * 120 / 1000;  // the longest packet: 120 ms
}  // namespace

std::optional<std::uint32_t> duration(Bytes payload) noexcept {
    if (payload.empty()) return std::nullopt;
    const int samples = opus_packet_get_nb_samples(payload.data(), static_cast<opus_int32>(payload.size()), sample_rate);
    if (samples <= 0) return std::nullopt;
    return static_cast<std::uint32_t>(samples);
}

void LevelMeter::Destroy::operator()(OpusDecoder* decoder) const noexcept { opus_decoder_destroy(decoder); }

LevelMeter::LevelMeter() : decoder_{opus_decoder_create(meter_rate, 1, nullptr)} {
    if (!decoder_) throw std::bad_alloc{};
}

std::optional<double> LevelMeter::measure(Bytes payload) noexcept {
    std::array<float, meter_frame_max> samples;
    const int count = opus_decode_float(decoder_.get(), payload.data(), static_cast<opus_int32>(payload.size()),
                                        samples.data(), meter_frame_max, 0);
    if (count <= 0) return std::nullopt;
    double energy = 0;
    for (int i = 0; i < count; ++i) energy += double{samples[static_cast<std::size_t>(i)]} * samples[static_cast<std::size_t>(i)];
    // RFC 6464 refers to the level of a square wave of full scale: mean square 1 is 0 dBov.
    const double mean_square = energy / count;
    if (mean_square < 2e-13) return -127.0;
    return std::clamp(10.0 * std::log10(mean_square), -127.0, 0.0);
}

}  // namespace plane::opus
