// Music players and effects: what they give a tick, and what they tell.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <vector>

#include "effect.hpp"
#include "player.hpp"

using namespace plane;

namespace {

constexpr std::size_t frame = 960;
constexpr Instant tick_time{};

// A track of one tone, and who writes it.
struct Track {
    std::shared_ptr<Ring> ring = std::make_shared<Ring>(std::size_t{1} << 17);
    RingWriter writer{ring->fd()};
    double hertz = 500;
    std::size_t written = 0;

    void write(std::size_t frames) {
        std::vector<float> samples;
        for (std::size_t i = 0; i < frames; ++i, ++written) {
            const auto sample = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(written) / 48000));
            samples.insert(samples.end(), {sample, sample});
        }
        REQUIRE(writer.write(samples) == frames);
    }
};

struct Bench {
    Player player;
    Happenings happenings;
    Instant now{seconds{1000}};
    std::vector<float> heard;  // mono

    void run(std::size_t frames) {
        std::vector<float> out(frame);
        for (std::size_t i = 0; i < frames; ++i) {
            now += milliseconds{20};
            player.render(now, frame, 1, happenings);
            player.pull(tick_time, out);
            heard.insert(heard.end(), out.begin(), out.end());
        }
    }
    std::vector<Happening::Kind> kinds() const {
        std::vector<Happening::Kind> list;
        for (const Happening& happening : happenings) list.push_back(happening.kind);
        return list;
    }
    // The largest step from sample to sample; a tone of 500 Hz at 0.5 has 0.033.
    float largest_step(std::size_t from = 0) const {
        float largest = 0;
        for (std::size_t i = std::max(from, std::size_t{1}); i < heard.size(); ++i) largest = std::max(largest, std::abs(heard[i] - heard[i - 1]));
        return largest;
    }
    double level(std::size_t from, std::size_t count) const {
        double energy = 0;
        for (std::size_t i = from; i < from + count; ++i) energy += double{heard[i]} * heard[i];
        return std::sqrt(energy / static_cast<double>(count));
    }
};

constexpr float one_step = 0.035F;
using Kind = Happening::Kind;

}  // namespace

