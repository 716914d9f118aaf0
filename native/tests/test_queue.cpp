#include <doctest/doctest.h>

#include <memory>
#include <thread>

#include "packet.hpp"
#include "queue.hpp"
#include "udp.hpp"

using namespace plane;

TEST_CASE("a full queue refuses and leaves the value alone") {
    SpscQueue<std::unique_ptr<int>> queue{2};
    REQUIRE(queue.push(std::make_unique<int>(1)));
    REQUIRE(queue.push(std::make_unique<int>(2)));
    auto third = std::make_unique<int>(3);
    CHECK_FALSE(queue.push(std::move(third)));
    REQUIRE(third);
    CHECK(queue.free_slots() == 0);
    CHECK(*queue.pop() == 1);
    CHECK(queue.push(std::move(third)));
    CHECK(queue.readable() == 2);
}

TEST_CASE("two threads: everything arrives once and in order") {
    SpscQueue<std::unique_ptr<int>> queue{64};
    constexpr int count = 200'000;
    std::thread producer{[&] {
        for (int i = 0; i < count; ++i) {
            auto value = std::make_unique<int>(i);
            while (!queue.push(std::move(value))) std::this_thread::yield();
        }
    }};
    int expected = 0;
    while (expected < count) {
        for (std::size_t n = queue.readable(); n > 0; --n) REQUIRE(*queue.pop() == expected++);
        std::this_thread::yield();
    }
    producer.join();
}

TEST_CASE("packets go to another thread by reference and come back to their pool") {
    PacketPool pool{128};
    SpscQueue<PacketRef> queue{64};
    constexpr std::uint32_t count = 50'000;
    std::thread consumer{[&] {
        for (std::uint32_t expected = 0; expected < count;) {
            for (std::size_t n = queue.readable(); n > 0; --n) {
                const PacketRef packet = queue.pop();
                REQUIRE(packet->position.timestamp == expected);
                REQUIRE(packet->bytes[expected % max_datagram] == static_cast<std::uint8_t>(expected));
                ++expected;
            }
            std::this_thread::yield();
        }
    }};
    for (std::uint32_t i = 0; i < count;) {
        PacketRef packet = pool.take();
        if (!packet) {
            std::this_thread::yield();
            continue;
        }
        packet->position.timestamp = i;
        packet->bytes[i % max_datagram] = static_cast<std::uint8_t>(i);
        while (!queue.push(std::move(packet))) std::this_thread::yield();
        ++i;
    }
    consumer.join();
}

TEST_CASE("a pool gives packets however often it comes round to those that an idle inbox holds") {
    PacketPool pool;
    std::vector<PacketRef> inbox;
    for (std::size_t i = 0; i < receive_batch; ++i) inbox.push_back(pool.take());
    for (int i = 0; i < 20'000; ++i) CHECK(pool.take());
}

TEST_CASE("a pool whose packets are all held gives none") {
    PacketPool pool{8};
    std::vector<PacketRef> held;
    for (int i = 0; i < 8; ++i) held.push_back(pool.take());
    CHECK_FALSE(pool.take());
    held.pop_back();
    CHECK(pool.take());
}
