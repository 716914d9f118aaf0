#include <doctest/doctest.h>

#include <random>

#include "jitter.hpp"

using namespace plane;
using Action = JitterBuffer::Action;

namespace {

const Instant start{seconds{1000}};
constexpr std::uint32_t frame = 960;
constexpr Duration frame_time = milliseconds{20};
// 20 ms of narrowband SILK without redundancy; the second byte says whose frame it is.
std::array<std::uint8_t, 4> payload_of(std::uint64_t index) { return {0x08, 0x00, static_cast<std::uint8_t>(index), 1}; }

struct Bench {
    JitterBuffer buffer;

    void insert(std::uint64_t index, Instant arrival, std::int64_t extra_samples = 0, std::uint32_t run = 1) {
        const auto payload = payload_of(index);
        buffer.insert({run, index, static_cast<std::uint32_t>(static_cast<std::int64_t>(index * frame) + extra_samples), false, arrival}, payload, frame);
    }
    // Steps until a frame's worth of time has passed; the actions taken.
    std::vector<Action> pull(Instant now) {
        std::vector<Action> actions;
        for (std::uint32_t got = 0; got < frame;) {
            const auto step = buffer.next(now, frame - got);
            actions.push_back(step.action);
            got += step.samples;
        }
        return actions;
    }
};

using Actions = std::vector<Action>;

}  // namespace

TEST_CASE("in order and in time, every packet is decoded once") {
    Bench bench;
    for (std::uint64_t i = 0; i < 500; ++i) {
        const Instant arrival = start + frame_time * static_cast<int>(i);
        bench.insert(100 + i, arrival);
        bench.pull(arrival + milliseconds{10});
    }
    CHECK(bench.buffer.counters().decoded >= 499);
    CHECK(bench.buffer.counters().concealed == 0);
    CHECK(bench.buffer.delay(start + frame_time * 500) < milliseconds{40});
}

TEST_CASE("reordered and doubled packets are put right") {
    Bench bench;
    for (std::uint64_t i = 0; i < 3; ++i) bench.insert(10 + i, start + frame_time * static_cast<int>(i));
    CHECK(bench.pull(start + milliseconds{50}) == Actions{Action::decode});
    bench.insert(14, start + milliseconds{60});
    bench.insert(14, start + milliseconds{61});
    bench.insert(13, start + milliseconds{62});
    for (int i = 0; i < 4; ++i) CHECK(bench.pull(start + milliseconds{70 + 20 * i}) == Actions{Action::decode});
    CHECK(bench.buffer.counters().duplicate == 1);
    CHECK(bench.buffer.counters().decoded == 5);
}

TEST_CASE("a lost frame is recovered from a copy in the next packet, else concealed") {
    for (const bool redundant : {true, false}) {
        Bench bench;
        bench.insert(10, start);
        CHECK(bench.pull(start + milliseconds{15}) == Actions{Action::decode});
        std::array<std::uint8_t, 4> payload{0x08, static_cast<std::uint8_t>(redundant ? 0x40 : 0), 1, 1};
        bench.buffer.insert({1, 12, 12 * frame, false, start + frame_time * 2}, payload, frame);
        CHECK(bench.pull(start + milliseconds{55}) == Actions{redundant ? Action::recover : Action::conceal});
        CHECK(bench.pull(start + milliseconds{75}) == Actions{Action::decode});
        CHECK(bench.buffer.counters().recovered == (redundant ? 1 : 0));
    }
}

TEST_CASE("a packet that is late but next in order is still heard; its time had stood still") {
    Bench bench;
    bench.insert(10, start);
    CHECK(bench.pull(start + milliseconds{15}) == Actions{Action::decode});
    CHECK(bench.pull(start + milliseconds{35}) == Actions{Action::conceal});
    bench.insert(11, start + milliseconds{50});
    CHECK(bench.pull(start + milliseconds{55}) == Actions{Action::decode});
    CHECK(bench.buffer.counters().late == 0);
}

