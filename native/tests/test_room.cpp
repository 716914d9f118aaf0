// A room's columns of music and effects, what is done to a column first, and where it is heard. By what its mixes hold.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numbers>
#include <vector>

#include "published.hpp"
#include "reference_kernels.hpp"
#include "room.hpp"

using namespace plane;

namespace {

constexpr Instant start{seconds{1000}};
constexpr std::size_t frame = 960;
constexpr std::uint32_t ann = 7, music = 20, ding = 30;

const Kernels kernels = reference_kernels();

// Halves; its tail is two frames.
void half(float* samples, float*, const float* params, std::int32_t count, std::int32_t channels) {
    for (std::int32_t i = 0; i < count * channels; ++i) samples[i] *= params[0];
}
const Stage half_stage{.process = half, .params = 1, .tail_samples = 1920};

struct Bench {
    explicit Bench(RoomConfig config = {}) : room{1, config, kernels} { room.add_row(1, {}, std::nullopt); }

    PacketPool pool{256};
    Room room;
    WorkerStats stats;
    std::shared_ptr<PeerStats> peer_stats = std::make_shared<PeerStats>();
    Reception reception{{.payload_type = 111, .level_id = 1, .report_ssrc = 9}, peer_stats, stats};
    Source source{{.csrc = ann}, room, 1, peer_stats};
    opus::Encoder voice{{.channels = 1, .bitrate = 64000, .complexity = 5, .music = true}};
    std::shared_ptr<Ring> ring = std::make_shared<Ring>(std::size_t{1} << 18);
    std::uint64_t said = 0;
    std::uint64_t ticks = 0;
    std::vector<float> heard;          // of row 1, interleaved, before encoding
    std::vector<Mixer::Output> last;
    Happenings happenings;

    unsigned channels() const { return room.config().mix.encoder.channels; }
    Instant now() const { return start + milliseconds{20} * ticks; }

    // Ann says a frame of a tone of 400 Hz, or of nothing.
    void say(bool loud) {
        std::array<float, frame> samples{};
        for (std::size_t i = 0; loud && i < frame; ++i) {
            samples[i] = static_cast<float>(0.25 * std::sin(2 * std::numbers::pi * 400 * static_cast<double>(said * frame + i) / 48000));
        }
        std::array<std::uint8_t, 1276> encoded;
        const std::size_t size = voice.encode(samples, encoded);
        Packet packet;
        const std::uint8_t level = loud ? 15 : 127;
        REQUIRE(publish(reception, packet, ++said, now(), {.level = level, .payload = {encoded.data(), encoded.data() + size}}));
        source.take(packet, now());
        room.hear(source, packet, now());
    }
    // speech: whether Ann sends, and is loud.
    void run(std::size_t frames, std::optional<bool> speech = {}) {
        for (std::size_t i = 0; i < frames; ++i) {
            if (speech) say(*speech);
            ++ticks;
            room.tick(now());
            last.clear();
            room.mix(now(), pool, last, stats);
            const auto hear = room.last_frame(1);
            heard.insert(heard.end(), hear.begin(), hear.end());
            for (const Happening& happening : room.take_happenings()) happenings.push_back(happening);
        }
    }
    void add_music(float gain = 1) {
        std::vector<float> samples;
        for (std::size_t i = 0; i < 240'000; ++i) {
            const auto sample = static_cast<float>(0.25 * std::sin(2 * std::numbers::pi * 1000 * static_cast<double>(i) / 48000));
            samples.insert(samples.end(), {sample, sample});
        }
        RingWriter writer{ring->fd()};
        REQUIRE(writer.write(samples) == 240'000);
        room.add_player(music, gain, {});
        room.player(music)->add_deck(1, ring, 1, 480);
    }
    // Amplitude of a tone over the last so many frames, in one channel.
    double amplitude(double hertz, std::size_t frames = 5, unsigned channel = 0) const {
        double re = 0, im = 0;
        const std::size_t count = frames * frame, begin = heard.size() / channels() - count;
        for (std::size_t i = 0; i < count; ++i) {
            const double phase = 2 * std::numbers::pi * hertz * static_cast<double>(i) / 48000;
            const double sample = heard[(begin + i) * channels() + channel];
            re += sample * std::cos(phase);
            im += sample * std::sin(phase);
        }
        return 2 * std::hypot(re, im) / static_cast<double>(count);
    }
    double largest_step() const {
        double largest = 0;
        for (std::size_t i = 1; i < heard.size(); ++i) largest = std::max(largest, std::abs(double{heard[i]} - heard[i - 1]));
        return largest;
    }
};

RoomConfig stereo() {
    RoomConfig config;
    config.mix.encoder.channels = 2;
    return config;
}

}  // namespace

TEST_CASE("music is in the mix at its column's gain, keeps the room awake, and moves without a step") {
    Bench bench;
    CHECK_FALSE(bench.room.active(bench.now()));
    bench.add_music(0.5F);
    CHECK(bench.room.active(bench.now()));
    bench.run(20);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.125).epsilon(0.01));
    bench.room.set_column(music, 1, {}, bench.now());
    bench.run(20);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.01));
    bench.room.remove_column(music);
    CHECK(bench.room.active(bench.now()));
    bench.run(10);
    CHECK(bench.amplitude(1000) == 0);
    CHECK(bench.largest_step() < 0.034);
    CHECK_FALSE(bench.room.active(bench.now()));
}

