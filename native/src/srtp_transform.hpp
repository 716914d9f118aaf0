// What an SRTP profile does to one packet under session keys, without any memory of other packets.
#pragma once

#include <memory>

#include "cipher_context.hpp"
#include "srtp_keys.hpp"

namespace plane::srtp {

// The top bit of the word that carries the SRTCP index: the packet is encrypted (RFC 3711 section 3.4).
constexpr std::uint32_t encrypted_flag = 0x80000000;
constexpr std::size_t rtcp_index_size = 4;
constexpr std::size_t rtcp_header_size = 8;  // of the first packet of a compound; it stays in clear

// One session key in one direction. Callers (srtp.cpp) have checked that all sizes fit: a header lies within its packet,
// tag and index word have their room.
class Transform {
public:
    virtual ~Transform() = default;

    // `packet` starts with the finished header; behind it the encrypted payload and the tag are written.
    virtual bool seal_rtp(std::uint64_t index, std::size_t header_size, Bytes payload, std::uint8_t* packet) noexcept = 0;
    // Decrypts in place; false when the packet does not authenticate, and then its payload is not to be read.
    virtual bool open_rtp(std::uint64_t index, std::size_t header_size, MutableBytes packet) noexcept = 0;

    // Writes compound, tag and index word; `packet` may be where `compound` is.
    virtual bool seal_rtcp(std::uint32_t index, Bytes compound, std::uint8_t* packet) noexcept = 0;
    virtual bool open_rtcp(MutableBytes packet) noexcept = 0;
    // Flag and index, as the packet claims them.
    virtual std::uint32_t rtcp_index_word(Bytes packet) const noexcept = 0;

    // Asks for the memory of what rtp packets are encrypted with.
    virtual void prefetch_cipher() const noexcept = 0;
};

// Of what a transform is, keys left out: enough for a prefetch.
constexpr std::size_t transform_size = 64;

// std::invalid_argument for an unknown profile, std::runtime_error when OpenSSL cannot.
std::unique_ptr<Transform> make_transform(Profile, Direction, const SessionKeys&);

// Each makes one family; make_transform chooses.
std::unique_ptr<Transform> make_gcm(Profile, Direction, const SessionKeys&);
std::unique_ptr<Transform> make_counter_mode(const SessionKeys&);

// Both families build their IV alike (RFC 3711 section 4.1.1, RFC 7714 sections 8.1 and 9.1): the session salt, with the
// SSRC and then the 48-bit packet index (SRTCP: its 31 bits) XORed over 10 of its bytes.
inline void mix_index(std::uint8_t* iv, std::uint32_t ssrc, std::uint64_t index) noexcept {
    store32(iv, load32(iv) ^ ssrc);
    store32(iv + 4, load32(iv + 4) ^ static_cast<std::uint32_t>(index >> 16));
    store16(iv + 8, static_cast<std::uint16_t>(load16(iv + 8) ^ index));
}

}  // namespace plane::srtp
