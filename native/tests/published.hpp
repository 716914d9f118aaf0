// Packets as a publisher would write them, decrypted and taken by his Reception.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "reception.hpp"

namespace plane {

struct Published {
    std::uint32_t ssrc = 5;
    std::uint8_t payload_type = 111;
    std::optional<std::uint8_t> level = 30;  // RFC 6464, under id 1
    std::vector<std::uint8_t> payload = std::vector<std::uint8_t>(10, 0x78);
};

// Whether it is of the stream.
inline bool publish(Reception& reception, Packet& packet, std::uint64_t index, Instant now, const Published& how = {}) {
    const std::uint8_t level = how.level.value_or(0);
    const rtp::Element element{1, {&level, 1}};
    const rtp::Header header{false, how.payload_type, static_cast<std::uint16_t>(index), static_cast<std::uint32_t>(index * 960), how.ssrc};
    const std::size_t size = rtp::write_header(packet.bytes, header, {}, {&element, how.level ? 1U : 0U});
    std::copy(how.payload.begin(), how.payload.end(), packet.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    packet.position.index = index;
    packet.position.time = now;
    return reception.accept(packet, {packet.bytes.data(), size + how.payload.size()}, now);
}

}  // namespace plane
