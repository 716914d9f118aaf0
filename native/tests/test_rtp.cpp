#include <doctest/doctest.h>

#include <random>

#include "hex.hpp"
#include "rtp.hpp"

using namespace plane;
using namespace plane::rtp;

namespace {

std::string hex_of(const std::optional<Bytes>& bytes) { return bytes ? to_hex(*bytes) : "nothing"; }

// Version 2, extension, one CSRC; level (id 1) and mid (id 4) in one-byte form; payload "opus".
const std::vector<std::uint8_t> sample = from_hex(
    "91ef12343456789adeadbeef"
    "0000002a"
    "bede0002"
    "10a7"      // id 1, 1 byte: voice, -39 dBov
    "416d30"    // id 4, 2 bytes
    "000000"
    "6f707573");

std::vector<std::uint8_t> with_extension(std::uint16_t profile, std::string_view body) {
    std::vector<std::uint8_t> bytes = from_hex("90000001000000020000000300000000");
    const auto data = from_hex(body);
    store16(&bytes[12], profile);
    store16(&bytes[14], static_cast<std::uint16_t>(data.size() / 4));
    bytes.insert(bytes.end(), data.begin(), data.end());
    return bytes;
}

std::string element(std::uint16_t profile, std::string_view body, std::uint8_t id) {
    const auto bytes = with_extension(profile, body);
    const auto packet = parse(bytes);
    REQUIRE(packet);
    return hex_of(extension(*packet, id));
}

}  // namespace

TEST_CASE("every field of a packet is read") {
    const auto packet = parse(sample);
    REQUIRE(packet);
    CHECK(packet->marker);
    CHECK(packet->payload_type == 111);
    CHECK(packet->sequence == 0x1234);
    CHECK(packet->timestamp == 0x3456789a);
    CHECK(packet->ssrc == 0xdeadbeef);
    REQUIRE(packet->csrc_count == 1);
    CHECK(load32(packet->csrcs) == 42);
    CHECK(packet->extension_profile == 0xBEDE);
    CHECK(packet->extension.size() == 8);
    CHECK(to_hex(packet->payload) == "6f707573");
    CHECK(header_size(sample) == 28);
    CHECK(hex_of(extension(*packet, 4)) == "6d30");
    CHECK(hex_of(extension(*packet, 2)) == "nothing");

    const auto level = audio_level(*packet, 1);
    REQUIRE(level);
    CHECK(level->voice);
    CHECK(level->level == 39);
    CHECK_FALSE(audio_level(*packet, 4));  // two bytes are no level
    CHECK_FALSE(audio_level(*packet, 0));
}

TEST_CASE("the shortest packet is a header alone") {
    const auto bytes = from_hex("800000000000000000000000");
    const auto packet = parse(bytes);
    REQUIRE(packet);
    CHECK(packet->payload.empty());
    CHECK(packet->extension_profile == 0);
    CHECK(packet->csrc_count == 0);
    CHECK_FALSE(extension(*packet, 1));
}

TEST_CASE("a header cut at any byte is refused") {
    for (std::size_t size = 0; size < 28; ++size) {
        const std::vector<std::uint8_t> cut(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK_FALSE(parse(cut));
        CHECK_FALSE(header_size(cut));
    }
    for (std::size_t size = 28; size <= sample.size(); ++size) {
        const auto packet = parse(Bytes{sample}.first(size));
        REQUIRE(packet);
        CHECK(packet->payload.size() == size - 28);
    }
}

TEST_CASE("versions other than 2 are refused") {
    for (unsigned version : {0U, 1U, 3U}) {
        auto bytes = sample;
        bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x3F) | version << 6);
        CHECK_FALSE(parse(bytes));
    }
}

TEST_CASE("CSRCs or an extension that run past the packet are refused") {
    CHECK_FALSE(parse(from_hex("8f0000000000000000000000")));
    CHECK_FALSE(parse(from_hex("900000000000000000000000")));
    CHECK_FALSE(parse(from_hex("900000000000000000000000bede0001")));
    CHECK_FALSE(parse(from_hex("900000000000000000000000bedeffff00000000")));
    CHECK(parse(from_hex("900000000000000000000000bede0000")));
}

