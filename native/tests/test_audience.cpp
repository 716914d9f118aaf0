#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

#include "audience.hpp"

using namespace plane;

namespace {

std::unique_ptr<Listener> listener(std::size_t slots, std::uint32_t csrc = 0) {
    auto made = std::make_unique<Listener>();
    made->csrc = csrc;
    for (std::size_t i = 0; i < slots; ++i) made->slots.emplace_back(SlotConfig{}, std::uint16_t{0}, 0U);
    return made;
}

std::vector<std::uint32_t> carried(const Listener& listener) {
    std::vector<std::uint32_t> csrcs;
    for (const Slot& slot : listener.slots) csrcs.push_back(static_cast<std::uint32_t>(slot.feed));
    return csrcs;
}
using List = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("slots carry the best-ranked, without one's own voice") {
    Audience audience;
    const auto anyone = listener(2), second = listener(2, 20);
    audience.add(*anyone);
    audience.add(*second);
    audience.set_order(List{10, 20, 30});
    CHECK(carried(*anyone) == List{10, 20});
    CHECK(carried(*second) == List{10, 30});
}

TEST_CASE("who has a slot keeps it when ranks change") {
    Audience audience;
    const auto one = listener(2);
    audience.add(*one);
    audience.set_order(List{10, 20, 30});
    audience.set_order(List{30, 20, 10});
    CHECK(carried(*one) == List{30, 20});  // 20 stayed where it was, 30 took the place of 10
    audience.set_order(List{20});
    CHECK(carried(*one) == List{0, 20});
}

TEST_CASE("named speakers have fixed slots, heard only while audible") {
    Audience audience;
    const auto one = listener(2);
    one->named = {30, 40};
    audience.add(*one);
    audience.set_order(List{10, 40});
    CHECK(carried(*one) == List{0, 40});
    audience.set_order(List{10, 30, 40});
    CHECK(carried(*one) == List{30, 40});
    one->named = {40, 10};
    audience.reassign(*one);
    CHECK(carried(*one) == List{40, 10});
    one->named.clear();
    audience.reassign(*one);
    CHECK(carried(*one) == List{30, 10});
}

TEST_CASE("a listener who leaves in the middle of a fan-out leaves a hole, and the hole is closed after it") {
    Audience audience;
    std::vector<std::unique_ptr<Listener>> all;
    for (int i = 0; i < 5; ++i) audience.add(*all.emplace_back(listener(1)));
    audience.set_order(List{10});
    Audience::Feed* feed = audience.feed(10);
    REQUIRE(feed);
    ++feed->fan_outs;
    audience.remove(*all[1]);
    audience.remove(*all[4]);
    CHECK(feed->subscribers.size() == 5);
    CHECK(feed->subscribers[1].listener == nullptr);
    audience.finish(*feed);
    CHECK(feed->subscribers.size() == 3);
    for (std::uint32_t i = 0; i < 3; ++i) CHECK(feed->subscribers[i].listener->slots[0].place == i);
}

TEST_CASE("feeds match the slots after any sequence of joins, leaves and orders") {
    std::mt19937 random{11};
    Audience audience;
    std::vector<std::unique_ptr<Listener>> present;
    std::vector<std::uint32_t> order;
    Audience::Feed* running = nullptr;
    for (int step = 0; step < 3000; ++step) {
        switch (random() % 6) {
            case 0:
            case 1: present.push_back(listener(1 + random() % 4, random() % 12)); audience.add(*present.back()); break;
            case 2:
                if (present.empty()) break;
                {
                    const std::size_t at = random() % present.size();
                    audience.remove(*present[at]);
                    present.erase(present.begin() + static_cast<std::ptrdiff_t>(at));
                }
                break;
            case 3:
                order.clear();
                for (std::uint32_t csrc = 1; csrc <= 10; ++csrc) {
                    if (random() % 2) order.push_back(csrc + (step / 100) % 3 * 100);
                }
                std::shuffle(order.begin(), order.end(), random);
                audience.set_order(order);
                break;
            case 4:
                if (!running && !order.empty() && (running = audience.feed(order[0]))) ++running->fan_outs;
                break;
            default:
                if (running) audience.finish(*std::exchange(running, nullptr));
        }
        std::map<std::uint32_t, std::size_t> expected;
        for (const auto& one : present) {
            for (std::uint32_t s = 0; s < one->slots.size(); ++s) {
                const auto csrc = static_cast<std::uint32_t>(one->slots[s].feed);
                if (csrc == 0) continue;
                ++expected[csrc];
                const Audience::Feed* feed = audience.feed(csrc);
                REQUIRE(feed);
                REQUIRE(feed->subscribers[one->slots[s].place].listener == one.get());
                REQUIRE(feed->subscribers[one->slots[s].place].slot == s);
                REQUIRE(csrc != one->csrc);
            }
            std::size_t others = 0;
            for (std::uint32_t csrc : order) others += csrc != one->csrc;
            const auto now_carried = carried(*one);
            const auto busy = std::count_if(now_carried.begin(), now_carried.end(), [](std::uint32_t c) { return c != 0; });
            REQUIRE(static_cast<std::size_t>(busy) == std::min(others, one->slots.size()));
        }
        for (const auto& [csrc, count] : expected) REQUIRE(audience.feed(csrc)->live() == count);
    }
}
