// AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714).

#include <openssl/crypto.h>

#include <algorithm>

#include "srtp_transform.hpp"

namespace plane::srtp {
namespace {

constexpr std::size_t tag_size = 16;
constexpr std::size_t iv_size = 12;

class Gcm final : public Transform {
public:
    Gcm(Profile profile, Direction direction, const SessionKeys& keys)
        : context_(make_context(profile == Profile::aead_aes_256_gcm ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), direction,
                                Bytes{keys.encryption}.first(shape(profile).key))) {
        std::copy_n(keys.salt.begin(), salt_.size(), salt_.begin());
    }
    ~Gcm() override { OPENSSL_cleanse(salt_.data(), salt_.size()); }

    bool seal_rtp(std::uint64_t index, std::size_t header_size, Bytes payload, std::uint8_t* packet) noexcept override {
        return begin(load32(packet + 8), index) && associate({packet, header_size}) &&
               seal(payload, packet + header_size);
    }

    bool open_rtp(std::uint64_t index, std::size_t header_size, MutableBytes packet) noexcept override {
        return begin(load32(&packet[8]), index) && associate(packet.first(header_size)) &&
               open(packet.subspan(header_size));
    }

    bool seal_rtcp(std::uint32_t index, Bytes compound, std::uint8_t* packet) noexcept override {
        std::array<std::uint8_t, rtcp_index_size> word;
        store32(word.data(), encrypted_flag | index);
        std::memmove(packet, compound.data(), rtcp_header_size);
        if (!begin(load32(packet + 4), index) || !associate({packet, rtcp_header_size}) || !associate(word)) return false;
        if (!seal(compound.subspan(rtcp_header_size), packet + rtcp_header_size)) return false;
        std::copy(word.begin(), word.end(), packet + compound.size() + tag_size);
        return true;
    }

    bool open_rtcp(MutableBytes packet) noexcept override {
        const MutableBytes sealed = packet.first(packet.size() - rtcp_index_size);
        return begin(load32(&packet[4]), rtcp_index_word(packet) & ~encrypted_flag) &&
               associate(packet.first(rtcp_header_size)) && associate(packet.last(rtcp_index_size)) &&
               open(sealed.subspan(rtcp_header_size));
    }

    std::uint32_t rtcp_index_word(Bytes packet) const noexcept override {
        return load32(packet.last(rtcp_index_size).data());
    }

    void prefetch_cipher() const noexcept override { prefetch_context(context_); }

private:
    bool begin(std::uint32_t ssrc, std::uint64_t index) noexcept {
        std::array<std::uint8_t, iv_size> iv = salt_;
        mix_index(&iv[2], ssrc, index);
        return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, iv.data(), -1) == 1;
    }

    bool associate(Bytes data) noexcept { return update(nullptr, data); }

    bool update(std::uint8_t* out, Bytes in) noexcept {
        int written = 0;
        return in.empty() ||
               EVP_CipherUpdate(context_.get(), out, &written, in.data(), static_cast<int>(in.size())) == 1;
    }

    // Straight from where the plaintext lies to the packet: no copy in between.
    bool seal(Bytes plaintext, std::uint8_t* out) noexcept {
        int written = 0;
        std::uint8_t* tag = out + plaintext.size();
        return update(out, plaintext) && EVP_CipherFinal_ex(context_.get(), tag, &written) == 1 &&
               EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, tag) == 1;
    }

    bool open(MutableBytes sealed) noexcept {
        const MutableBytes ciphertext = sealed.first(sealed.size() - tag_size);
        const MutableBytes tag = sealed.last(tag_size);
        int written = 0;
        return EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag.data()) == 1 &&
               update(ciphertext.data(), ciphertext) && EVP_CipherFinal_ex(context_.get(), tag.data(), &written) == 1;
    }

    CipherContext context_;
    std::array<std::uint8_t, iv_size> salt_{};
};

}  // namespace

std::unique_ptr<Transform> make_gcm(Profile profile, Direction direction, const SessionKeys& keys) {
    return std::make_unique<Gcm>(profile, direction, keys);
}

}  // namespace plane::srtp
