#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <random>
#include <utility>

#include "hex.hpp"
#include "stun.hpp"

using namespace plane;
using namespace plane::stun;

namespace {

constexpr std::string_view rfc_password = "VOkJxbRl1RmTxUk/WvJxBt";

// RFC 5769 section 2.1.
const std::vector<std::uint8_t> rfc_request = from_hex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf");

// Section 2.2.
const std::vector<std::uint8_t> rfc_ipv4_response = from_hex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96");

// Section 2.3.
const std::vector<std::uint8_t> rfc_ipv6_response = from_hex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c");

const Transaction rfc_transaction = [] {
    Transaction id{};
    std::copy_n(rfc_request.begin() + 8, id.size(), id.begin());
    return id;
}();

std::uint32_t crc32_bit_by_bit(Bytes bytes) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
    return ~crc;
}

// A message put together attribute by attribute, without the code under test.
struct Message {
    std::vector<std::uint8_t> bytes = from_hex("000100002112a442000102030405060708090a0b");

    Message& add(std::uint16_t type, std::vector<std::uint8_t> value) {
        std::uint8_t head[4];
        store16(head, type);
        store16(head + 2, static_cast<std::uint16_t>(value.size()));
        while (value.size() % 4 != 0) value.push_back(0);
        bytes.insert(bytes.end(), head, head + 4);
        bytes.insert(bytes.end(), value.begin(), value.end());
        return set_length(0);
    }
    Message& add(std::uint16_t type, std::string_view value) {
        return add(type, std::vector<std::uint8_t>(value.begin(), value.end()));
    }
    Message& set_length(std::size_t more) {
        store16(&bytes[2], static_cast<std::uint16_t>(bytes.size() - 20 + more));
        return *this;
    }
    Message& integrity(std::string_view password) {
        set_length(24);
        std::vector<std::uint8_t> mac(20);
        HMAC(EVP_sha1(), password.data(), static_cast<int>(password.size()), bytes.data(), bytes.size(), mac.data(),
             nullptr);
        return add(0x0008, mac);
    }
    Message& fingerprint() {
        set_length(8);
        std::vector<std::uint8_t> crc(4);
        store32(crc.data(), crc32_bit_by_bit(bytes) ^ 0x5354554E);
        return add(0x8028, crc);
    }
    Message& username() { return add(0x0006, "ours:theirs"); }
};

// The attributes of a well-formed message: (type, value).
std::vector<std::pair<std::uint16_t, std::vector<std::uint8_t>>> attributes(Bytes message) {
    REQUIRE(message.size() >= 20);
    REQUIRE(load16(&message[2]) == message.size() - 20);
    CHECK(load32(&message[4]) == 0x2112A442);
    std::vector<std::pair<std::uint16_t, std::vector<std::uint8_t>>> result;
    for (std::size_t at = 20; at < message.size();) {
        const std::uint16_t type = load16(&message[at]);
        const std::size_t length = load16(&message[at + 2]);
        REQUIRE(at + 4 + length <= message.size());
        const Bytes value = message.subspan(at + 4, length);
        if (type == 0x0008) {
            // Checked here with the RFC's password, which the tests of written messages use.
            std::vector<std::uint8_t> covered(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(at));
            store16(&covered[2], static_cast<std::uint16_t>(at - 20 + 24));
            std::uint8_t mac[20];
            HMAC(EVP_sha1(), rfc_password.data(), static_cast<int>(rfc_password.size()), covered.data(), covered.size(),
                 mac, nullptr);
            CHECK(to_hex(value) == to_hex(mac));
        }
        if (type == 0x8028) {
            CHECK(at + 8 == message.size());
            CHECK(load32(value.data()) == (crc32_bit_by_bit(message.first(at)) ^ 0x5354554E));
        }
        result.emplace_back(type, std::vector<std::uint8_t>(value.begin(), value.end()));
        at += 4 + (length + 3) / 4 * 4;
    }
    return result;
}

}  // namespace

