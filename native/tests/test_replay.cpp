#include <doctest/doctest.h>

#include <random>
#include <set>

#include "replay.hpp"

using plane::srtp::estimate_index;
using plane::srtp::ReplayWindow;

TEST_CASE("a sequence number stands for the index nearest to the highest, as RFC 3711 appendix A says") {
    CHECK(estimate_index(0x10005, 0x0006) == 0x10006);
    CHECK(estimate_index(0x10005, 0x0004) == 0x10004);
    CHECK(estimate_index(0x10005, 0xFFFF) == 0x0FFFF);
    CHECK(estimate_index(0x1FFFE, 0x0001) == 0x20001);
    // Exactly half a circle away, the roll-over counter stays.
    CHECK(estimate_index(0x10000, 0x8000) == 0x18000);
    CHECK(estimate_index(0x10000, 0x8001) == 0x08001);
    CHECK(estimate_index(0x18000, 0x0000) == 0x10000);
    CHECK(estimate_index(0x18001, 0x0000) == 0x20000);
}

TEST_CASE("no index is estimated before the first or behind the last") {
    CHECK_FALSE(estimate_index(10, 0xFFF0));
    CHECK(estimate_index(10, 0x800A) == 0x800A);
    CHECK(estimate_index(0xFFFFFFFFFFF0, 0xFFFF) == 0xFFFFFFFFFFFF);
    CHECK_FALSE(estimate_index(0xFFFFFFFFFFF0, 0x0001));
}

TEST_CASE("the estimate is right for every packet less than 2^15 away") {
    std::mt19937_64 random(7);
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t highest = 0x8000 + random() % 0x100000;
        const std::uint64_t index = highest + random() % 0xFFFF - 0x7FFF;
        REQUIRE(estimate_index(highest, static_cast<std::uint16_t>(index)) == index);
    }
}

TEST_CASE("an index is fresh once") {
    ReplayWindow window;
    for (std::uint64_t index : {0, 1, 5, 3, 200}) {
        CHECK(window.fresh(index));
        window.accept(index);
        CHECK_FALSE(window.fresh(index));
    }
    CHECK(window.highest() == 200);
}

TEST_CASE("the window reaches back 128 indexes") {
    ReplayWindow window;
    window.accept(1'000);
    CHECK(window.fresh(1'000 - 127));
    CHECK_FALSE(window.fresh(1'000 - 128));
    window.accept(1'000 - 127);
    CHECK_FALSE(window.fresh(1'000 - 127));
    window.accept(1'001);
    CHECK_FALSE(window.fresh(1'000));
    CHECK_FALSE(window.fresh(1'000 - 127));
    CHECK(window.fresh(999));
}

TEST_CASE("a jump beyond the window forgets what lies behind it") {
    for (std::uint64_t jump : {127, 128, 129, 1'000'000}) {
        ReplayWindow window;
        for (std::uint64_t index = 0; index <= 10; ++index) window.accept(index);
        window.accept(10 + jump);
        CHECK_FALSE(window.fresh(10 + jump));
        CHECK(window.fresh(10 + jump - 1));
        CHECK_FALSE(window.fresh(10));
        CHECK(window.fresh(11) == (jump < 129));
    }
}

TEST_CASE("the window does what a set of all indexes would do") {
    std::mt19937 random(6);
    ReplayWindow window;
    std::set<std::uint64_t> seen;
    std::uint64_t highest = 0;
    std::size_t refused = 0;
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t ahead = highest + random() % 40;
        const std::uint64_t index = ahead - std::min<std::uint64_t>(ahead, random() % 180);
        const bool fresh = !seen.contains(index) && (index > highest || highest - index < ReplayWindow::size);
        REQUIRE(window.fresh(index) == fresh);
        if (!fresh) {
            ++refused;
            continue;
        }
        window.accept(index);
        seen.insert(index);
        highest = std::max(highest, index);
        CHECK(window.highest() == highest);
    }
    CHECK(refused > 10'000);
}
