// An OpenSSL cipher context that is keyed once; per packet only its IV changes.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "bytes.hpp"
#include "prefetch.hpp"

namespace plane::srtp {

enum class Direction : bool { open = false, seal = true };

struct CipherContextFree {
    // OpenSSL zeroises the key schedule as it frees it.
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, CipherContextFree>;

// OpenSSL 3's context is some 200 bytes, and what its provider keeps is allocated right behind it when the context is keyed as
// here; where it is not, this asks for memory in vain.
inline void prefetch_context(const CipherContext& context) noexcept {
    constexpr std::size_t context_and_provider_size = 192 + 960;
    prefetch(context.get(), context_and_provider_size);
}

// `key` has the size that the cipher takes, else std::invalid_argument; std::runtime_error when OpenSSL cannot.
inline CipherContext make_context(const EVP_CIPHER* cipher, Direction direction, Bytes key) {
    if (key.size() != static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)))
        throw std::invalid_argument("srtp: wrong size of cipher key");
    CipherContext context(EVP_CIPHER_CTX_new());
    if (!context || EVP_CipherInit_ex(context.get(), cipher, nullptr, key.data(), nullptr, static_cast<int>(direction)) != 1)
        throw std::runtime_error("srtp: OpenSSL cannot prepare a cipher");
    return context;
}

}  // namespace plane::srtp