TEST_CASE("the sample request of RFC 5769 is read and is authentic") {
    const auto request = parse_request(rfc_request);
    REQUIRE(request);
    CHECK(request->transaction == rfc_transaction);
    CHECK(request->username == "evtj:h6vY");
    CHECK(request->local_ufrag == "evtj");
    CHECK(request->priority == 0x6e0001ff);
    CHECK(request->controlled);
    CHECK_FALSE(request->use_candidate);
    CHECK(request->unknown_attribute == 0);
    CHECK(request->integrity_offset == rfc_request.size() - 8 - 24);
    CHECK(authentic(rfc_request, *request, rfc_password));
    CHECK_FALSE(authentic(rfc_request, *request, "VOkJxbRl1RmTxUk/WvJxBu"));
}

TEST_CASE("the sample responses of RFC 5769 carry the MAC that we compute") {
    for (const auto* response : {&rfc_ipv4_response, &rfc_ipv6_response}) {
        CHECK_FALSE(parse_request(*response));  // a response is not a request
        Request at_integrity;
        at_integrity.integrity_offset = response->size() - 8 - 24;
        CHECK(authentic(*response, at_integrity, rfc_password));
        CHECK_FALSE(authentic(*response, at_integrity, "another"));
    }
}

TEST_CASE("a success response maps the address as the samples of RFC 5769 do") {
    const std::pair<const char*, const std::vector<std::uint8_t>&> samples[] = {
        {"192.0.2.1", rfc_ipv4_response}, {"2001:db8:1234:5678:11:2233:4455:6677", rfc_ipv6_response}};
    for (const auto& [address, sample] : samples) {
        std::array<std::uint8_t, 128> out{};
        const std::size_t size = write_success(out, rfc_transaction, *Endpoint::from_text(address, 32853), rfc_password);
        REQUIRE(size > 0);
        const auto written = attributes(Bytes{out}.first(size));
        REQUIRE(written.size() == 3);
        CHECK(load16(out.data()) == 0x0101);
        CHECK(written[0] == attributes(sample)[1]);
        CHECK(written[1].first == 0x0008);
        CHECK(written[2].first == 0x8028);
    }
}

TEST_CASE("an error response names code, reason and the attribute that was not understood") {
    Request request;
    request.transaction = rfc_transaction;
    request.unknown_attribute = 0x7F01;
    const std::pair<Error, const char*> errors[] = {{Error::bad_request, "00000400"},
                                                    {Error::unauthorized, "00000401"},
                                                    {Error::unknown_attribute, "00000414"},
                                                    {Error::role_conflict, "00000457"}};
    for (const auto& [error, code] : errors) {
        for (std::string_view password : {std::string_view{}, rfc_password}) {
            std::array<std::uint8_t, 128> out{};
            const std::size_t size = write_error(out, request, error, password);
            REQUIRE(size > 0);
            const auto written = attributes(Bytes{out}.first(size));
            CHECK(load16(out.data()) == 0x0111);
            CHECK(std::equal(rfc_transaction.begin(), rfc_transaction.end(), out.begin() + 8));
            CHECK(written[0].first == 0x0009);
            CHECK(to_hex(Bytes{written[0].second}.first(4)) == code);
            CHECK(written[0].second.size() > 4);
            std::size_t next = 1;
            if (error == Error::unknown_attribute) {
                CHECK(written[next].first == 0x000A);
                CHECK(to_hex(written[next++].second) == "7f01");
            }
            if (!password.empty()) CHECK(written[next++].first == 0x0008);
            CHECK(written[next].first == 0x8028);
            CHECK(written.size() == next + 1);
        }
    }
}

TEST_CASE("a written request is read back and is authentic for its password alone") {
    for (bool nominate : {false, true}) {
        std::array<std::uint8_t, 256> out{};
        const std::size_t size = write_request(out, rfc_transaction, "ours:theirs", rfc_password, 0x6e7f00ff, nominate, 42);
        const auto request = parse_request(Bytes{out}.first(size));
        REQUIRE(request);
        CHECK(request->transaction == rfc_transaction);
        CHECK(request->username == "ours:theirs");
        CHECK(request->local_ufrag == "ours");
        CHECK(request->use_candidate == nominate);
        CHECK_FALSE(request->controlled);
        CHECK(request->priority == 0x6e7f00ff);
        CHECK(authentic(Bytes{out}.first(size), *request, rfc_password));
        CHECK_FALSE(authentic(Bytes{out}.first(size), *request, ""));
        CHECK(attributes(Bytes{out}.first(size)).size() == (nominate ? 6 : 5));
    }
}

