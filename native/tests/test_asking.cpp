#include <doctest/doctest.h>

#include <random>
#include <set>
#include <vector>

#include "repeats.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};
constexpr Duration frame = milliseconds{20};
constexpr Duration way = milliseconds{30};

struct Bench {
    Repeats repeats;
    std::array<std::uint64_t, Repeats::capacity> asked;

    bool arrive(std::uint64_t index, Instant now, std::size_t copies = 0) {
        return repeats.arrived(index, static_cast<std::uint32_t>(index * 960), copies, now);
    }
    // delay: from a packet's sending to its being heard; packet i is sent at start + i frames.
    std::size_t ask(Instant now, std::optional<Duration> delay, std::optional<Duration> round_trip = way) {
        std::optional<std::uint32_t> heard;
        if (delay) heard = clock_samples(start + *delay);
        return repeats.ask(now, round_trip, heard, asked);
    }
    Instant at(int index) const { return start + frame * index; }
};

}  // namespace

TEST_CASE("a missing packet is asked for when its answer can come in time, else not") {
    for (const int delay_ms : {20, 50, 54, 56, 100}) {
        Bench bench;
        bench.arrive(0, bench.at(0));
        bench.arrive(2, bench.at(2));
        // It is noticed 20 ms after it was due: the answer comes 50 ms after that time, and 5 are to spare.
        const std::size_t count = bench.ask(bench.at(2), milliseconds{delay_ms});
        CHECK(count == (delay_ms >= 55 ? 1 : 0));
        if (count == 1) CHECK(bench.asked[0] == 1);
    }
}

TEST_CASE("an answer is known as such, and tells how long the next takes") {
    Bench bench;
    bench.arrive(0, bench.at(0));
    bench.arrive(2, bench.at(2));
    REQUIRE(bench.ask(bench.at(2), milliseconds{200}) == 1);
    CHECK_FALSE(bench.arrive(3, bench.at(3)));
    CHECK(bench.arrive(1, bench.at(2) + milliseconds{44}));
    CHECK_FALSE(bench.repeats.missing());
    CHECK(bench.repeats.answers(way).time == milliseconds{44});
    CHECK_FALSE(bench.arrive(1, bench.at(4)));
}

TEST_CASE("one that comes by itself was not asked for") {
    Bench bench;
    bench.arrive(0, bench.at(0));
    bench.arrive(2, bench.at(2));
    CHECK_FALSE(bench.arrive(1, bench.at(2) + milliseconds{1}));
    CHECK(bench.ask(bench.at(2) + milliseconds{2}, milliseconds{200}) == 0);
}

TEST_CASE("what a copy has brought back is not asked for") {
    Bench bench;
    bench.arrive(0, bench.at(0));
    bench.arrive(4, bench.at(4), 2);
    REQUIRE(bench.ask(bench.at(4), milliseconds{300}) == 1);
    CHECK(bench.asked[0] == 1);
}

TEST_CASE("without an answer it is asked for again, while an answer can come in time") {
    for (const bool round_trip_known : {true, false}) {
        CAPTURE(round_trip_known);
        const std::optional<Duration> round_trip = round_trip_known ? std::optional{way * 2} : std::nullopt;
        Bench bench;
        bench.arrive(0, bench.at(0));
        bench.arrive(2, bench.at(2));
        std::vector<int> asked_ms;
        for (int ms = 0; ms < 1000; ms += 5) {
            if (bench.ask(bench.at(2) + milliseconds{ms}, milliseconds{300}, round_trip) == 1) asked_ms.push_back(ms);
        }
        // Its answer takes 60 ms, measured or presumed, and it is heard 280 ms after it was missed.
        CHECK(asked_ms.size() == (round_trip_known ? 6 : 3));
        CHECK(asked_ms.back() <= 280 - 60 - 5);
        for (std::size_t i = 1; i < asked_ms.size(); ++i) CHECK(asked_ms[i] - asked_ms[i - 1] >= (round_trip_known ? 30 : 90));
        CHECK_FALSE(bench.repeats.missing());
    }
}

TEST_CASE("of several questions the one that was answered is told by the round trip") {
    Bench bench;
    for (int round = 0; round < 60; ++round) {
        const int first = round * 10;
        bench.repeats.reset();
        bench.arrive(static_cast<std::uint64_t>(first), bench.at(first));
        const Instant noticed = bench.at(first + 2);
        bench.arrive(static_cast<std::uint64_t>(first) + 2, noticed);
        unsigned asked = 0;
        // Questions go every 40 ms, the answer takes 75; the first question gets lost each third time.
        for (int ms = 0; ms < 140; ms += 5) {
            if (ms == (round % 3 == 0 ? 115 : 75)) CHECK(bench.arrive(static_cast<std::uint64_t>(first) + 1, noticed + milliseconds{ms}));
            asked += bench.ask(noticed + milliseconds{ms}, milliseconds{300}, milliseconds{70}) != 0 ? 1 : 0;
        }
        CHECK(asked == (round % 3 == 0 ? 3 : 2));
    }
    CHECK(bench.repeats.answers(milliseconds{70}).time == milliseconds{75});
}

TEST_CASE("when it is not known when a packet is heard, a near sender is asked, a far one not") {
    for (const bool near : {true, false}) {
        Bench bench;
        bench.arrive(0, bench.at(0));
        bench.arrive(2, bench.at(2));
        CHECK(bench.ask(bench.at(2), std::nullopt, milliseconds{near ? 40 : 90}) == (near ? 1 : 0));
    }
}

TEST_CASE("a storm of losses is not answered with a storm of questions") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        Bench bench;
        std::mt19937 random{seed};
        std::size_t asks = 0;
        for (int i = 0; i < 500; ++i) {
            if (random() % 100 < 80) continue;
            bench.arrive(static_cast<std::uint64_t>(i), bench.at(i));
            asks += bench.ask(bench.at(i), milliseconds{300});
        }
        CHECK(asks <= Repeats::at_once + 10 * Repeats::per_second + 1);
    }
}

TEST_CASE("a jump by more than it remembers misses nothing, and arbitrary packets do no harm") {
    Bench bench;
    bench.arrive(0, bench.at(0));
    bench.arrive(1000, bench.at(1000));
    CHECK_FALSE(bench.repeats.missing());
    std::mt19937_64 random{3};
    for (int i = 0; i < 20000; ++i) {
        bench.repeats.arrived(random() % 200 + (random() % 100 == 0 ? random() >> 16 : 0), static_cast<std::uint32_t>(random()),
                              random() % 3, start + milliseconds{i});
        const std::size_t count = bench.ask(start + milliseconds{i}, milliseconds{random() % 500});
        CHECK(count <= Repeats::capacity);
        const std::set<std::uint64_t> different{bench.asked.begin(), bench.asked.begin() + static_cast<std::ptrdiff_t>(count)};
        CHECK(different.size() == count);
    }
}
