#include "srtp_keys.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <stdexcept>

#include "cipher_context.hpp"

namespace plane::srtp {

void derive(Bytes master_key, Bytes master_salt, Label label, MutableBytes out) {
    // The label stands above a 48-bit index DIV rate, which is 0: byte 7 of the counter block, whose last two bytes count.
    std::array<std::uint8_t, 16> counter{};
    if (master_salt.size() > 14) throw std::invalid_argument("srtp: a master salt has at most 14 bytes");
    std::copy(master_salt.begin(), master_salt.end(), counter.begin());
    counter[7] ^= static_cast<std::uint8_t>(label);

    const EVP_CIPHER* cipher = master_key.size() == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr();
    const CipherContext context = make_context(cipher, Direction::seal, master_key);
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    int written = 0;
    if (EVP_CipherInit_ex(context.get(), nullptr, nullptr, nullptr, counter.data(), -1) != 1 ||
        EVP_CipherUpdate(context.get(), out.data(), &written, out.data(), static_cast<int>(out.size())) != 1)
        throw std::runtime_error("srtp: OpenSSL refuses to derive a key");
    OPENSSL_cleanse(counter.data(), counter.size());
}

SessionKeys::~SessionKeys() {
    OPENSSL_cleanse(encryption.data(), encryption.size());
    OPENSSL_cleanse(authentication.data(), authentication.size());
    OPENSSL_cleanse(salt.data(), salt.size());
}

}  // namespace plane::srtp