TEST_CASE("a packet older than what was heard is late") {
    Bench bench;
    bench.insert(10, start);
    bench.pull(start + milliseconds{15});
    bench.insert(9, start + milliseconds{16});
    CHECK(bench.buffer.counters().late == 1);
}

TEST_CASE("run dry, it conceals for 100 ms and then is silent until the sender is back") {
    Bench bench;
    bench.insert(10, start);
    Instant now = start + milliseconds{15};
    CHECK(bench.pull(now) == Actions{Action::decode});
    for (int i = 0; i < 5; ++i) CHECK(bench.pull(now += frame_time) == Actions{Action::conceal});
    for (int i = 0; i < 20; ++i) CHECK(bench.pull(now += frame_time) == Actions{Action::nothing});
    bench.insert(11, now, 500 * 48);
    CHECK(bench.pull(now + milliseconds{15}) == Actions{Action::decode});
}

TEST_CASE("a talk spurt after a pause keeps its first frame and waits its target") {
    Bench bench;
    std::mt19937 random{3};
    Instant now = start;
    for (std::uint64_t i = 0; i < 200; ++i) {
        bench.insert(i, start + frame_time * static_cast<int>(i) + milliseconds{random() % 40});
        bench.pull(now = start + frame_time * static_cast<int>(i) + milliseconds{5});
    }
    const Duration target = bench.buffer.target();
    CHECK(target >= milliseconds{30});
    CHECK(target <= milliseconds{60});
    const Instant spurt = start + frame_time * 400;  // 4 s of silence, no packets
    for (int i = 0; i < 100; ++i) bench.pull(now += frame_time);
    const auto before = bench.buffer.counters().decoded;
    bench.insert(200, spurt, 200 * frame);
    Instant heard = spurt;
    while (bench.pull(heard) != Actions{Action::decode}) heard += milliseconds{5};
    CHECK(bench.buffer.counters().decoded == before + 1);
    CHECK(heard - spurt >= target - milliseconds{41});
    CHECK(heard - spurt <= target + milliseconds{5});
}

TEST_CASE("a sender whose clock stood still is heard again at once") {
    Bench bench;
    for (int stop_ms : {450, 2000, 60'000}) {
        bench = {};
        Instant now = start;
        for (std::uint64_t i = 0; i < 300; ++i) {
            now = start + frame_time * static_cast<int>(i) + (i < 200 ? milliseconds{0} : milliseconds{stop_ms});
            bench.insert(i, now);
            bench.pull(now + milliseconds{10});
        }
        CHECK(bench.buffer.counters().decoded >= 290);
        CHECK(bench.buffer.delay(now) < milliseconds{60});
    }
}

TEST_CASE("what came before a mute is not heard after it, nor does its lateness count") {
    Bench bench;
    for (std::uint64_t i = 0; i < 60; ++i) bench.insert(i, start + frame_time * static_cast<int>(i) + milliseconds{i % 4 * 40});
    CHECK(bench.buffer.target() >= milliseconds{100});
    bench.buffer.clear();
    CHECK(bench.pull(start + seconds{2}) == Actions{Action::nothing});
    bench.insert(200, start + frame_time * 200, 0, 2);
    CHECK(bench.buffer.target() == JitterBuffer::min_delay);
    CHECK(bench.pull(start + frame_time * 200 + milliseconds{6}) == Actions{Action::decode});
}

TEST_CASE("indexes and timestamps may wrap around") {
    Bench bench;
    const std::uint64_t first = (std::uint64_t{1} << 32) / frame - 20;  // timestamps wrap after 20 packets
    for (std::uint64_t i = 0; i < 100; ++i) {
        const Instant arrival = start + frame_time * static_cast<int>(i);
        bench.insert(first + i, arrival);
        CHECK(bench.pull(arrival + milliseconds{6}) == Actions{Action::decode});
    }
    CHECK(bench.buffer.counters().concealed == 0);
    CHECK(bench.buffer.target() == JitterBuffer::min_delay);
}

TEST_CASE("delay is bounded, whatever comes") {
    Bench bench;
    std::mt19937 random{5};
    Instant now = start;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        now += frame_time;
        if (random() % 3) {
            const std::uint64_t index = i + random() % 8;
            bench.insert(index, now, static_cast<std::int64_t>(random() % 100) - 50, 1 + static_cast<std::uint32_t>(i / 1000));
        }
        if (random() % 200 == 0) now += milliseconds{random() % 2000};
        bench.pull(now);
        CHECK(bench.buffer.delay(now) <= JitterBuffer::max_delay + milliseconds{60});
    }
}

