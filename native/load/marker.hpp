// Who said a packet and when, in the packet: Opus lets a packet end in padding that decoders pass over (RFC 6716 section
// 3.2.5), so real speech carries it, and a server that forwards payloads gives it to the listener.
#pragma once

#include <optional>

#include "bytes.hpp"
#include "clock.hpp"

namespace load {

struct Marker {
    std::uint32_t run = 0;      // of this run of the generator; another one's are not ours
    std::uint32_t room = 0;
    std::uint32_t speaker = 0;  // in the room
    std::uint32_t number = 0;   // of his packets, without the silences
    plane::Instant due{};       // when it was to be sent: what the generator is late by counts as delay
    bool operator==(const Marker&) const = default;
};

constexpr std::size_t marker_overhead = 2 + 32;

// Writes `frame`, an Opus packet of one frame (code 0), with the marker. The size, 0 when `out` is too small or `frame` not such.
std::size_t write_marked(plane::MutableBytes out, plane::Bytes frame, const Marker& marker) noexcept;

struct Marked {
    Marker marker;
    bool intact = false;  // the audio is as it was sent
};
// Nothing when there is no marker: mixed audio, or somebody else's.
std::optional<Marked> read_marked(plane::Bytes payload) noexcept;

}  // namespace load
