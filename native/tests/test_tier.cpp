#include <doctest/doctest.h>

#include <random>

#include "tier.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

// Reports every 5 s of 250 packets, as browsers send them.
struct Reporter {
    TierByLoss by_loss;
    Instant now = start;
    Tier report(double lost) {
        now += seconds{5};
        by_loss.report(now, lost, 250);
        return by_loss.tier();
    }
};

}  // namespace

TEST_CASE("loss moves a listener up at once, and down one tier after three better reports") {
    Reporter listener;
    CHECK(listener.report(0) == Tier::clean);
    CHECK(listener.report(0.05) == Tier::lossy);
    CHECK(listener.report(0.2) == Tier::very_lossy);
    CHECK(listener.report(0) == Tier::very_lossy);
    CHECK(listener.report(0) == Tier::very_lossy);
    CHECK(listener.report(0) == Tier::lossy);
    CHECK(listener.report(0) == Tier::lossy);
    CHECK(listener.report(0) == Tier::lossy);
    CHECK(listener.report(0) == Tier::clean);
    CHECK(listener.report(0.3) == Tier::very_lossy);  // past the second
}

TEST_CASE("loss between a tier's two limits changes nothing") {
    Reporter listener;
    for (int i = 0; i < 20; ++i) CHECK(listener.report(0.02) == Tier::clean);
    CHECK(listener.report(0.04) == Tier::lossy);
    for (int i = 0; i < 20; ++i) CHECK(listener.report(0.02) == Tier::lossy);
    CHECK(listener.report(0.15) == Tier::very_lossy);
    for (int i = 0; i < 20; ++i) CHECK(listener.report(0.08) == Tier::very_lossy);
}

TEST_CASE("a bad report in between begins the patience anew") {
    Reporter listener;
    listener.report(0.05);
    for (int i = 0; i < 10; ++i) {
        CHECK(listener.report(0) == Tier::lossy);
        CHECK(listener.report(0) == Tier::lossy);
        CHECK(listener.report(0.02) == Tier::lossy);
    }
}

TEST_CASE("reports of few packets, or soon after another, do not count") {
    TierByLoss by_loss;
    CHECK_FALSE(by_loss.report(start, 1, 24));
    CHECK(by_loss.report(start, 0.05, 25));
    CHECK(by_loss.tier() == Tier::lossy);
    CHECK_FALSE(by_loss.report(start + milliseconds{999}, 1, 250));
    CHECK(by_loss.report(start + milliseconds{1000}, 1, 250));
    CHECK(by_loss.tier() == Tier::very_lossy);
}

TEST_CASE("a client that says what it likes as often as it likes changes tiers no more than once a second") {
    std::mt19937 random{3};
    TierByLoss by_loss;
    unsigned changes = 0;
    for (int i = 0; i < 100'000; ++i) {
        const Tier before = by_loss.tier();
        by_loss.report(start + milliseconds{i}, static_cast<double>(random() % 1000) / 1000, random() % 100);
        changes += by_loss.tier() != before ? 1 : 0;
    }
    CHECK(changes <= 101);
}

TEST_CASE("a variant's number says its tier and its form") {
    std::uint8_t all = 0;
    for (std::size_t number = 0; number < variants; ++number) {
        CHECK(variant(number).number() == number);
        CHECK((all & variant(number).bit()) == 0);
        all |= variant(number).bit();
        CHECK((variants_of(variant(number).tier) & variant(number).bit()) != 0);
    }
    CHECK(Variant{Tier::lossy, true}.redundancy() == 1);
    CHECK(Variant{Tier::very_lossy, true}.redundancy() == 2);
    CHECK(Variant{Tier::very_lossy, false}.redundancy() == 0);
}