TEST_CASE("a hostile run of indexes and timestamps does no harm") {
    std::mt19937_64 random{9};
    Bench bench;
    for (int i = 0; i < 20000; ++i) {
        const auto payload = payload_of(random());
        bench.buffer.insert({1 + static_cast<std::uint32_t>(random() % 3), random() % 1000 == 0 ? random() >> 16 : random() % 300,
                             static_cast<std::uint32_t>(random()), false, start + milliseconds{i}}, payload, frame);
        if (i % 3 == 0) bench.pull(start + milliseconds{i});
        if (i % 97 == 0) bench.buffer.pass(start + milliseconds{i});
    }
    CHECK(bench.buffer.counters().decoded > 0);
}

TEST_CASE("a copy takes the place of a lost packet, and only of one") {
    Bench bench;
    const auto copy = payload_of(99);
    for (std::uint64_t i = 0; i < 200; ++i) {
        const Instant arrival = start + frame_time * static_cast<int>(i);
        if (i % 10 != 5) bench.insert(i, arrival);
        if (i % 10 == 6) bench.buffer.insert_copy({1, i, static_cast<std::uint32_t>(i * frame), false, arrival}, 1, frame, copy, frame);
        bench.pull(arrival + milliseconds{6});
    }
    // The first come when their frames have been made up; then more delay is wanted, and the next are in time.
    CHECK(bench.buffer.counters().copies >= 15);
    CHECK(bench.buffer.counters().concealed <= 5);
    CHECK(bench.buffer.counters().decoded + bench.buffer.counters().concealed >= 199);
}

TEST_CASE("of what was sent while he was muted, neither copies nor repeats are heard") {
    Bench bench;
    const auto payload = payload_of(1);
    bench.insert(10, start, 0, 2);
    bench.buffer.insert_copy({2, 10, 10 * frame, false, start}, 1, frame, payload, frame);
    bench.buffer.insert({2, 9, 9 * frame, false, start}, payload, frame, true);
    CHECK(bench.pull(start + milliseconds{10}) == Actions{Action::decode});
    CHECK(bench.buffer.counters().copies == 0);
    CHECK(bench.buffer.counters().repeated == 0);
}

TEST_CASE("a frame that was heard is not heard again by its copy") {
    Bench bench;
    bench.insert(10, start);
    Instant now = start + milliseconds{6};
    CHECK(bench.pull(now) == Actions{Action::decode});
    for (int i = 0; i < 10; ++i) bench.pull(now += frame_time);  // run dry
    constexpr std::uint32_t pause = 9 * frame;
    bench.insert(11, now, pause);
    bench.buffer.insert_copy({1, 11, 11 * frame + pause, false, now}, 1, frame + pause, payload_of(1), frame);
    CHECK(bench.pull(now + milliseconds{6}) == Actions{Action::decode});
    CHECK(bench.buffer.counters().copies == 0);
}

