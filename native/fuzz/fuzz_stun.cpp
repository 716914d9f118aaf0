// STUN: nothing is read outside the datagram, nothing forged is authentic, and what is written can be read.
//
// A CRC and a MAC keep a fuzzer out, so each input is tried as it comes, then with a FINGERPRINT of ours behind it.

#include <algorithm>
#include <string>

#include "fuzz.hpp"
#include "stun.hpp"

using namespace plane;
using namespace plane::stun;

namespace {

constexpr std::string_view password = "a password of the server";

std::uint32_t crc32(Bytes bytes) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

std::vector<std::uint8_t> with_fingerprint(Bytes input) {
    std::vector<std::uint8_t> message(input.begin(), input.end());
    message.resize(std::max<std::size_t>(message.size() & ~std::size_t{3}, 20) + 8);
    const std::size_t at = message.size() - 8;
    store16(&message[0], 1);
    store16(&message[2], static_cast<std::uint16_t>(message.size() - 20));
    store32(&message[4], 0x2112A442);
    store16(&message[at], 0x8028);
    store16(&message[at + 2], 4);
    store32(&message[at + 4], crc32(Bytes{message}.first(at)) ^ 0x5354554E);
    return message;
}

void check_request(Bytes datagram, const Request& request) {
    const auto* begin = reinterpret_cast<const std::uint8_t*>(request.username.data());
    FUZZ_REQUIRE(begin >= datagram.data() && begin + request.username.size() <= datagram.data() + datagram.size());
    FUZZ_REQUIRE(request.username.starts_with(std::string(request.local_ufrag) + ":"));
    FUZZ_REQUIRE(request.local_ufrag.find(':') == std::string_view::npos);
    FUZZ_REQUIRE(request.integrity_offset == 0 || request.integrity_offset + 24 + 8 <= datagram.size());
    FUZZ_REQUIRE(request.unknown_attribute < 0x8000);
    FUZZ_REQUIRE(!authentic(datagram, request, ""));

    // Answers always fit, and are themselves no requests.
    std::array<std::uint8_t, 128> out;
    for (Error error : {Error::bad_request, Error::unauthorized, Error::unknown_attribute, Error::role_conflict}) {
        const std::size_t size = write_error(out, request, error, password);
        FUZZ_REQUIRE(size >= 20 && size % 4 == 0);
        FUZZ_REQUIRE(!parse_request(Bytes{out}.first(size)));
    }
    for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
        const std::size_t size = write_success(out, request.transaction, *Endpoint::from_text(address, 9), password);
        FUZZ_REQUIRE(size >= 20 && size % 4 == 0);
        FUZZ_REQUIRE(!parse_request(Bytes{out}.first(size)));
    }
}

}  // namespace

std::vector<std::vector<std::uint8_t>> seeds() {
    std::vector<std::vector<std::uint8_t>> result;
    for (bool nominate : {false, true}) {
        std::vector<std::uint8_t> out(256);
        out.resize(write_request(out, {1, 2, 3}, "ours:theirs", password, 0x6e7f00ff, nominate, 42));
        result.push_back(out);
        out.resize(out.size() - 8);  // so that a change needs no right CRC
        result.push_back(out);
        out.resize(out.size() - 24);
        result.push_back(out);
    }
    return result;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input{data, size};
    if (const auto request = parse_request(input)) check_request(input, *request);

    const std::vector<std::uint8_t> message = with_fingerprint(input);
    if (const auto request = parse_request(message)) {
        check_request(message, *request);
        // The seeds carry a good MAC; what differs from it in a covered byte must not.
        if (authentic(message, *request, password)) {
            std::vector<std::uint8_t> forged = message;
            const std::size_t at = 8 + size % (request->integrity_offset - 8);
            forged[at] ^= 0x10;
            FUZZ_REQUIRE(!authentic(forged, *request, password));
        }
    }

    // A request of ours with the input as its username is read back as it was meant.
    const std::string username = "u:" + std::string(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 500));
    const Transaction transaction{static_cast<std::uint8_t>(size)};
    std::vector<std::uint8_t> out(1000);
    out.resize(write_request(out, transaction, username, password, 1, size % 2 == 0, size));
    const auto request = parse_request(out);
    FUZZ_REQUIRE(request && request->transaction == transaction && request->username == username);
    FUZZ_REQUIRE(request->use_candidate == (size % 2 == 0) && request->unknown_attribute == 0);
    FUZZ_REQUIRE(authentic(out, *request, password));
    check_request(out, *request);
    return 0;
}
