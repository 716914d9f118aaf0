// RTP packets (RFC 3550 section 5) and their header extensions (RFC 8285), read and written in place.
#pragma once

#include <array>
#include <optional>

#include "bytes.hpp"

namespace plane::rtp {

constexpr std::size_t fixed_header_size = 12;
constexpr std::size_t max_csrcs = 15;

// A view of one packet. Spans point into it.
struct Packet {
    bool marker = false;
    std::uint8_t payload_type = 0;
    std::uint16_t sequence = 0;
    std::uint32_t timestamp = 0;
    std::uint32_t ssrc = 0;
    std::uint8_t csrc_count = 0;
    const std::uint8_t* csrcs = nullptr;       // csrc_count × 4 bytes, network order
    std::uint16_t extension_profile = 0;       // 0xBEDE one-byte, 0x100? two-byte elements; 0 when there is none
    Bytes extension;                           // the extension's body, without its 4-byte header
    Bytes payload;                             // without padding
};

// Size of the header with CSRCs and extension, all that SRTP leaves in clear; nothing when it does not fit.
std::optional<std::size_t> header_size(Bytes packet) noexcept;

// A whole (decrypted) packet, or nothing. Padding that does not fit is refused.
std::optional<Packet> parse(Bytes packet) noexcept;

// The data of the header extension element `id` (1–14 one-byte, 1–255 two-byte); nothing when absent.
// An empty two-byte element gives an empty span.
std::optional<Bytes> extension(const Packet& packet, std::uint8_t id) noexcept;

// RFC 6464: one byte, the top bit says voice, the rest is -dBov: 0 is overload, 127 silence.
struct AudioLevel {
    bool voice = false;
    std::uint8_t level = 127;
};
std::optional<AudioLevel> audio_level(const Packet& packet, std::uint8_t id) noexcept;

// One header extension element to write.
struct Element {
    std::uint8_t id = 0;
    Bytes data;
};

struct Header {
    bool marker = false;
    std::uint8_t payload_type = 0;
    std::uint16_t sequence = 0;
    std::uint32_t timestamp = 0;
    std::uint32_t ssrc = 0;
};

// Writes header, CSRCs and elements (one-byte form where all ids are 1–14 and data 1–16 bytes, else two-byte form),
// padded to 4 bytes. Returns the size; 0 when it does not fit.
std::size_t write_header(MutableBytes out, const Header&, std::span<const std::uint32_t> csrcs,
                         std::span<const Element> elements) noexcept;

}  // namespace plane::rtp