TEST_CASE("where much is lost it waits for repairs, where nothing is it does not") {
    Bench bench;
    const std::array<std::uint8_t, 4> redundant{0x08, 0x40, 1, 1};
    std::uint64_t next = 0;
    const auto run = [&](int frames, unsigned lost_of_20) {
        for (int i = 0; i < frames; ++i, ++next) {
            const Instant arrival = start + frame_time * static_cast<int>(next);
            if (next % 20 >= lost_of_20) bench.buffer.insert({1, next, static_cast<std::uint32_t>(next * frame), false, arrival}, redundant, frame);
            bench.pull(arrival + milliseconds{6});
        }
    };
    run(500, 0);
    CHECK(bench.buffer.target() == JitterBuffer::min_delay);
    run(500, 1);
    CHECK(bench.buffer.target() == JitterBuffer::min_delay + frame_time);
    const auto concealed = bench.buffer.counters().concealed;
    run(500, 1);
    CHECK(bench.buffer.counters().concealed == concealed);
    run(1000, 0);
    CHECK(bench.buffer.target() == JitterBuffer::min_delay);
}

TEST_CASE("for answers to NACKs it waits as long as they take, if that is worth it") {
    for (const int answer_ms : {20, 80, 200}) {
        Bench bench;
        bench.buffer.set_answers(Answers{milliseconds{answer_ms}, frame_time});
        for (std::uint64_t i = 0; i < 400; ++i) {
            const Instant arrival = start + frame_time * static_cast<int>(i);
            if (i % 10 != 9) bench.insert(i, arrival);
            bench.pull(arrival + milliseconds{6});
        }
        const Duration more = bench.buffer.target() - JitterBuffer::min_delay;
        CHECK((more == Duration::zero()) == (answer_ms == 200));
        if (answer_ms != 200) CHECK(more >= frame_time + milliseconds{answer_ms});
    }
}

TEST_CASE("the more is lost, the more answers to one question after the other it waits for, to a bound") {
    Duration before = Duration::zero();
    for (const unsigned every : {20U, 8U, 5U, 3U}) {
        CAPTURE(every);
        Bench bench;
        bench.buffer.set_answers(Answers{milliseconds{40}, frame_time});
        for (std::uint64_t i = 0; i < 800; ++i) {
            const Instant arrival = start + frame_time * static_cast<int>(i);
            if (i % every != 1) bench.insert(i, arrival);
            bench.pull(arrival + milliseconds{6});
        }
        CHECK(bench.buffer.target() > before);
        CHECK(bench.buffer.target() <= JitterBuffer::min_delay + milliseconds{200});
        before = bench.buffer.target();
    }
}

TEST_CASE("where packets are lost in a row it waits for the second copy, and for no answers if copies suffice") {
    for (const bool in_rows : {false, true}) {
        CAPTURE(in_rows);
        Bench bench;
        bench.buffer.set_answers(Answers{milliseconds{40}, frame_time});
        const auto copy = payload_of(99);
        const auto lost = [&](std::uint64_t i) { return i % 30 == 5 || (in_rows && i % 30 == 6); };
        std::uint64_t concealed = 0;
        for (std::uint64_t i = 0; i < 2000; ++i) {
            const Instant arrival = start + frame_time * static_cast<int>(i);
            if (!lost(i)) {
                bench.insert(i, arrival);
                for (unsigned back = 1; back <= 2 && back <= i; ++back) {
                    bench.buffer.insert_copy({1, i, static_cast<std::uint32_t>(i * frame), false, arrival}, back, back * frame, copy, frame);
                }
            }
            bench.pull(arrival + milliseconds{6});
            if (i == 500) concealed = bench.buffer.counters().concealed;
        }
        CHECK(bench.buffer.target() == JitterBuffer::min_delay + frame_time * (in_rows ? 2 : 1));
        CHECK(bench.buffer.counters().concealed == concealed);
    }
}

TEST_CASE("a lost packet without a copy is made up once, and leaves no delay") {
    Bench bench;
    for (std::uint64_t i = 0; i < 500; ++i) {
        const Instant arrival = start + frame_time * static_cast<int>(i);
        if (i % 50 != 49) bench.insert(i, arrival);
        bench.pull(arrival + milliseconds{13});
    }
    CHECK(bench.buffer.counters().concealed == 10);
    CHECK(bench.buffer.delay(start + frame_time * 499 + milliseconds{13}) < milliseconds{20});
}
