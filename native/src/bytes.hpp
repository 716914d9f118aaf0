// Views of bytes, network byte order, and the one helper for numbers that wrap around.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace plane {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

inline std::uint16_t load16(const std::uint8_t* p) noexcept {
    return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}
inline std::uint32_t load24(const std::uint8_t* p) noexcept {
    return std::uint32_t{p[0]} << 16 | std::uint32_t{p[1]} << 8 | p[2];
}
inline std::uint32_t load32(const std::uint8_t* p) noexcept {
    return std::uint32_t{load16(p)} << 16 | load16(p + 2);
}
inline std::uint64_t load64(const std::uint8_t* p) noexcept {
    return std::uint64_t{load32(p)} << 32 | load32(p + 4);
}

inline void store16(std::uint8_t* p, std::uint16_t v) noexcept {
    p[0] = static_cast<std::uint8_t>(v >> 8);
    p[1] = static_cast<std::uint8_t>(v);
}
inline void store24(std::uint8_t* p, std::uint32_t v) noexcept {
    p[0] = static_cast<std::uint8_t>(v >> 16);
    store16(p + 1, static_cast<std::uint16_t>(v));
}
inline void store32(std::uint8_t* p, std::uint32_t v) noexcept {
    store16(p, static_cast<std::uint16_t>(v >> 16));
    store16(p + 2, static_cast<std::uint16_t>(v));
}
inline void store64(std::uint8_t* p, std::uint64_t v) noexcept {
    store32(p, static_cast<std::uint32_t>(v >> 32));
    store32(p + 4, static_cast<std::uint32_t>(v));
}

// How far `a` lies after `b` on a circle of 2^bits, negative when before: RFC 1982 serial number arithmetic.
inline std::int16_t distance16(std::uint16_t a, std::uint16_t b) noexcept {
    return static_cast<std::int16_t>(a - b);
}
inline std::int32_t distance32(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b);
}

}  // namespace plane