TEST_CASE("music that nobody listens to goes on") {
    Bench bench;
    bench.add_music();
    bench.room.remove_row(1);
    bench.run(50);
    CHECK(bench.ring->position().first == 50 * frame);
}

TEST_CASE("a player is not named among those who speak") {
    Bench bench;
    bench.add_music();
    bench.room.set_column(ann, 1, {}, bench.now());
    bench.run(10, true);
    REQUIRE(bench.last.size() == 1);
    REQUIRE(bench.last[0].packet->csrc_count == 1);
    CHECK(bench.last[0].packet->csrcs[0] == ann);
}

TEST_CASE("music goes down while somebody who is heard speaks, and comes back") {
    RoomConfig config;
    config.ducking.gain = 0.25F;
    Bench bench{config};
    bench.add_music();
    bench.room.set_column(ann, 1, {}, bench.now());
    bench.run(20, false);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.02));
    bench.run(6, true);
    const double soon = bench.amplitude(1000, 1);
    bench.run(30, true);
    CHECK(soon < 0.25 * 0.35);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.0625).epsilon(0.05));
    bench.run(13, false);
    CHECK(bench.amplitude(1000, 1) < 0.1);  // not between two words
    bench.run(60, false);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.02));
    bench.room.set_column(ann, 0, {}, bench.now());
    bench.run(20, true);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.02));
    CHECK(bench.largest_step() < 0.06);
}

TEST_CASE("ducking that is turned off or down while somebody speaks lets the music up at once, without a step") {
    RoomConfig config;
    config.ducking.gain = 0.1F;
    Bench bench{config};
    bench.add_music();
    bench.room.set_column(ann, 1, {}, bench.now());
    bench.run(40, true);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.025).epsilon(0.05));
    config.ducking.gain = 0.5F;
    bench.room.configure(config);
    bench.run(40, true);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.125).epsilon(0.05));
    config.ducking.gain = 1;
    bench.room.configure(config);
    bench.run(40, true);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.02));
    CHECK(bench.largest_step() < 0.06);
}

TEST_CASE("an effect is heard from its first sample in the next tick, ends by itself, and says so") {
    Bench bench;
    auto clip = std::make_shared<Clip>();
    clip->samples.assign(1000, 0.5F);
    bench.run(2);
    bench.room.add_effect(ding, std::make_shared<Effect>(5, clip, false), 0.5F, {});
    CHECK(bench.room.active(bench.now()));
    bench.run(1);
    CHECK(bench.heard[2 * frame + 1] == 0.25F);  // the reference limiter delays by one sample
    bench.run(3);
    CHECK(bench.heard[2 * frame + 1000] == 0.25F);
    CHECK(bench.heard[2 * frame + 1001] == 0);
    REQUIRE(bench.happenings.size() == 1);
    CHECK(bench.happenings[0].id == 5);
    bench.run(20);
    CHECK_FALSE(bench.room.active(bench.now()));
}

TEST_CASE("a column has its place in a stereo mix, a row another, and a mono mix none") {
    Bench bench{stereo()};
    bench.add_music();
    bench.room.set_column(music, 1, {1.25F, 0.5F}, bench.now());
    bench.run(20);
    CHECK(bench.amplitude(1000, 5, 0) == doctest::Approx(0.3125).epsilon(0.01));
    CHECK(bench.amplitude(1000, 5, 1) == doctest::Approx(0.125).epsilon(0.01));
    bench.room.add_row(2, {{music, 0.5F, Place{0, 1}}}, 1);
    bench.room.remove_row(1);
    bench.heard.clear();
    for (int i = 0; i < 10; ++i) {
        bench.run(1);
        const auto hear = bench.room.last_frame(2);
        bench.heard.insert(bench.heard.end(), hear.begin(), hear.end());
    }
    CHECK(bench.amplitude(1000, 5, 0) == 0);
    CHECK(bench.amplitude(1000, 5, 1) == doctest::Approx(0.125).epsilon(0.01));

    Bench mono;
    mono.add_music();
    mono.room.set_column(music, 1, {1.25F, 0.5F}, mono.now());
    mono.run(20);
    CHECK(mono.amplitude(1000) == doctest::Approx(0.25).epsilon(0.01));
}