TEST_CASE("a track is played from its first sample to its last, and its end is told") {
    Bench bench;
    Track track;
    track.write(10'000);
    track.writer.finish();
    bench.player.add_deck(7, track.ring, 1, 0);
    bench.run(12);
    CHECK(bench.kinds() == std::vector{Kind::resumed, Kind::ended});
    CHECK(bench.happenings.back().id == 7);
    CHECK(bench.level(2000, 4800) == doctest::Approx(0.5 / std::numbers::sqrt2).epsilon(0.01));
    CHECK(bench.largest_step() < one_step);
    CHECK(bench.heard[9'999] != 0);
    CHECK(std::all_of(bench.heard.begin() + 10'000, bench.heard.end(), [](float sample) { return sample == 0; }));
    CHECK_FALSE(bench.player.active());
    CHECK(track.ring->position().first == 10'000);
}

TEST_CASE("a track that runs dry fades out, says so, waits until there is enough, and loses nothing") {
    Bench bench;
    Track track;
    track.write(30'000);
    bench.player.add_deck(1, track.ring, 1, 0);
    bench.run(50);
    CHECK(bench.kinds() == std::vector{Kind::resumed, Kind::starved});
    CHECK(bench.player.active());
    CHECK_FALSE(bench.player.sounds());
    track.write(Player::enough - 1000);
    bench.run(5);
    CHECK(bench.kinds().size() == 2);
    track.write(30'000);
    track.writer.finish();
    bench.run(70);
    CHECK(bench.kinds() == std::vector{Kind::resumed, Kind::starved, Kind::resumed, Kind::ended});
    CHECK(bench.largest_step() < one_step);
    CHECK(track.ring->position().first == track.written);
}

TEST_CASE("a cross-fade keeps the loudness of unlike tracks, without a step") {
    Bench bench;
    Track first, second;
    second.hertz = 800;
    first.write(96'000);
    second.write(96'000);
    bench.player.add_deck(1, first.ring, 1, 480);
    bench.run(20);
    bench.player.add_deck(2, second.ring, 1, 24'000);
    bench.player.fade_deck(1, 0, 24'000, Player::Then::remove);
    bench.run(40);
    const double alone = 0.5 / std::numbers::sqrt2;
    for (std::size_t at = 20 * frame; at < 55 * frame; at += frame) CHECK(bench.level(at, 2 * frame) == doctest::Approx(alone).epsilon(0.05));
    CHECK(bench.largest_step() < 0.065F);  // of both tones at 3 dB less
    CHECK(first.ring->position().first == doctest::Approx(20 * frame + 24'000).epsilon(0.02));
}

TEST_CASE("pause fades and holds the place, and going on begins there") {
    Bench bench;
    Track track;
    track.write(96'000);
    bench.player.add_deck(1, track.ring, 1, 480);
    bench.run(10);
    bench.player.fade_deck(1, 0, 960, Player::Then::hold);
    bench.run(10);
    const auto held = track.ring->position().first;
    CHECK(held == 11 * frame);
    CHECK_FALSE(bench.player.active());
    CHECK(bench.heard.back() == 0);
    bench.player.fade_deck(1, 1, 960, Player::Then::go_on);
    bench.run(10);
    CHECK(track.ring->position().first == held + 10 * frame);
    CHECK(bench.largest_step() < one_step);
}

TEST_CASE("the position says how much was heard before which time") {
    Bench bench;
    Track track;
    track.write(96'000);
    bench.player.add_deck(1, track.ring, 1, 480);
    bench.run(3);
    CHECK(track.ring->position() == std::pair{std::uint64_t{3 * frame}, bench.now});
}

TEST_CASE("who skips faster than fades end does not gather decks") {
    Bench bench;
    std::vector<std::unique_ptr<Track>> tracks;
    for (std::uint32_t id = 0; id < 50; ++id) {
        tracks.push_back(std::make_unique<Track>());
        tracks.back()->write(48'000);
        bench.player.add_deck(id, tracks.back()->ring, 0.1F, 480);
    }
    bench.run(1);
    CHECK(std::count_if(tracks.begin(), tracks.end(), [](const auto& track) { return track->ring->position().first > 0; }) ==
          Player::max_decks);
}

TEST_CASE("what is not a number, or beyond all bounds, is not handed on") {
    Bench bench;
    Track track;
    const std::vector<float> wild{std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30F, -1e30F};
    for (int i = 0; i < 1000; ++i) track.writer.write(wild);
    track.writer.finish();
    bench.player.add_deck(1, track.ring, 1, 0);
    bench.run(4);
    CHECK(std::all_of(bench.heard.begin(), bench.heard.end(), [](float sample) { return std::abs(sample) <= 4; }));
}

TEST_CASE("a clip begins with its first sample, once or again and again, and stops within a frame") {
    auto clip = std::make_shared<Clip>();
    for (std::size_t i = 0; i < 1500; ++i) clip->samples.push_back(i == 0 ? 0.9F : 0.5F);
    Happenings happenings;
    std::vector<float> out(frame);

    Effect once{3, clip, false};
    once.render(frame, 1, happenings);
    CHECK(once.begin());
    once.pull(tick_time, out);
    CHECK(out[0] == 0.9F);
    CHECK(happenings.empty());
    once.render(frame, 1, happenings);
    CHECK_FALSE(once.begin());
    once.pull(tick_time, out);
    CHECK(out[539] == 0.5F);
    CHECK(out[540] == 0);
    REQUIRE(happenings.size() == 1);
    CHECK(happenings[0].kind == Kind::effect_ended);
    CHECK(happenings[0].id == 3);
    CHECK_FALSE(once.active());

    Effect again{4, clip, true};
    for (int i = 0; i < 40; ++i) {
        again.render(frame, 1, happenings);
        again.pull(tick_time, out);
        CHECK(std::find(out.begin(), out.end(), 0.0F) == out.end());
    }
    again.stop();
    again.render(frame, 1, happenings);
    again.pull(tick_time, out);
    CHECK(out[0] > 0.49F);
    CHECK(out[frame - 1] == 0);
    CHECK_FALSE(again.active());
    CHECK(happenings.back().id == 4);
}

TEST_CASE("a clip of two channels keeps its sides in a stereo mix and is halved into a mono one") {
    auto clip = std::make_shared<Clip>(Clip{{0.5F, 0.25F, 0.5F, 0.25F}, 2});
    Happenings happenings;
    Effect stereo{1, clip, false};
    stereo.render(frame, 2, happenings);
    std::vector<float> out(2 * frame);
    stereo.pull(tick_time, out);
    CHECK(out[0] == 0.5F);
    CHECK(out[1] == 0.25F);
    Effect mono{1, clip, false};
    mono.render(frame, 1, happenings);
    mono.pull(tick_time, std::span{out}.first(frame));
    CHECK(out[1] == 0.375F);
}
