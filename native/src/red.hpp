// Redundant audio (RFC 2198): a packet that carries copies of frames before its own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "bytes.hpp"

namespace plane::red {

// Copies that are used of one packet, the newest of those it has. More would be kept waiting for longer than anybody does.
constexpr std::size_t max_copies = 2;
// Blocks that a packet may have; one with more is refused.
constexpr std::size_t max_blocks = 8;

struct Copy {
    std::uint32_t before = 0;    // by how many timestamp units the frame came before the packet's own; never 0
    std::uint8_t distance = 0;   // and by how many frames
    Bytes payload;               // a view of the packet's; not empty
};

struct Blocks {
    Bytes primary;               // not empty
    std::array<Copy, max_copies> copies{};  // the newest first
    std::size_t copy_count = 0;
};

// payload: of an RTP packet of RED; payload_type: of its blocks. Nothing when it does not fit, or its own frame is of
// another type; copies of another type are left out.
std::optional<Blocks> parse(Bytes payload, std::uint8_t payload_type) noexcept;

}  // namespace plane::red
