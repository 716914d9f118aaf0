// HMAC-SHA1 (RFC 2104), the MAC of STUN and of AES_CM_128_HMAC_SHA1_80, with the key hashed once.
//
// The first block of both hashes depends on the key alone, so a key is kept as the two chaining values behind that
// block: 40 bytes, and a MAC of a 130-byte packet costs four compressions instead of six and allocates nothing.
#pragma once

#include <array>

#include "bytes.hpp"

namespace plane {

class HmacSha1 {
public:
    using Digest = std::array<std::uint8_t, 20>;

    // A key of any length; one longer than a block (64 bytes) is hashed first, as RFC 2104 section 2 says.
    explicit HmacSha1(Bytes key) noexcept;
    ~HmacSha1();
    HmacSha1(const HmacSha1&) = default;
    HmacSha1& operator=(const HmacSha1&) = default;

    // The MAC of `head` followed by `tail`.
    Digest mac(Bytes head, Bytes tail = {}) const noexcept;

private:
    std::array<std::uint32_t, 5> inner_{};
    std::array<std::uint32_t, 5> outer_{};
};

}  // namespace plane
