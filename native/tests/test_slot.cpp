#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "slot.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

void fill(Packet& packet, std::uint32_t run, std::uint64_t index, std::uint32_t timestamp, Instant arrival) {
    packet.position = {run, index, timestamp, false, arrival};
    packet.csrcs[0] = run;
    packet.csrc_count = 1;
}

Slot make_slot() { return Slot{{.ssrc = 0xABCD, .payload_type = 111, .mid = "0", .mid_id = 4, .level_id = 1}, 100, 5000}; }

}  // namespace

TEST_CASE("sequence numbers and timestamps go on over a change of source") {
    Slot slot = make_slot();
    Packet packet;
    fill(packet, 1, 70000, 900000, start);
    auto mapped = slot.map(packet.position);
    REQUIRE(mapped);
    CHECK(mapped->index == 100);
    CHECK(mapped->timestamp == 5000);
    CHECK(mapped->marker);
    fill(packet, 1, 70001, 900960, start + milliseconds{20});
    mapped = slot.map(packet.position);
    CHECK(mapped->index == 101);
    CHECK(mapped->timestamp == 5960);
    CHECK_FALSE(mapped->marker);

    fill(packet, 2, 5, 33, start + milliseconds{140});
    mapped = slot.map(packet.position);
    CHECK(mapped->index == 102);
    CHECK(mapped->timestamp == 5960 + 120 * 48);
    CHECK(mapped->marker);
}

TEST_CASE("loss stays visible as a gap, reordering as order") {
    Slot slot = make_slot();
    Packet packet;
    const auto index_of = [&](std::uint64_t index) {
        fill(packet, 1, index, static_cast<std::uint32_t>(index * 960), start);
        return slot.map(packet.position)->index;
    };
    CHECK(index_of(10) == 100);
    CHECK(index_of(13) == 103);
    CHECK(index_of(12) == 102);
    CHECK(index_of(14) == 104);
}

TEST_CASE("a late packet from before the turn is not sent") {
    Slot slot = make_slot();
    Packet packet;
    fill(packet, 1, 10, 0, start);
    REQUIRE(slot.map(packet.position));
    fill(packet, 1, 9, 0, start);
    CHECK_FALSE(slot.map(packet.position));
    slot.turn();
    fill(packet, 1, 20, 0, start);
    REQUIRE(slot.map(packet.position));
    fill(packet, 1, 19, 0, start);
    CHECK_FALSE(slot.map(packet.position));
}

TEST_CASE("timestamps rise by a frame even when two runs touch") {
    Slot slot = make_slot();
    Packet packet;
    fill(packet, 1, 10, 0, start);
    const auto first = slot.map(packet.position);
    fill(packet, 2, 10, 0, start + milliseconds{1});
    CHECK(slot.map(packet.position)->timestamp == first->timestamp + 960);
}

TEST_CASE("timestamps rise by a frame when the new run's packet came before the old one's last") {
    Slot slot = make_slot();
    Packet packet;
    fill(packet, 1, 10, 0, start);
    const auto first = slot.map(packet.position);
    fill(packet, 2, 10, 70000, start - microseconds{30});
    CHECK(slot.map(packet.position)->timestamp == first->timestamp + 960);
}

TEST_CASE("no index is given twice, whatever runs, gaps and turns come") {
    std::mt19937 random{7};
    Slot slot = make_slot();
    Packet packet;
    std::set<std::uint64_t> given;
    std::array<std::set<std::uint64_t>, 6> seen;  // an SRTP receiver lets each index of a run pass once
    Instant now = start;
    for (int i = 0; i < 20000; ++i) {
        now += milliseconds{5};
        const std::uint32_t run = 1 + random() % 5;
        const std::uint64_t index = 1000 + static_cast<std::uint64_t>(i) + random() % 20;
        if (random() % 50 == 0) slot.turn();
        if (!seen[run].insert(index).second) continue;
        fill(packet, run, index, static_cast<std::uint32_t>(random()), now);
        if (const auto mapped = slot.map(packet.position)) CHECK(given.insert(mapped->index).second);
    }
    CHECK(given.size() > 1000);
}

TEST_CASE("the header names who is heard, the mid and the level") {
    Slot slot = make_slot();
    Packet packet;
    fill(packet, 77, 10, 0, start);
    packet.level = {true, 30};
    const auto mapped = slot.map(packet.position);
    std::array<std::uint8_t, 64> out{};
    const std::size_t size = slot.write_header(out, *mapped, packet);
    std::array<std::uint8_t, 65> whole{};
    std::copy_n(out.begin(), size, whole.begin());
    const auto rtp = rtp::parse({whole.data(), size + 1});
    REQUIRE(rtp);
    CHECK(rtp->ssrc == 0xABCD);
    CHECK(rtp->payload_type == 111);
    REQUIRE(rtp->csrc_count == 1);
    CHECK(load32(rtp->csrcs) == 77);
    const auto level = rtp::audio_level(*rtp, 1);
    REQUIRE(level);
    CHECK(level->voice);
    CHECK(level->level == 30);
    const auto mid = rtp::extension(*rtp, 4);
    REQUIRE(mid);
    CHECK(mid->size() == 1);
    CHECK((*mid)[0] == '0');
}

TEST_CASE("sender reports follow the clock between packets") {
    Slot slot = make_slot();
    CHECK_FALSE(slot.sender_info(start, 1));
    Packet packet;
    fill(packet, 1, 10, 0, start);
    REQUIRE(slot.map(packet.position));
    slot.count(100);
    const auto info = slot.sender_info(start + milliseconds{500}, 42);
    REQUIRE(info);
    CHECK(info->ntp == 42);
    CHECK(info->rtp_timestamp == 5000 + 24000);
    CHECK(info->packets == 1);
    CHECK(info->octets == 100);
}
