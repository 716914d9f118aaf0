#include <doctest/doctest.h>

#include "ranking.hpp"
#include "voice.hpp"

using namespace plane;

namespace {
const Instant start{seconds{1000}};
constexpr Duration frame = milliseconds{20};

std::vector<std::uint32_t> order(const Ranking& ranking) {
    std::vector<std::uint32_t> csrcs;
    for (const auto& speaker : ranking.order()) csrcs.push_back(speaker.csrc);
    return csrcs;
}
using Order = std::vector<std::uint32_t>;
}  // namespace

TEST_CASE("the first loud packet is speech") {
    Voice voice;
    CHECK_FALSE(voice.speaking());
    voice.hear(-30, start);
    CHECK(voice.speaking());
    CHECK(voice.level_dbov() == doctest::Approx(-30));
}

TEST_CASE("a pause between words does not end speech, a long one does") {
    Voice voice;
    Instant now = start;
    voice.hear(-30, now);
    for (int i = 0; i < 20; ++i) voice.hear(-90, now += frame);
    CHECK(voice.speaking());
    for (int i = 0; i < 60; ++i) voice.hear(-90, now += frame);
    CHECK_FALSE(voice.speaking());
}

TEST_CASE("a level between the two thresholds starts nothing and ends nothing") {
    Voice quiet, talking;
    Instant now = start;
    talking.hear(-40, now);
    for (int i = 0; i < 200; ++i) {
        now += frame;
        quiet.hear(-53, now);
        talking.hear(-53, now);
    }
    CHECK_FALSE(quiet.speaking());
    CHECK(talking.speaking());
}

TEST_CASE("packets that stop are silence") {
    Voice voice;
    voice.hear(-20, start);
    voice.tick(start + milliseconds{100});
    CHECK(voice.level_dbov() == doctest::Approx(-20));
    voice.tick(start + milliseconds{300});
    CHECK(voice.level_dbov() == doctest::Approx(-127));
    CHECK(voice.speaking());
    CHECK(voice.active(start + milliseconds{300}));
    voice.tick(start + milliseconds{1000});
    CHECK_FALSE(voice.speaking());
    CHECK_FALSE(voice.active(start + milliseconds{1000}));
}

TEST_CASE("who speaks passes everybody who does not, at once") {
    Ranking ranking;
    for (std::uint32_t csrc : {1, 2, 3, 4}) ranking.add(csrc, start);
    CHECK(ranking.update(4, -45, true, start));
    CHECK(order(ranking) == Order{4, 1, 2, 3});
    CHECK(ranking.update(3, -45, true, start));
    CHECK(order(ranking) == Order{4, 3, 1, 2});
    CHECK_FALSE(ranking.update(1, -40, false, start));
}

TEST_CASE("a challenger needs the margin, and the holder has his minimum stay") {
    Ranking ranking;
    ranking.add(1, start);
    ranking.add(2, start);
    ranking.update(1, -30, true, start);
    CHECK_FALSE(ranking.update(2, -25, true, start + seconds{5}));
    CHECK_FALSE(ranking.update(2, -23, true, start + milliseconds{900}));
    CHECK(ranking.update(2, -23, true, start + milliseconds{1000}));
    CHECK(order(ranking) == Order{2, 1});
}

TEST_CASE("who stops speaking keeps his rank until somebody else speaks") {
    Ranking ranking;
    ranking.add(1, start);
    ranking.add(2, start);
    ranking.update(1, -30, true, start);
    CHECK_FALSE(ranking.update(1, -127, false, start + seconds{1}));
    CHECK(order(ranking) == Order{1, 2});
    CHECK(ranking.update(2, -49, true, start + seconds{2}));
    CHECK(order(ranking) == Order{2, 1});
}

TEST_CASE("a speaker who is gone leaves the order of the others") {
    Ranking ranking;
    for (std::uint32_t csrc : {1, 2, 3}) ranking.add(csrc, start);
    ranking.remove(2);
    CHECK(order(ranking) == Order{1, 3});
    CHECK_FALSE(ranking.update(2, -10, true, start));
}