TEST_CASE("padding is taken off the payload") {
    const auto packet = [](const char* payload) {
        auto bytes = from_hex("a00000000000000000000000");
        const auto more = from_hex(payload);
        bytes.insert(bytes.end(), more.begin(), more.end());
        const auto parsed = parse(bytes);
        return parsed ? to_hex(parsed->payload) : "nothing";
    };
    CHECK(packet("aabb000003") == "aabb");
    CHECK(packet("01") == "");
    CHECK(packet("00000003") == "00");
    CHECK(packet("00000004") == "");
    CHECK(packet("00000005") == "nothing");
    CHECK(packet("aabbcc00") == "nothing");
    CHECK(packet("") == "nothing");
}

TEST_CASE("one-byte elements are found between padding") {
    CHECK(element(0xBEDE, "00001 0aa 00 21bbcc 00", 1) == "aa");
    CHECK(element(0xBEDE, "000010aa 0021bbcc", 2) == "bbcc");
    CHECK(element(0xBEDE, "ef 000102030405060708090a0b0c0d0e0f 000000", 14) == "000102030405060708090a0b0c0d0e0f");
    CHECK(element(0xBEDE, "10aa10bb", 1) == "aa");  // the first of two
}

TEST_CASE("id 15 and an id 0 with a length end the one-byte list") {
    CHECK(element(0xBEDE, "f0aa10bb", 1) == "nothing");
    CHECK(element(0xBEDE, "10bbf0aa", 1) == "bb");
    CHECK(element(0xBEDE, "f0aa10bb", 15) == "nothing");
    CHECK(element(0xBEDE, "01aabb10 cc000000", 1) == "nothing");
}

TEST_CASE("an element that runs past the extension is not there") {
    CHECK(element(0xBEDE, "13aabbcc", 1) == "nothing");
    CHECK(element(0xBEDE, "00000010", 1) == "nothing");
    CHECK(element(0x1000, "0103aabb", 1) == "nothing");
    CHECK(element(0x1000, "00000001", 1) == "nothing");
    CHECK(element(0x1000, "000001ff", 1) == "nothing");
}

TEST_CASE("two-byte elements may be empty, long, and have ids up to 255") {
    CHECK(element(0x1000, "01000000", 1) == "");
    CHECK(element(0x1000, "00ff02aa bb000000", 255) == "aabb");
    CHECK(element(0x100F, "0501cc00", 5) == "cc");
    CHECK(element(0x1000, "0500 0f01dd 000000", 15) == "dd");
    CHECK(element(0x1000, "0501cc00", 0) == "nothing");
}

TEST_CASE("an extension of another profile has no elements") {
    CHECK(element(0xBEDF, "10aa0000", 1) == "nothing");
    CHECK(element(0x1010, "0101aa00", 1) == "nothing");
    CHECK(element(0x0000, "0101aa00", 1) == "nothing");
}

TEST_CASE("an audio level is read in the two-byte form, too") {
    const auto bytes = with_extension(0x1000, "03017f00");
    const auto level = audio_level(*parse(bytes), 3);
    REQUIRE(level);
    CHECK_FALSE(level->voice);
    CHECK(level->level == 127);
}

TEST_CASE("a written header is the sample's, byte for byte") {
    const std::uint8_t level[] = {0xa7};
    const std::uint8_t mid[] = {'m', '0'};
    const std::uint32_t csrcs[] = {42};
    const Element elements[] = {{.id = 1, .data = level}, {.id = 4, .data = mid}};
    const Header header{.marker = true, .payload_type = 111, .sequence = 0x1234, .timestamp = 0x3456789a, .ssrc = 0xdeadbeef};
    for (std::size_t room = 0; room < 40; ++room) {
        std::vector<std::uint8_t> out(room, 0xEE);
        const std::size_t size = write_header(out, header, csrcs, elements);
        REQUIRE(size == (room < 28 ? 0 : 28));
        if (size != 0) CHECK(to_hex(Bytes{out}.first(size)) == to_hex(Bytes{sample}.first(28)));
    }
}

TEST_CASE("a header without elements has no extension") {
    std::array<std::uint8_t, 12> out{};
    CHECK(write_header(out, {.payload_type = 0xFF, .sequence = 1, .timestamp = 2, .ssrc = 3}, {}, {}) == 12);
    CHECK(to_hex(out) == "807f00010000000200000003");
}

