#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "capture.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};
constexpr Duration frame = milliseconds{20};

// The level of a packet each `interval`, for so long; gives the time after the last.
Instant hear(Capture& capture, double dbov, Instant from, Duration span, Duration interval = frame) {
    Instant now = from;
    for (; now < from + span; now += interval) capture.hear(dbov, now);
    return now;
}

std::vector<float> sine(float amplitude) {
    std::vector<float> samples(960);
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const auto phase = 2 * std::numbers::pi_v<float> * 440.0F * static_cast<float>(i) / 48000.0F;
        samples[i] = std::clamp(amplitude * std::sin(phase), -1.0F, 1.0F);
    }
    return samples;
}

}  // namespace

TEST_CASE("a microphone that gives nothing for ten seconds is silent until it gives something") {
    Capture capture;
    Instant now = hear(capture, -127, start, Capture::silent_after - milliseconds{100});
    CHECK_FALSE(capture.silent());
    now = hear(capture, -127, now, milliseconds{300});
    CHECK(capture.silent());
    capture.hear(-80, now);
    CHECK_FALSE(capture.silent());
}

TEST_CASE("the hiss of a quiet room is no silence, nor is a pause of the packets") {
    Capture hissing, pausing;
    hear(hissing, -90, start, seconds{60});
    CHECK_FALSE(hissing.silent());
    Instant now = start;
    for (int i = 0; i < 20; ++i) {
        pausing.hear(-127, now);
        now += Capture::longest_gap + frame;
    }
    CHECK_FALSE(pausing.silent());
}

TEST_CASE("silence is noticed in the packets of DTX, 400 ms apart") {
    Capture capture;
    hear(capture, -127, start, seconds{11}, milliseconds{400});
    CHECK(capture.silent());
}

TEST_CASE("while he is muted a microphone is not silent, and its time begins when he is heard again") {
    Capture capture;
    Instant now = hear(capture, -127, start, seconds{12});
    CHECK(capture.silent());
    capture.mute();
    CHECK_FALSE(capture.silent());
    now = hear(capture, -127, now, seconds{9});
    CHECK_FALSE(capture.silent());
    hear(capture, -127, now, seconds{2});
    CHECK(capture.silent());
}

TEST_CASE("samples cut at full scale are clipping, and a loud tone is not") {
    CHECK(Capture::is_clipped(sine(1.5F)));
    CHECK_FALSE(Capture::is_clipped(sine(0.9F)));
    std::vector<float> click(960, 0.1F);
    click[7] = click[8] = -1.0F;
    CHECK_FALSE(Capture::is_clipped(click));
}

TEST_CASE("a single shout does not warn; clipping that goes on does, once, and ends when there is none for a while") {
    Capture shout;
    for (int i = 0; i < 20; ++i) {
        const Instant now = start + i * seconds{2};
        shout.clip(1, now);
        shout.tick(now);
        CHECK_FALSE(shout.clipping());
    }
    Capture capture;
    Instant now = start;
    int changes = 0;
    bool before = false;
    for (int i = 0; i < 500; ++i, now += frame) {
        capture.clip(i % 10 == 0, now);
        capture.tick(now);
        changes += std::exchange(before, capture.clipping()) != capture.clipping();
    }
    CHECK(changes == 1);
    CHECK(capture.clipping());
    capture.tick(now + Capture::clipping_hold);
    CHECK_FALSE(capture.clipping());
}
