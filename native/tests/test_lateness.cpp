#include <doctest/doctest.h>

#include <random>

#include "lateness.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};
constexpr Duration frame = milliseconds{20};

struct Bench {
    Lateness lateness;
    int sent = 0;
    Duration media{};

    Duration feed(Duration late, int count = 1) {
        for (int i = 0; i < count; ++i, ++sent) {
            media = frame * sent;
            lateness.update(start + media + late, media);
        }
        return lateness.target();
    }
};

}  // namespace

TEST_CASE("the target is what 97 in a hundred packets stay below") {
    Bench bench;
    std::mt19937 random{1};
    for (int i = 0; i < 125; ++i) bench.feed(milliseconds{random() % 100});
    CHECK(bench.lateness.target() >= milliseconds{90});
    CHECK(bench.lateness.target() <= milliseconds{100});
    for (int i = 0; i < 1000; ++i) {
        bench.feed(milliseconds{random() % 100});
        CHECK(bench.lateness.target() >= milliseconds{85});
        CHECK(bench.lateness.target() <= milliseconds{100});
    }
}

TEST_CASE("the mean is of the window, and against its fastest packet") {
    Bench bench;
    CHECK(bench.lateness.mean() == Duration{});
    bench.feed(milliseconds{10});
    CHECK(bench.lateness.mean() == Duration{});
    bench.feed(milliseconds{30});
    CHECK(bench.lateness.mean() == milliseconds{10});
    bench.feed({}, 2);
    CHECK(bench.lateness.mean() == milliseconds{10});
    bench.feed(milliseconds{20}, 200);
    CHECK(bench.lateness.mean() == Duration{});
    std::mt19937 random{2};
    for (int i = 0; i < 2000; ++i) bench.feed(milliseconds{random() % 40});
    CHECK(bench.lateness.mean() > milliseconds{16});
    CHECK(bench.lateness.mean() < milliseconds{23});
}

TEST_CASE("one late packet in a hundred is not waited for") {
    Bench bench;
    bench.feed({}, 125);
    CHECK(bench.feed(milliseconds{200}) == Lateness::bin);
}

TEST_CASE("a burst is answered within 4 packets and forgotten within 3 s") {
    Bench bench;
    bench.feed({}, 3000);
    CHECK(bench.feed(milliseconds{150}, 4) == milliseconds{155});
    std::mt19937 random{2};
    for (int i = 0; i < 100; ++i) bench.feed(milliseconds{random() % 300});
    CHECK(bench.lateness.target() >= milliseconds{280});
    bench.feed({}, 100);
    CHECK(bench.lateness.target() > milliseconds{50});
    CHECK(bench.feed({}, 50) <= milliseconds{10});
}

TEST_CASE("another path is the new measure once the old is out of the window, and makes nobody late") {
    for (const int change_ms : {-50, 50}) {
        Bench bench;
        bench.feed(milliseconds{100}, 500);
        bench.feed(milliseconds{100 + change_ms}, 130);
        CHECK(bench.lateness.target() == Lateness::bin);
        CHECK(bench.lateness.earliest(bench.media) == start + bench.media + milliseconds{100 + change_ms});
    }
}

TEST_CASE("a clock that stood still, or jumped ahead, begins anew") {
    for (const int jump_ms : {-100'000, -450, 450, 100'000}) {
        Bench bench;
        bench.feed({}, 200);
        CHECK(bench.feed(milliseconds{jump_ms}) == Lateness::bin);
        CHECK(bench.lateness.earliest(bench.media) == start + bench.media + milliseconds{jump_ms});
    }
}

TEST_CASE("drift of 300 ppm is less than a bin") {
    for (const double ppm : {-300.0, 300.0}) {
        Lateness lateness;
        for (int i = 0; i < 20000; ++i) {
            const auto media = frame * i;
            lateness.update(start + media + nanoseconds{static_cast<std::int64_t>(ppm * 20 * i)}, media);
            CHECK(lateness.target() == Lateness::bin);
        }
    }
}

TEST_CASE("through a pause it keeps what it knew") {
    Bench bench;
    std::mt19937 random{3};
    for (int i = 0; i < 500; ++i) bench.feed(milliseconds{random() % 100});
    bench.sent += 1000;
    CHECK(bench.feed({}) >= milliseconds{85});
}

TEST_CASE("random arrivals keep the target within its bounds") {
    std::mt19937_64 random{4};
    Lateness lateness;
    for (int i = 0; i < 20000; ++i) {
        const auto wild = [&] { return nanoseconds{static_cast<std::int64_t>(random() >> (8 + random() % 40))}; };
        lateness.update(start + wild(), wild());
        CHECK(lateness.target() > Duration::zero());
        CHECK(lateness.target() <= Lateness::limit);
    }
}