TEST_CASE("what the one-byte form cannot say is written in two bytes") {
    std::array<std::uint8_t, 64> out{};
    const auto bytes = std::vector<std::uint8_t>(17, 0x11);
    const Element longer[] = {{.id = 1, .data = bytes}};
    const Element empty[] = {{.id = 1, .data = {}}};
    const Element high[] = {{.id = 15, .data = Bytes{bytes}.first(1)}};
    for (std::span<const Element> elements : {std::span<const Element>(longer), {empty}, {high}}) {
        const std::size_t size = write_header(out, {}, {}, elements);
        REQUIRE(size > 0);
        const auto packet = parse(Bytes{out}.first(size));
        REQUIRE(packet);
        CHECK(packet->extension_profile == 0x1000);
        CHECK(hex_of(extension(*packet, elements[0].id)) == to_hex(elements[0].data));
    }
}

TEST_CASE("what no form can say is refused") {
    std::vector<std::uint8_t> out(2000);
    const std::vector<std::uint8_t> bytes(256);
    const std::vector<std::uint32_t> csrcs(16);
    const Element zero[] = {{.id = 0, .data = Bytes{bytes}.first(1)}};
    const Element huge[] = {{.id = 1, .data = bytes}};
    const Element longest[] = {{.id = 1, .data = Bytes{bytes}.first(255)}};
    CHECK(write_header(out, {}, {}, zero) == 0);
    CHECK(write_header(out, {}, {}, huge) == 0);
    CHECK(write_header(out, {}, {}, longest) == 12 + 4 + 260);
    CHECK(write_header(out, {}, csrcs, {}) == 0);
    CHECK(write_header(out, {}, std::span(csrcs).first(15), {}) == 12 + 60);
}

TEST_CASE("random headers are read back as they were written") {
    std::mt19937 random(2);
    const auto below = [&random](unsigned limit) { return random() % limit; };
    for (int round = 0; round < 5'000; ++round) {
        const Header header{.marker = below(2) == 1,
                            .payload_type = static_cast<std::uint8_t>(below(128)),
                            .sequence = static_cast<std::uint16_t>(random()),
                            .timestamp = static_cast<std::uint32_t>(random()),
                            .ssrc = static_cast<std::uint32_t>(random())};
        std::vector<std::uint32_t> csrcs(below(16));
        for (auto& csrc : csrcs) csrc = static_cast<std::uint32_t>(random());
        std::vector<std::vector<std::uint8_t>> data(below(5));
        std::vector<Element> elements;
        const bool small = below(2) == 1;
        for (auto& bytes : data) {
            bytes.resize(small ? 1 + below(16) : below(256));
            for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
            const std::size_t id = elements.size() * 3 + 1;
            elements.push_back({.id = static_cast<std::uint8_t>(small ? id : id * 17), .data = bytes});
        }
        std::vector<std::uint8_t> out(1500);
        std::size_t size = write_header(out, header, csrcs, elements);
        REQUIRE(size > 0);
        CHECK(header_size(Bytes{out}.first(size)) == size);
        const std::size_t payload = below(30);
        const auto packet = parse(Bytes{out}.first(size + payload));
        REQUIRE(packet);
        CHECK(packet->marker == header.marker);
        CHECK(packet->payload_type == header.payload_type);
        CHECK(packet->sequence == header.sequence);
        CHECK(packet->timestamp == header.timestamp);
        CHECK(packet->ssrc == header.ssrc);
        REQUIRE(packet->csrc_count == csrcs.size());
        for (std::size_t i = 0; i < csrcs.size(); ++i) CHECK(load32(packet->csrcs + 4 * i) == csrcs[i]);
        for (const Element& one : elements) CHECK(hex_of(extension(*packet, one.id)) == to_hex(one.data));
        CHECK(packet->payload.size() == payload);
    }
}

TEST_CASE("whatever arrives, views stay inside the packet") {
    std::mt19937 random(3);
    for (int round = 0; round < 50'000; ++round) {
        std::vector<std::uint8_t> bytes(random() % 80);
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
        if (!bytes.empty()) bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x33) | 0x80);
        if (bytes.size() > 16 && random() % 2) store16(&bytes[12], random() % 2 ? 0xBEDE : 0x1000);
        if (bytes.size() > 16 && random() % 2) store16(&bytes[14], static_cast<std::uint16_t>(random() % 16));
        const auto packet = parse(bytes);
        if (!packet) continue;
        const auto inside = [&bytes](Bytes view) {
            return view.empty() || (view.data() >= bytes.data() && view.data() + view.size() <= bytes.data() + bytes.size());
        };
        CHECK(inside(packet->payload));
        CHECK(inside(packet->extension));
        for (unsigned id = 0; id < 256; ++id) {
            const auto data = extension(*packet, static_cast<std::uint8_t>(id));
            if (data) CHECK(inside(*data));
        }
    }
}
