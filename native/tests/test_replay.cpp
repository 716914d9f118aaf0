#include <doctest/doctest.h>

#include <random>
#include <set>

#include "replay.hpp"

using plane::srtp::ReplayWindow;

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