TEST_CASE("a password longer than a hash block authenticates") {
    const std::string password(200, 'p');
    Message message;
    message.username().integrity(password).fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK(authentic(message.bytes, *request, password));
    CHECK_FALSE(authentic(message.bytes, *request, password + "p"));
}

TEST_CASE("nothing authenticates under an empty password") {
    Message message;
    message.username().integrity("").fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK_FALSE(authentic(message.bytes, *request, ""));
}

TEST_CASE("a writer says 0 for every buffer that is too small and needs no more than it says") {
    const auto endpoint = *Endpoint::from_text("2001:db8::1", 1);
    const Request request;
    std::array<std::uint8_t, 256> full{};
    const std::size_t sizes[] = {write_success(full, rfc_transaction, endpoint, rfc_password),
                                 write_error(full, request, Error::unknown_attribute, rfc_password),
                                 write_request(full, rfc_transaction, "a:b", rfc_password, 1, true, 1)};
    CHECK(sizes[0] <= 128);
    CHECK(sizes[1] <= 128);
    for (std::size_t room = 0; room <= full.size(); ++room) {
        std::vector<std::uint8_t> exact(room);  // its own allocation, so that ASan sees a byte too many
        CHECK(write_success(exact, rfc_transaction, endpoint, rfc_password) == (room < sizes[0] ? 0 : sizes[0]));
        CHECK(write_error(exact, request, Error::unknown_attribute, rfc_password) == (room < sizes[1] ? 0 : sizes[1]));
        CHECK(write_request(exact, rfc_transaction, "a:b", rfc_password, 1, true, 1) == (room < sizes[2] ? 0 : sizes[2]));
    }
}