TEST_CASE("a row's cells change for all who listen to it, without a step") {
    Bench bench;
    bench.add_music();
    bench.room.add_row(2, {}, 1);
    bench.run(10);
    bench.room.set_row(1, {{music, 0}});
    bench.run(10);
    CHECK(bench.amplitude(1000) == 0);
    CHECK(bench.room.last_frame(2)[500] != 0);
    bench.room.set_row(1, {{music, 0.5F}});
    bench.run(10);
    CHECK(bench.amplitude(1000) == doctest::Approx(0.125).epsilon(0.01));
    CHECK(bench.largest_step() < 0.034);
    bench.room.set_row(9, {});
}

TEST_CASE("a chain changes its column alone, comes and goes without a step, and sounds on for its tail") {
    Bench bench;
    bench.add_music();
    bench.room.set_column(ann, 1, {}, bench.now());
    bench.run(20, true);
    CHECK(bench.amplitude(400) == doctest::Approx(0.25).epsilon(0.03));
    bench.room.set_chain(ann, {{half_stage, {0.5F}}});
    bench.run(20, true);
    CHECK(bench.amplitude(400) == doctest::Approx(0.125).epsilon(0.03));
    CHECK(bench.amplitude(1000) == doctest::Approx(0.25).epsilon(0.01));
    bench.room.set_chain(ann, {});
    bench.run(20, true);
    CHECK(bench.amplitude(400) == doctest::Approx(0.25).epsilon(0.03));
    CHECK(bench.largest_step() < 0.06);
}

TEST_CASE("noise suppression is a stage like others, and lives through a change of channels") {
    Bench bench;
    bench.room.set_column(ann, 1, {}, bench.now());
    Stage denoise;
    denoise.denoises = true;
    bench.room.set_chain(ann, {{denoise, {}, std::make_shared<Denoiser>(1)}, {half_stage, {0.5F}}});
    bench.run(20, true);
    const double before = bench.amplitude(400);
    CHECK(before > 0.005);  // a tone that stays is noise to it
    CHECK(before < 0.126);
    bench.room.configure(stereo());
    bench.run(20, true);
    CHECK(bench.amplitude(400) > 0.005);
}

TEST_CASE("stages that a new chain has in common with the old go on from where they were") {
    static const auto count = [](float* samples, float* state, const float*, std::int32_t, std::int32_t) { samples[0] = ++state[0]; };
    const Stage counting{.process = count, .state_mono = 1};
    Chain before{{{counting, {}}, {half_stage, {1}}}, 1};
    std::vector<float> samples(frame);
    before.process(samples);
    Chain after{{{half_stage, {1}}, {counting, {}}}, 1};
    after.continue_from(before);
    after.process(samples);
    CHECK(samples[0] == 2);
    CHECK(after.tail_samples() == 1920);
}

TEST_CASE("a room that says nothing is to tick when what its first speaker says is due, and one that says something as it does") {
    Bench bench;
    bench.room.set_column(ann, 1, {}, bench.now());
    CHECK_FALSE(bench.room.wanted_tick(bench.source));  // nothing came
    bench.say(true);
    const auto wanted = bench.room.wanted_tick(bench.source);
    REQUIRE(wanted);
    // Its jitter buffer wants 5 ms at first, and may come to want a little more.
    CHECK(*wanted - bench.now() >= JitterBuffer::min_delay);
    CHECK(*wanted - bench.now() < milliseconds{10});
    bench.run(10, true);
    bench.say(true);
    CHECK_FALSE(bench.room.wanted_tick(bench.source));
    bench.run(60, false);
    bench.run(60);
    REQUIRE_FALSE(bench.room.active(bench.now()));
    bench.say(true);
    CHECK(bench.room.wanted_tick(bench.source));
}

TEST_CASE("while something is played in a room, its ticks stay where they are") {
    Bench bench;
    bench.room.set_column(ann, 1, {}, bench.now());
    bench.room.add_player(music, 1, {});
    bench.say(true);
    CHECK_FALSE(bench.room.wanted_tick(bench.source));
}
