// Opus as the plane needs it (RFC 6716, RFC 7587): frame durations and, where a sender gives no level, a decoder for one.
#pragma once

#include <memory>
#include <optional>

#include "bytes.hpp"

struct OpusDecoder;

namespace plane::opus {

constexpr std::uint32_t sample_rate = 48000;

// Samples at 48 kHz that a packet lasts, 120 to 5,760; nothing when it is not a valid Opus packet.
std::optional<std::uint32_t> duration(Bytes payload) noexcept;

// Measures packets of one sender by decoding them at 8 kHz mono: the cheapest that keeps speech.
class LevelMeter {
public:
    LevelMeter();  // std::bad_alloc
    // Level in dBov, -127..0, of the packet; nothing when it does not decode.
    std::optional<double> measure(Bytes payload) noexcept;

private:
    struct Destroy {
        void operator()(OpusDecoder* decoder) const noexcept;
    };
    std::unique_ptr<OpusDecoder, Destroy> decoder_;
};

}  // namespace plane::opus
