#include <doctest/doctest.h>

#include <cmath>

#include "room.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

// A source in a room, fed with packets that are written as a publisher would.
struct Bench {
    Kernels kernels;
    Room room{1, {}, kernels};
    WorkerStats worker_stats;
    std::shared_ptr<PeerStats> stats = std::make_shared<PeerStats>();
    Source source{{.csrc = 7, .payload_type = 111, .level_id = 1, .report_ssrc = 9}, room, 1, stats, worker_stats};
    Packet packet;

    bool feed(std::uint64_t index, Instant now, std::uint32_t ssrc = 5, std::uint8_t payload_type = 111, std::uint8_t level = 30) {
        const std::array<std::uint8_t, 1> level_byte{level};
        const rtp::Element element{1, level_byte};
        const rtp::Header header{false, payload_type, static_cast<std::uint16_t>(index), static_cast<std::uint32_t>(index * 960), ssrc};
        std::size_t size = rtp::write_header(packet.bytes, header, {}, {&element, 1});
        for (int i = 0; i < 10; ++i) packet.bytes[size++] = 0x78;
        packet.position.index = index;
        packet.position.time = now;
        return source.accept(packet, {packet.bytes.data(), size}, now);
    }
};

}  // namespace

TEST_CASE("a packet's fields say what forwarding needs") {
    Bench bench;
    REQUIRE(bench.feed(70000, start));
    CHECK(bench.packet.csrcs[0] == 7);
    CHECK(bench.packet.position.run != 0);
    CHECK(bench.packet.payload().size() == 10);
    CHECK(bench.packet.level.level == 30);
    CHECK(bench.stats->ssrc.get() == 5);
    CHECK(bench.stats->speaking.get());
    CHECK(bench.stats->level_dbov.get() == doctest::Approx(-30));
}

TEST_CASE("another payload type is not of the stream") {
    Bench bench;
    CHECK_FALSE(bench.feed(1, start, 5, 110));
}

TEST_CASE("a second SSRC waits until the first is silent") {
    Bench bench;
    REQUIRE(bench.feed(1, start, 5));
    const std::uint32_t run = bench.packet.position.run;
    CHECK_FALSE(bench.feed(1, start + milliseconds{100}, 6));
    CHECK(bench.feed(1, start + milliseconds{300}, 6));
    CHECK(bench.packet.position.run != run);
    CHECK(bench.stats->ssrc.get() == 6);
}

TEST_CASE("a jump of more than 500 packets begins a new run, loss does not") {
    Bench bench;
    REQUIRE(bench.feed(1000, start));
    const std::uint32_t run = bench.packet.position.run;
    REQUIRE(bench.feed(1500, start + milliseconds{20}));
    CHECK(bench.packet.position.run == run);
    REQUIRE(bench.feed(2001, start + milliseconds{40}));
    CHECK(bench.packet.position.run != run);
}

TEST_CASE("the receiver report counts what is missing") {
    Bench bench;
    CHECK_FALSE(bench.source.report(start));
    for (std::uint64_t index = 65530; index < 65540; ++index) {
        if (index != 65533 && index != 65535) REQUIRE(bench.feed(index, start + milliseconds{20} * static_cast<int>(index - 65530)));
    }
    auto block = bench.source.report(start + seconds{1});
    REQUIRE(block);
    CHECK(block->cumulative_lost == 2);
    CHECK(block->fraction_lost == 51);  // 2 of 10, in 1/256
    CHECK(block->highest_sequence == 65539);
    CHECK(bench.stats->packets_lost.get() == 2);
    for (std::uint64_t index = 65540; index < 65550; ++index) REQUIRE(bench.feed(index, start + seconds{1}));
    block = bench.source.report(start + seconds{2});
    CHECK(block->cumulative_lost == 2);
    CHECK(block->fraction_lost == 0);
}