TEST_CASE("a truncated request is refused at every length") {
    for (std::size_t size = 0; size < rfc_request.size(); ++size) {
        const std::vector<std::uint8_t> cut(rfc_request.begin(), rfc_request.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK_FALSE(parse_request(cut));
    }
}

TEST_CASE("a request with any bit flipped is refused by its fingerprint") {
    for (std::size_t bit = 0; bit < rfc_request.size() * 8; ++bit) {
        auto changed = rfc_request;
        changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        CHECK_FALSE(parse_request(changed));
    }
}

TEST_CASE("a change under a mended fingerprint does not authenticate") {
    // Up to MESSAGE-INTEGRITY every byte is covered; the FINGERPRINT behind it anybody can make.
    const std::size_t before_fingerprint = rfc_request.size() - 8;
    std::size_t parsed = 0;
    for (std::size_t at = 0; at < before_fingerprint; ++at) {
        Message message;
        message.bytes.assign(rfc_request.begin(), rfc_request.begin() + static_cast<std::ptrdiff_t>(before_fingerprint));
        message.bytes[at] ^= 0x01;
        const std::uint16_t length = load16(&message.bytes[2]);
        message.fingerprint();
        if (at == 2 || at == 3) store16(&message.bytes[2], length);
        const auto request = parse_request(message.bytes);
        if (!request) continue;
        ++parsed;
        CHECK_FALSE(authentic(message.bytes, *request, rfc_password));
    }
    CHECK(parsed > 50);
}

TEST_CASE("a request without FINGERPRINT or without USERNAME is nothing") {
    Message bare;
    bare.username().integrity(rfc_password);
    CHECK_FALSE(parse_request(bare.bytes));
    bare.fingerprint();
    CHECK(parse_request(bare.bytes));

    Message nameless;
    nameless.integrity(rfc_password).fingerprint();
    CHECK_FALSE(parse_request(nameless.bytes));
}

TEST_CASE("a request without MESSAGE-INTEGRITY is read and is not authentic") {
    Message message;
    message.username().fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK(request->integrity_offset == 0);
    CHECK_FALSE(authentic(message.bytes, *request, rfc_password));
}

TEST_CASE("an integrity offset outside the datagram is not authentic") {
    Request request;
    for (std::size_t offset : {std::size_t{1}, std::size_t{19}, rfc_request.size() - 23, rfc_request.size(), ~std::size_t{0}}) {
        request.integrity_offset = offset;
        CHECK_FALSE(authentic(rfc_request, request, rfc_password));
    }
    request.integrity_offset = 20;
    CHECK_FALSE(authentic(Bytes{rfc_request}.first(10), request, rfc_password));
}

TEST_CASE("nothing may follow the FINGERPRINT") {
    Message message;
    message.username().integrity(rfc_password);
    const std::size_t at = message.bytes.size();
    message.add(0x8028, "crc?").add(0xC000, "more");
    // Right over its length field, too, so that the attribute behind it is all that is wrong.
    store32(&message.bytes[at + 4], crc32_bit_by_bit(Bytes{message.bytes}.first(at)) ^ 0x5354554E);
    CHECK_FALSE(parse_request(message.bytes));
}

TEST_CASE("attributes behind MESSAGE-INTEGRITY are ignored") {
    Message message;
    message.username().integrity(rfc_password).add(0x0025, "").add(0x7F00, "x").add(0x8029, "short").fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK_FALSE(request->use_candidate);
    CHECK_FALSE(request->controlled);
    CHECK(request->unknown_attribute == 0);
    CHECK(authentic(message.bytes, *request, rfc_password));
}

TEST_CASE("the first unknown comprehension-required attribute is named, optional ones are passed over") {
    Message message;
    message.username().add(0xC057, "1234").add(0x7F02, "").add(0x7F03, "").integrity(rfc_password).fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK(request->unknown_attribute == 0x7F02);
}

TEST_CASE("an attribute that RFC 8489 knows but a request should not carry is passed over") {
    for (std::uint16_t type : {0x0001, 0x0009, 0x000A, 0x0014, 0x0015, 0x0020}) {
        Message message;
        message.username().add(type, "whatever").integrity(rfc_password).fingerprint();
        const auto request = parse_request(message.bytes);
        REQUIRE(request);
        CHECK(request->unknown_attribute == 0);
    }
}

TEST_CASE("of two usernames the first counts") {
    Message message;
    message.add(0x0006, "first:x").add(0x0006, "second:x").fingerprint();
    const auto request = parse_request(message.bytes);
    REQUIRE(request);
    CHECK(request->local_ufrag == "first");
}

TEST_CASE("an attribute of the wrong size makes the request nothing") {
    const std::pair<std::uint16_t, const char*> wrong[] = {{0x0024, "123"},      {0x0024, "12345"},     {0x0025, "x"},
                                                           {0x8029, "1234567"},  {0x802A, "123456789"}, {0x0008, "short"},
                                                           {0x0006, "nocolon"},  {0x0006, ""},          {0x8028, "12345"}};
    for (const auto& [type, value] : wrong) {
        Message message;
        if (type != 0x0006) message.username();
        message.add(type, value).fingerprint();
        CHECK_FALSE(parse_request(message.bytes));
    }
}

TEST_CASE("an attribute whose length runs past the message makes it nothing") {
    Message message;
    message.username().add(0xC000, "1234");
    for (std::uint16_t length : {5, 13, 0xFFFF}) {
        Message changed = message;
        store16(&changed.bytes[changed.bytes.size() - 6], length);
        changed.fingerprint();
        CHECK_FALSE(parse_request(changed.bytes));
    }
}

TEST_CASE("messages of other types, versions and lengths are nothing") {
    Message message;
    message.username().integrity(rfc_password).fingerprint();
    REQUIRE(parse_request(message.bytes));
    auto longer = message.bytes;
    longer.resize(longer.size() + 4);
    CHECK_FALSE(parse_request(longer));
    auto odd = message.bytes;
    odd.push_back(0);
    CHECK_FALSE(parse_request(odd));

    for (std::uint16_t type : {0x0011, 0x0003, 0x0101, 0x0111, 0x4001}) {
        Message other;
        store16(other.bytes.data(), type);
        other.username().integrity(rfc_password).fingerprint();
        CHECK_FALSE(parse_request(other.bytes));
    }
    Message cookie;
    store32(&cookie.bytes[4], 0x2112A443);
    cookie.username().integrity(rfc_password).fingerprint();
    CHECK_FALSE(parse_request(cookie.bytes));
}

TEST_CASE("random datagrams that begin like STUN are nothing") {
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::uint8_t> datagram(20 + 4 * (random() % 40));
        for (auto& byte : datagram) byte = static_cast<std::uint8_t>(random());
        store16(datagram.data(), 1);
        store16(&datagram[2], static_cast<std::uint16_t>(datagram.size() - 20));
        store32(&datagram[4], 0x2112A442);
        CHECK_FALSE(parse_request(datagram));
    }
}
