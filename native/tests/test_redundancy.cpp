#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "redundancy.hpp"

using namespace plane;

namespace {

using List = std::vector<std::uint8_t>;
List bytes_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

// RFC 2198 read anew, from its text.
struct Block {
    std::uint8_t payload_type;
    std::uint32_t offset;
    List data;
};
std::vector<Block> read(Bytes payload) {
    std::vector<Block> blocks;
    std::vector<std::size_t> lengths;
    std::size_t at = 0;
    while ((payload[at] & 0x80) != 0) {
        const std::uint32_t word = load32(&payload[at]);
        blocks.push_back({static_cast<std::uint8_t>(word >> 24 & 0x7f), word >> 10 & 0x3fff, {}});
        lengths.push_back(word & 0x3ff);
        at += 4;
    }
    blocks.push_back({static_cast<std::uint8_t>(payload[at++] & 0x7f), 0, {}});
    for (std::size_t i = 0; i < lengths.size(); at += lengths[i++]) blocks[i].data = bytes_of(payload.subspan(at, lengths[i]));
    blocks.back().data = bytes_of(payload.subspan(at));
    return blocks;
}

struct Frames {
    PacketPool pool{64};
    PacketRef make(std::size_t size, std::uint8_t fill) {
        PacketRef packet = pool.take();
        packet->payload_offset = 0;
        packet->payload_size = static_cast<std::uint16_t>(size);
        std::fill_n(packet->bytes.begin(), size, fill);
        return packet;
    }
};

}  // namespace

TEST_CASE("a packet has the frames before it, oldest first, by their distance in time") {
    Frames frames;
    red::Recent recent;
    recent.add(frames.make(50, 1), 960);
    recent.add(frames.make(60, 2), 1920);
    const PacketRef primary = frames.make(70, 3), out = frames.pool.take();
    REQUIRE(red::write(*out, recent, 2, *primary, 2880));
    CHECK(out->red_frames == 2);
    auto blocks = read(out->payload());
    REQUIRE(blocks.size() == 3);
    CHECK((blocks[0].offset == 1920 && blocks[0].data == List(50, 1)));
    CHECK((blocks[1].offset == 960 && blocks[1].data == List(60, 2)));
    CHECK(blocks[2].data == List(70, 3));
    for (const Block& block : blocks) CHECK(block.payload_type == 111);

    REQUIRE(red::write(*out, recent, 1, *primary, 2880));
    blocks = read(out->payload());
    REQUIRE(blocks.size() == 2);
    CHECK((blocks[0].offset == 960 && blocks[0].data == List(60, 2)));
}

TEST_CASE("timestamps that wrap around keep their distance") {
    Frames frames;
    red::Recent recent;
    recent.add(frames.make(10, 1), 0xFFFFFFFF - 100);
    const PacketRef primary = frames.make(10, 2), out = frames.pool.take();
    REQUIRE(red::write(*out, recent, 2, *primary, 0xFFFFFFFF - 100 + 960));
    CHECK(read(out->payload())[0].offset == 960);
}

TEST_CASE("frames too old, too long or without audio are left out, and then there may be nothing to add") {
    Frames frames;
    const PacketRef primary = frames.make(10, 2), out = frames.pool.take();
    const auto adds = [&](PacketRef before, std::uint32_t distance) {
        red::Recent recent;
        recent.add(std::move(before), 5000);
        return red::write(*out, recent, 2, *primary, 5000 + distance);
    };
    CHECK_FALSE(red::write(*out, {}, 2, *primary, 960));
    CHECK(adds(frames.make(10, 1), 16383));
    CHECK_FALSE(adds(frames.make(10, 1), 16384));
    CHECK(adds(frames.make(1023, 1), 960));
    CHECK_FALSE(adds(frames.make(1024, 1), 960));
    CHECK_FALSE(adds(frames.make(1, 1), 960));
    CHECK_FALSE(adds(frames.make(10, 1), 0));
}

TEST_CASE("a packet stays below the size that every path takes") {
    Frames frames;
    red::Recent recent;
    recent.add(frames.make(400, 1), 960);
    recent.add(frames.make(400, 2), 1920);
    const PacketRef primary = frames.make(400, 3), out = frames.pool.take();
    REQUIRE(red::write(*out, recent, 2, *primary, 2880));
    CHECK(out->red_frames == 1);
    CHECK(read(out->payload())[0].data == List(400, 2));
    CHECK(out->payload_size <= red::max_size);
}

TEST_CASE("for another payload type the copy differs in the types alone, whatever the frames are") {
    std::mt19937 random{5};
    Frames frames;
    for (int round = 0; round < 500; ++round) {
        red::Recent recent;
        for (std::uint32_t i = 0; i < random() % 3; ++i) {
            recent.add(frames.make(3 + random() % 300, static_cast<std::uint8_t>(random())), i * 960);
        }
        const PacketRef primary = frames.make(1 + random() % 300, static_cast<std::uint8_t>(random())), out = frames.pool.take();
        if (!red::write(*out, recent, 1 + random() % 2, *primary, 2 * 960)) continue;
        List space(1500);
        const auto ours = read(out->payload()), theirs = read(red::rewrite(space, out->payload(), out->red_frames, 96));
        REQUIRE(ours.size() == theirs.size());
        CHECK(ours.size() == out->red_frames + 1U);
        for (std::size_t i = 0; i < ours.size(); ++i) {
            CHECK(theirs[i].payload_type == 96);
            CHECK(theirs[i].offset == ours[i].offset);
            CHECK(theirs[i].data == ours[i].data);
        }
    }
}

TEST_CASE("a packet from the pool is plain, whatever it was before") {
    PacketPool pool{4};
    for (int i = 0; i < 10; ++i) {
        const PacketRef packet = pool.take();
        CHECK(packet->red_frames == 0);
        packet->red_frames = 2;
    }
}
