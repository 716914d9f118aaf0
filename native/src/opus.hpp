// Opus as the plane needs it (RFC 6716, RFC 7587): what a packet says of itself, decoders and encoders of float samples
// at 48 kHz, and a meter for senders that give no level.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "bytes.hpp"

struct OpusDecoder;
struct OpusEncoder;

namespace plane::opus {

constexpr std::uint32_t sample_rate = 48000;
constexpr std::size_t encoder_delay = 312;     // samples by which what is decoded follows what was encoded
constexpr std::uint32_t max_samples = 5760;  // 120 ms: the longest packet

// Samples at 48 kHz that a packet lasts, 120 to 5,760; nothing when it is not a valid Opus packet.
std::optional<std::uint32_t> duration(Bytes payload) noexcept;

// Whether the packet carries a low-bit-rate copy of the frame before it (in-band FEC, RFC 6716 section 4.2.4).
bool has_redundancy(Bytes payload) noexcept;

// A packet of a header alone: the encoder has nothing to say (discontinuous transmission).
constexpr bool is_dtx(Bytes payload) noexcept { return payload.size() <= 2; }

struct DestroyDecoder {
    void operator()(OpusDecoder* decoder) const noexcept;
};
struct DestroyEncoder {
    void operator()(OpusEncoder* encoder) const noexcept;
};

class Decoder {
public:
    explicit Decoder(unsigned channels, std::uint32_t rate = sample_rate);  // std::bad_alloc

    // Each fills interleaved samples and returns how many (per channel); 0 when the packet does not decode.
    std::size_t decode(Bytes payload, std::span<float> out) noexcept;
    // The frame of `samples` before `next`, from next's redundancy where it has any, else concealed.
    std::size_t recover(Bytes next, std::span<float> out, std::uint32_t samples) noexcept;
    // As if new.
    void reset() noexcept;
    // A frame that is lost: the decoder goes on from what it had, fading.
    std::size_t conceal(std::span<float> out, std::uint32_t samples) noexcept;

private:
    std::unique_ptr<OpusDecoder, DestroyDecoder> decoder_;
    unsigned channels_;
};

struct EncoderConfig {
    unsigned channels = 1;
    std::uint32_t bitrate = 48000;  // bit/s
    // 0..10. In voice mode with FEC a frame costs 150 µs at 5 and 290 µs at 9, for a difference that few hear.
    int complexity = 5;
    bool music = false;             // coded for music, not for voice
    int expected_loss_percent = 5;  // that in-band FEC is prepared for; more spends bits on copies that clean networks do not need
    bool operator==(const EncoderConfig&) const = default;
};

class Encoder {
public:
    explicit Encoder(const EncoderConfig& config);  // std::bad_alloc

    // samples: interleaved, a frame of 20, 40 or 60 ms. Returns the packet's size, 0 on failure.
    std::size_t encode(std::span<const float> samples, MutableBytes out) noexcept;
    // As if new.
    void reset() noexcept;
    // Bitrate and expected loss, from the next frame on.
    void tune(const EncoderConfig& config) noexcept;

private:
    std::unique_ptr<OpusEncoder, DestroyEncoder> encoder_;
    unsigned channels_;
};

// Measures packets of one sender by decoding them at 8 kHz mono: the cheapest that keeps speech.
class LevelMeter {
public:
    // Level in dBov, -127..0, of the packet; nothing when it does not decode.
    std::optional<double> measure(Bytes payload) noexcept;

private:
    Decoder decoder_{1, 8000};
};

}  // namespace plane::opus
