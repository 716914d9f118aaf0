// AES128_CM_SHA1_80: AES in counter mode and HMAC-SHA1 cut to 80 bits (RFC 3711 sections 4.1.1 and 4.2.1).

#include <openssl/crypto.h>

#include <algorithm>

#include "hmac_sha1.hpp"
#include "srtp_transform.hpp"

namespace plane::srtp {
namespace {

constexpr std::size_t tag_size = 10;
constexpr std::size_t iv_size = 16;

class CounterMode final : public Transform {
public:
    explicit CounterMode(const SessionKeys& keys)
        : context_(make_context(EVP_aes_128_ctr(), Direction::seal,
                                Bytes{keys.encryption}.first(shape(Profile::aes128_cm_sha1_80).key))),
          mac_(keys.authentication) {
        std::copy(keys.salt.begin(), keys.salt.end(), salt_.begin());
    }
    ~CounterMode() override { OPENSSL_cleanse(salt_.data(), salt_.size()); }

    bool seal_rtp(std::uint64_t index, std::size_t header_size, Bytes payload, std::uint8_t* packet) noexcept override {
        if (!crypt(load32(packet + 8), index, payload, packet + header_size)) return false;
        const std::size_t size = header_size + payload.size();
        write_tag(rtp_mac({packet, size}, index), packet + size);
        return true;
    }

    bool open_rtp(std::uint64_t index, std::size_t header_size, MutableBytes packet) noexcept override {
        const MutableBytes covered = packet.first(packet.size() - tag_size);
        if (!matches(rtp_mac(covered, index), packet.last(tag_size))) return false;
        const MutableBytes payload = covered.subspan(header_size);
        return crypt(load32(&packet[8]), index, payload, payload.data());
    }

    bool seal_rtcp(std::uint32_t index, Bytes compound, std::uint8_t* packet) noexcept override {
        const Bytes body = compound.subspan(rtcp_header_size);
        std::memmove(packet, compound.data(), rtcp_header_size);
        if (!crypt(load32(packet + 4), index, body, packet + rtcp_header_size)) return false;
        store32(packet + compound.size(), encrypted_flag | index);
        const std::size_t size = compound.size() + rtcp_index_size;
        write_tag(mac_.mac({packet, size}), packet + size);
        return true;
    }

    bool open_rtcp(MutableBytes packet) noexcept override {
        const MutableBytes covered = packet.first(packet.size() - tag_size);
        if (!matches(mac_.mac(covered), packet.last(tag_size))) return false;
        const MutableBytes body = covered.first(covered.size() - rtcp_index_size).subspan(rtcp_header_size);
        return crypt(load32(&packet[4]), rtcp_index_word(packet) & ~encrypted_flag, body, body.data());
    }

    std::uint32_t rtcp_index_word(Bytes packet) const noexcept override {
        return load32(packet.last(tag_size + rtcp_index_size).data());
    }

    void prefetch_cipher() const noexcept override { prefetch_context(context_); }

private:
    // Counter mode is its own inverse.
    bool crypt(std::uint32_t ssrc, std::uint64_t index, Bytes in, std::uint8_t* out) noexcept {
        std::array<std::uint8_t, iv_size> iv = salt_;
        mix_index(&iv[4], ssrc, index);
        int written = 0;
        return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, iv.data(), -1) == 1 &&
               (in.empty() ||
                EVP_CipherUpdate(context_.get(), out, &written, in.data(), static_cast<int>(in.size())) == 1);
    }

    // The roll-over counter is authenticated, though it is not sent.
    HmacSha1::Digest rtp_mac(Bytes packet, std::uint64_t index) const noexcept {
        std::array<std::uint8_t, 4> roll_over_counter;
        store32(roll_over_counter.data(), static_cast<std::uint32_t>(index >> 16));
        return mac_.mac(packet, roll_over_counter);
    }

    static void write_tag(const HmacSha1::Digest& digest, std::uint8_t* out) noexcept {
        std::copy_n(digest.begin(), tag_size, out);
    }

    static bool matches(const HmacSha1::Digest& digest, Bytes tag) noexcept {
        return CRYPTO_memcmp(digest.data(), tag.data(), tag_size) == 0;
    }

    CipherContext context_;
    HmacSha1 mac_;
    std::array<std::uint8_t, iv_size> salt_{};  // the last two bytes, zero, count the blocks of a packet
};

}  // namespace

std::unique_ptr<Transform> make_counter_mode(const SessionKeys& keys) { return std::make_unique<CounterMode>(keys); }

}  // namespace plane::srtp
