#include "opus.hpp"

#include <opus/opus.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <new>

namespace plane::opus {

namespace {

std::size_t samples_or_none(int result) noexcept { return result > 0 ? static_cast<std::size_t>(result) : 0; }

int capacity(std::span<float> out, unsigned channels) noexcept { return static_cast<int>(out.size() / channels); }

}  // namespace

std::optional<std::uint32_t> duration(Bytes payload) noexcept {
    if (payload.empty()) return std::nullopt;
    const int samples = opus_packet_get_nb_samples(payload.data(), static_cast<opus_int32>(payload.size()), sample_rate);
    if (samples <= 0) return std::nullopt;
    return static_cast<std::uint32_t>(samples);
}

bool has_redundancy(Bytes payload) noexcept {
    // Configurations 16 and up are CELT alone, which has none. Only packets of one Opus frame are looked at: a SILK
    // frame of 40 or 60 ms has 2 or 3 voice flags before the redundancy flag.
    if (payload.size() < 2 || (payload[0] & 0x80) != 0 || (payload[0] & 0x03) != 0) return false;
    const unsigned milliseconds = static_cast<unsigned>(opus_packet_get_samples_per_frame(payload.data(), 1000));
    const unsigned flags = std::max(1U, milliseconds / 20);
    return (payload[1] >> (7 - flags) & 1) != 0;
}

void DestroyDecoder::operator()(OpusDecoder* decoder) const noexcept { opus_decoder_destroy(decoder); }
void DestroyEncoder::operator()(OpusEncoder* encoder) const noexcept { opus_encoder_destroy(encoder); }

Decoder::Decoder(unsigned channels, std::uint32_t rate)
    : decoder_{opus_decoder_create(static_cast<opus_int32>(rate), static_cast<int>(channels), nullptr)}, channels_{channels} {
    if (!decoder_) throw std::bad_alloc{};
}

std::size_t Decoder::decode(Bytes payload, std::span<float> out) noexcept {
    return samples_or_none(opus_decode_float(decoder_.get(), payload.data(), static_cast<opus_int32>(payload.size()),
                                             out.data(), capacity(out, channels_), 0));
}

std::size_t Decoder::recover(Bytes next, std::span<float> out, std::uint32_t samples) noexcept {
    return samples_or_none(opus_decode_float(decoder_.get(), next.data(), static_cast<opus_int32>(next.size()), out.data(),
                                             std::min(capacity(out, channels_), static_cast<int>(samples)), 1));
}

std::size_t Decoder::conceal(std::span<float> out, std::uint32_t samples) noexcept {
    return samples_or_none(opus_decode_float(decoder_.get(), nullptr, 0, out.data(),
                                             std::min(capacity(out, channels_), static_cast<int>(samples)), 0));
}

void Decoder::reset() noexcept { opus_decoder_ctl(decoder_.get(), OPUS_RESET_STATE); }

Encoder::Encoder(const EncoderConfig& config)
    // Speakers' own encoders have taken away what rumbles; the high-pass filter of "voip" would do so again, and move what is above.
    : encoder_{opus_encoder_create(sample_rate, static_cast<int>(config.channels), OPUS_APPLICATION_AUDIO, nullptr)},
      channels_{config.channels} {
    if (!encoder_) throw std::bad_alloc{};
    opus_encoder_ctl(encoder_.get(), OPUS_SET_COMPLEXITY(config.complexity));
    // Told, not guessed: the guess takes seconds to settle, and an encoder that takes over a mix must code as the one before.
    opus_encoder_ctl(encoder_.get(), OPUS_SET_SIGNAL(config.music ? OPUS_SIGNAL_MUSIC : OPUS_SIGNAL_VOICE));
    // Pauses are the mixer's to tell: the encoder's DTX takes steady tones for noise and cuts them after a second.
    opus_encoder_ctl(encoder_.get(), OPUS_SET_DTX(0));
    tune(config);
}

std::size_t Encoder::encode(std::span<const float> samples, MutableBytes out) noexcept {
    const int result = opus_encode_float(encoder_.get(), samples.data(), static_cast<int>(samples.size() / channels_),
                                         out.data(), static_cast<opus_int32>(out.size()));
    return samples_or_none(result);
}

void Encoder::tune(const EncoderConfig& config) noexcept {
    opus_encoder_ctl(encoder_.get(), OPUS_SET_BITRATE(static_cast<opus_int32>(config.bitrate)));
    opus_encoder_ctl(encoder_.get(), OPUS_SET_PACKET_LOSS_PERC(config.expected_loss_percent));
    // Of music with much loss to expect, FEC would make speech: only Opus's mode for voice has it. RED is for music, and CELT leans
    // less on the frames before when it expects loss.
    opus_encoder_ctl(encoder_.get(), OPUS_SET_INBAND_FEC(config.music && config.expected_loss_percent > 5 ? 0 : 1));
}

void Encoder::reset() noexcept { opus_encoder_ctl(encoder_.get(), OPUS_RESET_STATE); }

std::optional<double> LevelMeter::measure(Bytes payload) noexcept {
    std::array<float, 960> samples;  // 120 ms at 8 kHz
    const std::size_t count = decoder_.decode(payload, samples);
    if (count == 0) return std::nullopt;
    double energy = 0;
    for (std::size_t i = 0; i < count; ++i) energy += double{samples[i]} * samples[i];
    // RFC 6464 refers to the level of a square wave of full scale: mean square 1 is 0 dBov.
    const double mean_square = energy / static_cast<double>(count);
    if (mean_square < 2e-13) return -127.0;
    return std::clamp(10.0 * std::log10(mean_square), -127.0, 0.0);
}

}  // namespace plane::opus
