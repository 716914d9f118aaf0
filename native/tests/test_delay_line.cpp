// Delays, and how they change; taps of players.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "delay_line.hpp"
#include "tap.hpp"

using namespace plane;

namespace {

constexpr std::size_t frame = 960;

float tone(std::size_t i) { return static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440 * static_cast<double>(i) / 48000)); }

struct Bench {
    explicit Bench(std::size_t delay) : line{1, delay} {}
    DelayLine line;
    std::size_t fed = 0;
    std::vector<float> heard;

    void run(std::size_t frames) {
        std::vector<float> samples(frame);
        for (std::size_t f = 0; f < frames; ++f) {
            for (float& sample : samples) sample = tone(fed++);
            line.process(samples);
            heard.insert(heard.end(), samples.begin(), samples.end());
        }
    }
    float largest_step() const {
        float largest = 0;
        for (std::size_t i = 1; i < heard.size(); ++i) largest = std::max(largest, std::abs(heard[i] - heard[i - 1]));
        return largest;
    }
};

constexpr float one_step = 0.03F;  // of the tone

}  // namespace

TEST_CASE("a steady delay gives back every sample as it was") {
    for (const std::size_t delay : {std::size_t{0}, std::size_t{1}, std::size_t{960}, std::size_t{4801}, DelayLine::max_delay}) {
        Bench bench{delay};
        bench.run(120);
        for (std::size_t i = 0; i < bench.heard.size(); ++i) REQUIRE(bench.heard[i] == (i < delay ? 0 : tone(i - delay)));
    }
}

TEST_CASE("a delay glides to another by half a percent, and is exact again when it has come there") {
    Bench bench{1000};
    bench.run(10);
    bench.line.set_delay(1500);
    bench.run(50);
    CHECK(bench.line.delay() == doctest::Approx(1000 + 50 * frame * DelayLine::glide));
    bench.run(100);
    CHECK(bench.line.delay() == 1500);
    CHECK(bench.largest_step() < one_step);
    const std::size_t last = bench.heard.size() - 1;
    CHECK(bench.heard[last] == tone(last - 1500));
    bench.line.set_delay(900);
    bench.run(200);
    CHECK(bench.line.delay() == 900);
    CHECK(bench.largest_step() < one_step);
}

TEST_CASE("what is too far to glide to is faded to") {
    Bench bench{0};
    bench.run(50);
    bench.line.set_delay(24'000);
    bench.run(1);
    CHECK(bench.line.delay() == 24'000);
    bench.run(10);
    CHECK(bench.largest_step() < one_step);
    CHECK(bench.heard.back() == tone(bench.heard.size() - 1 - 24'000));
    bench.line.set_delay(1'000'000);
    bench.run(1);
    CHECK(bench.line.delay() == DelayLine::max_delay);
}

TEST_CASE("a tap plays what its player played, so much later, to the end") {
    auto player = std::make_shared<Player>();
    auto ring = std::make_shared<Ring>(std::size_t{1} << 15);
    RingWriter writer{ring->fd()};
    std::vector<float> samples;
    for (std::size_t i = 0; i < 4800; ++i) samples.insert(samples.end(), {tone(i), tone(i)});
    writer.write(samples);
    writer.finish();
    Tap tap{player, 1, 2000};
    player->add_deck(1, ring, 1, 0);
    Happenings happenings;
    std::vector<float> live, late, out(frame);
    for (int i = 0; i < 10; ++i) {
        player->render({}, frame, 1, happenings);
        tap.render(frame);
        player->pull({}, out);
        live.insert(live.end(), out.begin(), out.end());
        CHECK(tap.pull({}, out) == (static_cast<std::size_t>(i) * frame < 4800 + 2000));
        late.insert(late.end(), out.begin(), out.end());
    }
    for (std::size_t i = 2000; i < late.size(); ++i) REQUIRE(late[i] == live[i - 2000]);
    CHECK_FALSE(tap.active());
}
