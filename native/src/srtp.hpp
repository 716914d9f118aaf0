// SRTP and SRTCP (RFC 3711; AEAD by RFC 7714): one prepared OpenSSL context per key, nothing allocated per packet.
//
// A Sealer's caller names the packet index (roll-over counter and sequence number), so that a retransmission gives the
// same bytes and nobody can use one index twice by accident of state. An Opener keeps the roll-over counter and a
// replay window for each SSRC it has authenticated.
#pragma once

#include <memory>
#include <optional>

#include "bytes.hpp"

namespace plane::srtp {

// The numbers of RFC 5764 section 4.1.2 and RFC 7714 section 14.2.
enum class Profile : std::uint16_t { aes128_cm_sha1_80 = 0x0001, aead_aes_128_gcm = 0x0007, aead_aes_256_gcm = 0x0008 };

struct Shape {
    std::size_t key;   // bytes of master key
    std::size_t salt;  // bytes of master salt
    std::size_t tag;   // bytes of authentication tag
};
Shape shape(Profile) noexcept;

// What sealing adds at the most: tag, and for RTCP the index.
constexpr std::size_t rtp_overhead = 16;
constexpr std::size_t rtcp_overhead = 16 + 4;

// For who seals for thousands in turn, or opens what they have sent: each step reads what the one before has asked for, and comes
// some packets after it.
enum class Ahead : std::uint8_t { state, transform, cipher };
enum class Of : std::uint8_t { rtp, rtcp };

class Sealer {
public:
    // Key and salt have the sizes that shape() names, else std::invalid_argument; std::runtime_error when OpenSSL cannot.
    // The first SRTCP packet gets the index 0 unless this continues what another Sealer has begun.
    Sealer(Profile, Bytes master_key, Bytes master_salt, std::uint32_t first_rtcp_index = 0);
    ~Sealer();
    Sealer(Sealer&&) noexcept;
    Sealer& operator=(Sealer&&) noexcept;

    // `out` starts with the finished header of `header_size` bytes; behind it go the encrypted payload and the tag.
    // index: 48 bits, its low 16 are the header's sequence number. Returns the packet's size, 0 when `out` is too small.
    // `payload` may not overlap `out`, except that it may already lie where it is going to.
    std::size_t rtp(std::uint64_t index, std::size_t header_size, Bytes payload, MutableBytes out) noexcept;

    // Seals a compound packet into `out` under the next SRTCP index. Returns the size, 0 when it does not fit and once all
    // 2^31 indexes are used (RFC 3711 section 9.2). `compound` may be the front of `out`, else they do not overlap.
    std::size_t rtcp(Bytes compound, MutableBytes out) noexcept;

    // Brings nearer what rtp() or rtcp() will read.
    void prefetch(Ahead, Of) const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

struct Opened {
    std::uint64_t index = 0;      // 48-bit packet index
    std::size_t header_size = 0;
    std::size_t size = 0;         // of the packet without its tag
};

class Opener {
public:
    Opener(Profile, Bytes master_key, Bytes master_salt);
    ~Opener();
    Opener(Opener&&) noexcept;
    Opener& operator=(Opener&&) noexcept;

    // Decrypts in place. Nothing when it does not authenticate, is a replay, is older than the window (128 packets),
    // or names a ninth SSRC: state never grows with what a peer sends, and never changes by what does not authenticate.
    // A refused packet's bytes are no longer what they were: GCM decrypts before it knows.
    std::optional<Opened> rtp(MutableBytes packet) noexcept;

    // Decrypts in place; returns the size of the compound packet.
    std::optional<std::size_t> rtcp(MutableBytes packet) noexcept;

    // Brings nearer what rtp() or rtcp() will read.
    void prefetch(Ahead, Of) const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// The four keys of a DTLS-SRTP association from its exported keying material (RFC 5764 section 4.2).
struct Material {
    Bytes client_key, server_key, client_salt, server_salt;
};
// Nothing when `exported` is not 2 × (key + salt) bytes.
std::optional<Material> split(Profile, Bytes exported) noexcept;

}  // namespace plane::srtp
