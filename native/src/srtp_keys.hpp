// Session keys of SRTP and SRTCP from a master key (RFC 3711 section 4.3).
#pragma once

#include <array>

#include "srtp.hpp"

namespace plane::srtp {

// What a session key is for: RFC 3711 section 4.3.2.
enum class Label : std::uint8_t {
    rtp_encryption = 0,
    rtp_authentication = 1,
    rtp_salt = 2,
    rtcp_encryption = 3,
    rtcp_authentication = 4,
    rtcp_salt = 5,
};

// Fills `out` with the session key for `label`, by AES in counter mode under the master key (16 bytes: AES_CM_PRF;
// 32 bytes: AES_256_CM_PRF of RFC 6188), at a key derivation rate of 0. A salt shorter than 14 bytes is continued with
// zeros, as RFC 7714 section 11 says. std::runtime_error when OpenSSL cannot.
void derive(Bytes master_key, Bytes master_salt, Label label, MutableBytes out);

// The keys of one direction of SRTP or of SRTCP. A profile uses the front part of each that shape() names.
struct SessionKeys {
    std::array<std::uint8_t, 32> encryption{};
    std::array<std::uint8_t, 20> authentication{};
    std::array<std::uint8_t, 14> salt{};

    SessionKeys() = default;
    ~SessionKeys();  // leaves zeros behind
    SessionKeys(const SessionKeys&) = delete;
    SessionKeys& operator=(const SessionKeys&) = delete;
};

}  // namespace plane::srtp
