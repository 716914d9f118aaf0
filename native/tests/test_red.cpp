#include <doctest/doctest.h>

#include <vector>

#include "red.hpp"

using namespace plane;

namespace {

using Octets = std::vector<std::uint8_t>;

struct Block {
    std::uint8_t type;
    std::uint32_t before;
    Octets payload;
};

Octets packet_of(const std::vector<Block>& blocks, std::uint8_t type, const Octets& primary) {
    Octets out;
    for (const Block& block : blocks) {
        const auto size = static_cast<std::uint32_t>(block.payload.size());
        const std::uint32_t rest = block.before << 10 | size;
        out.insert(out.end(), {static_cast<std::uint8_t>(0x80 | block.type), static_cast<std::uint8_t>(rest >> 16),
                               static_cast<std::uint8_t>(rest >> 8), static_cast<std::uint8_t>(rest)});
    }
    out.push_back(type);
    for (const Block& block : blocks) out.insert(out.end(), block.payload.begin(), block.payload.end());
    out.insert(out.end(), primary.begin(), primary.end());
    return out;
}

bool same(Bytes a, const Octets& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

}  // namespace

TEST_CASE("a packet's own frame and its two newest copies, the newest first") {
    const auto packet = packet_of({{111, 2880, {1}}, {111, 1920, {2, 2}}, {111, 960, {3, 3, 3}}}, 111, {4, 4});
    const auto parsed = red::parse(packet, 111);
    REQUIRE(parsed);
    CHECK(same(parsed->primary, {4, 4}));
    REQUIRE(parsed->copy_count == 2);
    CHECK(same(parsed->copies[0].payload, {3, 3, 3}));
    CHECK(parsed->copies[0].before == 960);
    CHECK(parsed->copies[0].distance == 1);
    CHECK(same(parsed->copies[1].payload, {2, 2}));
    CHECK(parsed->copies[1].before == 1920);
    CHECK(parsed->copies[1].distance == 2);
}

TEST_CASE("a packet without copies is its frame") {
    const auto packet = packet_of({}, 111, {9});
    const auto parsed = red::parse(packet, 111);
    REQUIRE(parsed);
    CHECK(same(parsed->primary, {9}));
    CHECK(parsed->copy_count == 0);
}

TEST_CASE("copies of another type, empty ones and such of the same time are left out, and keep their distance") {
    const auto packet = packet_of({{111, 1920, {1}}, {9, 960, {2}}}, 111, {3});
    const auto parsed = red::parse(packet, 111);
    REQUIRE(parsed);
    REQUIRE(parsed->copy_count == 1);
    CHECK(parsed->copies[0].distance == 2);
    CHECK(red::parse(packet_of({{111, 960, {}}}, 111, {3}), 111)->copy_count == 0);
    CHECK(red::parse(packet_of({{111, 0, {1}}}, 111, {3}), 111)->copy_count == 0);
}

TEST_CASE("what does not fit is refused") {
    const auto whole = packet_of({{111, 960, {1, 2, 3}}}, 111, {4});
    CHECK(red::parse(whole, 111));
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(red::parse(Bytes{whole}.first(size), 111));
    CHECK_FALSE(red::parse(whole, 110));
    CHECK_FALSE(red::parse(packet_of({{111, 960, {1}}}, 110, {4}), 111));
    CHECK_FALSE(red::parse(packet_of(std::vector<Block>(red::max_blocks + 1, {111, 960, {1}}), 111, {4}), 111));
}

TEST_CASE("offset and length take all their bits") {
    const auto packet = packet_of({{111, 16383, Octets(1023, 7)}}, 111, {4});
    const auto parsed = red::parse(packet, 111);
    REQUIRE(parsed);
    CHECK(parsed->copies[0].before == 16383);
    CHECK(parsed->copies[0].payload.size() == 1023);
}
