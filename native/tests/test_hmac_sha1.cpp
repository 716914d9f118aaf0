#include <doctest/doctest.h>

#include "hex.hpp"
#include "hmac_sha1.hpp"

using plane::Bytes;
using plane::HmacSha1;

namespace {

Bytes view(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

}  // namespace

TEST_CASE("HMAC-SHA1 gives the digests of RFC 2202") {
    const std::vector<std::uint8_t> long_key(80, 0xaa);
    CHECK(to_hex(HmacSha1(std::vector<std::uint8_t>(20, 0x0b)).mac(view("Hi There"))) ==
          "b617318655057264e28bc0b6fb378c8ef146be00");
    CHECK(to_hex(HmacSha1(view("Jefe")).mac(view("what do ya want for nothing?"))) ==
          "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    CHECK(to_hex(HmacSha1(std::vector<std::uint8_t>(20, 0xaa)).mac(std::vector<std::uint8_t>(50, 0xdd))) ==
          "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
    CHECK(to_hex(HmacSha1(long_key).mac(view("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
          "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    CHECK(to_hex(HmacSha1(long_key).mac(
              view("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"))) ==
          "e8e99d0f45237d786d6bbaa7965c7808bbff1a91");
}

TEST_CASE("a message in two parts has the MAC of the whole, wherever it is cut") {
    std::vector<std::uint8_t> message(200);
    for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::uint8_t>(i * 7);
    const HmacSha1 key(view("key"));
    const HmacSha1::Digest whole = key.mac(message);
    for (std::size_t cut = 0; cut <= message.size(); ++cut)
        CHECK(key.mac(Bytes{message}.first(cut), Bytes{message}.subspan(cut)) == whole);
}
