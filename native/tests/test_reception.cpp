#include <doctest/doctest.h>

#include "published.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

struct Bench {
    WorkerStats worker_stats{};
    std::shared_ptr<PeerStats> stats = std::make_shared<PeerStats>();
    ReceptionConfig config{.payload_type = 111, .level_id = 1, .report_ssrc = 9};
    Reception reception{config, stats, worker_stats};
    Packet packet{};

    bool feed(std::uint64_t index, Instant now, const Published& how = {}) { return publish(reception, packet, index, now, how); }
};

}  // namespace

TEST_CASE("a packet's fields say what a source needs") {
    Bench bench;
    REQUIRE(bench.feed(70000, start));
    CHECK(bench.packet.position.run != 0);
    CHECK(bench.packet.position.timestamp == 70000 * 960);
    CHECK(bench.packet.payload().size() == 10);
    CHECK(bench.packet.level.level == 30);
    CHECK(bench.stats->ssrc.get() == 5);
}

TEST_CASE("another payload type is not of the stream") {
    Bench bench;
    CHECK_FALSE(bench.feed(1, start, {.payload_type = 110}));
}

TEST_CASE("a second SSRC waits until the first is silent, and begins a new stretch") {
    Bench bench;
    REQUIRE(bench.feed(1, start, {.ssrc = 5}));
    const std::uint32_t stretch = bench.packet.position.run;
    CHECK_FALSE(bench.feed(1, start + milliseconds{100}, {.ssrc = 6}));
    CHECK(bench.feed(1, start + milliseconds{300}, {.ssrc = 6}));
    CHECK(bench.packet.position.run != stretch);
    CHECK(bench.stats->ssrc.get() == 6);
}

TEST_CASE("a jump of more than 500 packets begins a new stretch, loss does not") {
    Bench bench;
    REQUIRE(bench.feed(1000, start));
    const std::uint32_t stretch = bench.packet.position.run;
    REQUIRE(bench.feed(1500, start + milliseconds{20}));
    CHECK(bench.packet.position.run == stretch);
    REQUIRE(bench.feed(2001, start + milliseconds{40}));
    CHECK(bench.packet.position.run != stretch);
}

TEST_CASE("the receiver report counts what is missing") {
    Bench bench;
    CHECK_FALSE(bench.reception.report(start));
    for (std::uint64_t index = 65530; index < 65540; ++index) {
        if (index != 65533 && index != 65535) REQUIRE(bench.feed(index, start + milliseconds{20} * static_cast<int>(index - 65530)));
    }
    auto block = bench.reception.report(start + seconds{1});
    REQUIRE(block);
    CHECK(block->cumulative_lost == 2);
    CHECK(block->fraction_lost == 51);  // 2 of 10, in 1/256
    CHECK(block->highest_sequence == 65539);
    CHECK(bench.stats->packets_lost.get() == 2);
    for (std::uint64_t index = 65540; index < 65550; ++index) REQUIRE(bench.feed(index, start + seconds{1}));
    block = bench.reception.report(start + seconds{2});
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
    bench.reception.sender_report(start, {.ntp = 0x1122334455667788, .rtp_timestamp = 0, .packets = 1, .octets = 1});
    const auto block = bench.reception.report(start + milliseconds{500});
    CHECK(block->last_sr == 0x33445566);
    CHECK(block->delay_since_last_sr == 32768);
}

TEST_CASE("a sender without levels is decoded for its level, unless its payload is opaque") {
    // A valid Opus packet of silence: TOC of a 20 ms SILK frame and nothing else (RFC 6716 section 3.1).
    Bench bench;
    const Published silence{.level = std::nullopt, .payload = {0x08}};
    REQUIRE(bench.feed(1, start, silence));
    CHECK(bench.worker_stats.level_decodes.get() == 1);
    CHECK(bench.packet.level.level == 127);
    bench.reception.set_opaque(true);
    bench.packet.level = {true, 20};  // as the packet's last use left it
    REQUIRE(bench.feed(2, start, silence));
    CHECK(bench.worker_stats.level_decodes.get() == 1);
    CHECK(bench.packet.level.level == 127);
    CHECK_FALSE(bench.packet.level.voice);
}

TEST_CASE("of redundant audio the packet's own frame is what goes on, and where its copies are is told") {
    Bench bench{.config = {.payload_type = 111, .red_payload_type = 63, .level_id = 1, .report_ssrc = 9}};
    const std::vector<std::uint8_t> redundant{0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 2, 0x78, 7, 7};
    REQUIRE(bench.feed(5, start, {.payload_type = 63, .payload = redundant}));
    CHECK(bench.packet.payload().size() == 3);
    CHECK(bench.packet.payload()[0] == 0x78);
    REQUIRE(bench.packet.copy_count == 1);
    CHECK(bench.packet.copy(bench.packet.copies[0])[1] == 2);
    CHECK(bench.packet.copies[0].before == 960);
    // Plain Opus may come at any time, and has no copies.
    REQUIRE(bench.feed(6, start + milliseconds{20}));
    CHECK(bench.packet.copy_count == 0);
    CHECK_FALSE(bench.feed(7, start + milliseconds{40}, {.payload_type = 63, .payload = {0x80}}));
}

TEST_CASE("redundant audio that was not agreed is of another payload type") {
    Bench bench;
    CHECK_FALSE(bench.feed(5, start, {.payload_type = 63}));
}

TEST_CASE("a packet that was asked for again still counts as lost on the way") {
    Bench bench{.config = {.payload_type = 111, .nack = true, .level_id = 1, .report_ssrc = 9}};
    for (const std::uint64_t index : {1U, 2U, 4U}) REQUIRE(bench.feed(index, start + milliseconds{20} * static_cast<int>(index)));
    REQUIRE(bench.reception.misses());
    std::array<std::uint64_t, Repeats::capacity> asked;
    bench.stats->round_trip_ms.set(10);
    REQUIRE(bench.reception.ask(start + milliseconds{80}, asked) == 1);
    CHECK(asked[0] == 3);
    REQUIRE(bench.feed(3, start + milliseconds{95}));
    CHECK(bench.packet.repeated);
    CHECK_FALSE(bench.reception.misses());
    CHECK(bench.reception.report(start + seconds{1})->cumulative_lost == 1);
    CHECK(bench.stats->packets_asked.get() == 1);
}
