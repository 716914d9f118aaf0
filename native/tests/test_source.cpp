#include <doctest/doctest.h>

#include "published.hpp"
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
    Reception reception{{.payload_type = 111, .level_id = 1, .report_ssrc = 9}, stats, worker_stats};
    Source source{{.csrc = 7}, room, 1, stats};
    Packet packet;

    void feed(std::uint64_t index, Instant now, const Published& how = {}) { feed(source, index, now, how); }
    void feed(Source& to, std::uint64_t index, Instant now, const Published& how = {}) {
        REQUIRE(publish(reception, packet, index, now, how));
        to.take(packet, now);
    }
};

}  // namespace

TEST_CASE("a packet's fields say what forwarding needs") {
    Bench bench;
    bench.feed(70000, start);
    REQUIRE(bench.packet.csrc_count == 1);
    CHECK(bench.packet.csrcs[0] == 7);
    CHECK(bench.packet.csrc_levels[0] == 30);
    CHECK(bench.packet.position.run != 0);
    CHECK(bench.stats->speaking.get());
    CHECK(bench.stats->level_dbov.get() == doctest::Approx(-30));
}

TEST_CASE("a new stretch of the reception is a new run, and runs of two sources of a room differ") {
    Bench bench;
    bench.feed(1000, start);
    const std::uint32_t run = bench.packet.position.run;
    bench.feed(1001, start);
    CHECK(bench.packet.position.run == run);
    bench.feed(2000, start);
    CHECK(bench.packet.position.run != run);
    const std::uint32_t second = bench.packet.position.run;
    Source other{{.csrc = 8}, bench.room, 2, std::make_shared<PeerStats>()};
    bench.feed(other, 2001, start);
    CHECK(bench.packet.position.run != run);
    CHECK(bench.packet.position.run != second);
}

TEST_CASE("who comes to another room begins a run there, and the reception's report counts on") {
    Bench bench;
    Room elsewhere{2, {}, bench.kernels};
    for (std::uint64_t index = 1; index <= 3; ++index) bench.feed(index, start);
    const std::uint32_t other_run = elsewhere.next_run();
    Source moved{{.csrc = 70}, elsewhere, 1, bench.stats};
    for (std::uint64_t index = 5; index <= 6; ++index) bench.feed(moved, index, start);
    CHECK(bench.packet.csrcs[0] == 70);
    CHECK(bench.packet.position.run != other_run);
    const auto block = bench.reception.report(start);
    REQUIRE(block);
    CHECK(block->cumulative_lost == 1);
    CHECK(block->highest_sequence == 6);
}

TEST_CASE("without a column, or with gain 0, a source is inaudible; its voice is still followed") {
    Bench bench;
    bench.feed(1, start);
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::inaudible);
    bench.room.set_column(7, 0, {}, start);
    bench.feed(2, start);
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::inaudible);
    CHECK(bench.room.order().empty());
    CHECK(bench.stats->speaking.get());
    CHECK(bench.room.set_column(7, 1, {}, start));
    CHECK(bench.room.order() == std::vector<std::uint32_t>{7});
    bench.feed(3, start);
    CHECK(bench.room.hear(bench.source, bench.packet, start) == Room::Verdict::audible);
}

TEST_CASE("unmuting begins a new run") {
    Bench bench;
    bench.room.set_column(7, 1, {}, start);
    bench.feed(1, start);
    bench.room.hear(bench.source, bench.packet, start);
    const std::uint32_t run = bench.packet.position.run;
    CHECK(bench.room.set_column(7, 0, {}, start));
    CHECK(bench.room.set_column(7, 1, {}, start));
    bench.feed(2, start);
    CHECK(bench.packet.position.run != run);
}

TEST_CASE("the newer source of a user takes over with its first packet; the older is inaudible then") {
    Bench bench;
    Source newer{{.csrc = 7}, bench.room, 2, std::make_shared<PeerStats>()};
    bench.room.set_column(7, 1, {}, start);
    bench.feed(1, start);
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
    bench.room.set_column(7, 1, {}, start);
    bench.feed(1, start);
    bench.room.hear(bench.source, bench.packet, start);
    CHECK(bench.room.active(start));
    Instant now = start;
    while (bench.room.active(now) && now < start + seconds{5}) bench.room.tick(now += bench.room.tick_interval());
    CHECK(now < start + seconds{2});
    CHECK_FALSE(bench.stats->speaking.get());
}

TEST_CASE("an older source that is heard again begins with an empty jitter buffer") {
    Bench bench;
    Source newer{{.csrc = 7}, bench.room, 2, std::make_shared<PeerStats>()};
    bench.room.set_column(7, 1, {}, start);
    bench.room.add_row(1, {}, std::nullopt);
    bench.feed(1, start);
    bench.room.hear(bench.source, bench.packet, start);
    const auto before = bench.source.playout;
    REQUIRE(before);
    bench.room.hear(newer, bench.packet, start);
    bench.room.detach(newer);
    bench.room.hear(bench.source, bench.packet, start);
    REQUIRE(bench.source.playout);
    CHECK(bench.source.playout != before);
}

TEST_CASE("the first loud packet is news, muted or not, and a level that toggles with each packet is not told each time") {
    Bench bench;
    CHECK_FALSE(bench.source.has_news());
    bench.feed(1, start);
    CHECK(bench.source.has_news());
    bench.source.told();
    CHECK_FALSE(bench.source.has_news());
    Instant now = start;
    int told = 0;
    // Ten thousand packets in ten seconds: as fast as a hostile sender likes, and quiet for long enough to count.
    for (std::uint64_t index = 2; index < 10'002; ++index) {
        now += milliseconds{1};
        bench.feed(index, now, {.level = static_cast<std::uint8_t>(index % 700 == 0 ? 10 : 127)});
        bench.source.tick(now);
        if (!bench.source.has_news()) continue;
        bench.source.told();
        ++told;
    }
    CHECK(told > 10);
    CHECK(told <= 2 * 10'000 / 600 + 1);
}

TEST_CASE("a publisher who is heard and gives nothing but silence is said to be silent, not while he is muted") {
    Bench bench;
    bench.room.set_column(7, 1, {}, start);
    Instant now = start;
    std::uint64_t index = 0;
    const auto be_silent = [&](int for_seconds) {
        for (int i = 0; i < 50 * for_seconds; ++i) {
            bench.feed(++index, now += milliseconds{20}, {.level = 127});
            bench.room.hear(bench.source, bench.packet, now);
        }
    };
    be_silent(11);
    CHECK(bench.stats->silent.get());
    CHECK(bench.source.has_news());
    bench.room.set_column(7, 0, {}, now);
    CHECK_FALSE(bench.stats->silent.get());
    be_silent(11);
    CHECK_FALSE(bench.stats->silent.get());
    bench.room.set_column(7, 1, {}, now);
    be_silent(9);
    CHECK_FALSE(bench.stats->silent.get());
    be_silent(2);
    CHECK(bench.stats->silent.get());
}