TEST_CASE("jitter follows RFC 3550 A.8") {
    Bench bench;
    double jitter = 0;
    Instant now = start;
    REQUIRE(bench.feed(1, now));
    for (std::uint64_t i = 1; i <= 50; ++i) {
        const int late_ms = i % 2 ? 30 : 10;  // 10 ms off the spacing of 20, each time
        now += milliseconds{late_ms};
        REQUIRE(bench.feed(1 + i, now));
        jitter += (480 - jitter) / 16;
    }
    CHECK(bench.stats->jitter_ms.get() == doctest::Approx(jitter / 48).epsilon(0.001));
}

TEST_CASE("a sender report is answered with its time and our delay") {
    Bench bench;
    REQUIRE(bench.feed(1, start));
    bench.source.sender_report(start, {.ntp = 0x1122334455667788, .rtp_timestamp = 0, .packets = 1, .octets = 1});
    const auto block = bench.source.report(start + milliseconds{500});
    CHECK(block->last_sr == 0x33445566);
    CHECK(block->delay_since_last_sr == 32768);
}

TEST_CASE("without a column, or with gain 0, a source is inaudible; its voice is still followed") {
    Bench bench;
    REQUIRE(bench.feed(1, start));
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::inaudible);
    bench.room.set_column(7, 0, start);
    REQUIRE(bench.feed(2, start));
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::inaudible);
    CHECK(bench.room.order().empty());
    CHECK(bench.stats->speaking.get());
    CHECK(bench.room.set_column(7, 1, start));
    CHECK(bench.room.order() == std::vector<std::uint32_t>{7});
    REQUIRE(bench.feed(3, start));
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::audible);
}

TEST_CASE("unmuting begins a new run") {
    Bench bench;
    bench.room.set_column(7, 1, start);
    REQUIRE(bench.feed(1, start));
    bench.room.hear(bench.source, bench.packet, start);
    const std::uint32_t run = bench.packet.position.run;
    CHECK(bench.room.set_column(7, 0, start));
    CHECK(bench.room.set_column(7, 1, start));
    REQUIRE(bench.feed(2, start));
    CHECK(bench.packet.position.run != run);
}

TEST_CASE("the newer source of a user takes over with its first packet; the older is inaudible then") {
    Bench bench;
    Source newer{{.csrc = 7, .payload_type = 111, .level_id = 1, .report_ssrc = 10}, bench.room, 2, std::make_shared<PeerStats>(), bench.worker_stats};
    bench.room.set_column(7, 1, start);
    REQUIRE(bench.feed(1, start));
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::order_changed);
    CHECK(bench.room.hear(newer, bench.packet, start) == Room::Verdict::audible);
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::inaudible);
    CHECK_FALSE(bench.room.detach(bench.source));
    CHECK(bench.room.order() == std::vector<std::uint32_t>{7});
    CHECK(bench.room.detach(newer));
    CHECK(bench.room.order().empty());
}

TEST_CASE("a silent room stops ticking") {
    Bench bench;
    bench.room.set_column(7, 1, start);
    REQUIRE(bench.feed(1, start));
    bench.room.hear(bench.source, bench.packet, start);
    CHECK(bench.room.active(start));
    Instant now = start;
    while (bench.room.active(now) && now < start + seconds{5}) bench.room.tick(now += bench.room.tick_interval());
    CHECK(now < start + seconds{2});
    CHECK_FALSE(bench.stats->speaking.get());
}

TEST_CASE("a sender without levels is decoded for its level") {
    // A valid Opus packet of silence: TOC of a 20 ms SILK frame and nothing else (RFC 6716 section 3.1).
    Bench bench;
    Source source{{.csrc = 7, .payload_type = 111, .level_id = 0, .report_ssrc = 9}, bench.room, 1, bench.stats, bench.worker_stats};
    const rtp::Header header{false, 111, 1, 960, 5};
    const std::size_t size = rtp::write_header(bench.packet.bytes, header, {}, {});
    bench.packet.bytes[size] = 0x08;
    bench.packet.position.index = 1;
    REQUIRE(source.accept(bench.packet, {bench.packet.bytes.data(), size + 1}, start));
    CHECK(bench.worker_stats.level_decodes.get() == 1);
    CHECK(bench.stats->level_dbov.get() == doctest::Approx(-127));
}
