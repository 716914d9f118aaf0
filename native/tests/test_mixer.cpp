// The mixer with real Opus and with kernels in plain C++ (those of the product are numba's, tested in tests/).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <random>

#include "mixer.hpp"
#include "playout.hpp"
#include "reference_kernels.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};
constexpr Duration frame_time = milliseconds{20};
constexpr std::size_t frame = 960;

const Kernels kernels = reference_kernels();

// A speaker with a tone, encoded by Opus, one packet a tick into a playout of his own.
struct Talker {
    std::uint32_t csrc;
    double hertz;
    opus::Encoder encoder{{.channels = 1, .bitrate = 64000, .complexity = 5, .music = true}};
    std::shared_ptr<Playout> playout = std::make_shared<Playout>(1U);
    std::uint64_t sent = 0;
    bool let_in = true;     // as a room does not with packets of who is muted
    std::uint32_t run = 1;

    void talk(Instant now) {
        std::array<float, frame> samples;
        for (std::size_t i = 0; i < frame; ++i) {
            samples[i] = static_cast<float>(0.25 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(sent * frame + i) / 48000));
        }
        std::array<std::uint8_t, 1276> packet;
        const std::size_t size = encoder.encode(samples, packet);
        if (let_in) playout->insert({run, sent, static_cast<std::uint32_t>(sent * frame), false, now}, {packet.data(), size});
        ++sent;
    }
};

// Amplitude of a tone in a frame.
double amplitude(std::span<const float> samples, double hertz) {
    double re = 0, im = 0;
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const double phase = 2 * std::numbers::pi * hertz * static_cast<double>(i) / 48000;
        re += samples[i] * std::cos(phase);
        im += samples[i] * std::sin(phase);
    }
    return 2 * std::hypot(re, im) / static_cast<double>(samples.size());
}

struct Bench {
    explicit Bench(bool music = false) : mixer{{{.channels = 1, .bitrate = 48000, .complexity = 5, .music = music}, 20}, kernels} {}

    PacketPool pool{256};  // outlives the mixer, which keeps packets
    Mixer mixer;
    WorkerStats stats;
    std::vector<std::unique_ptr<Talker>> talkers;
    std::map<std::uint32_t, float> gains;  // by csrc; 0: muted or silent
    std::vector<Mixer::Output> last;       // of the last tick
    std::map<RowId, std::vector<Position>> positions;
    int ticks = 0;
    Duration early = milliseconds{10};     // by which packets come before their tick

    Talker& add_talker(std::uint32_t csrc, double hertz) {
        gains[csrc] = 1;
        return *talkers.emplace_back(std::make_unique<Talker>(csrc, hertz));
    }
    Instant now() const { return start + frame_time * ticks; }
    void tick() {
        ++ticks;
        std::vector<Mixer::Input> inputs;
        for (const auto& talker : talkers) {
            talker->talk(now() - early);
            inputs.push_back({talker->csrc, gains[talker->csrc], talker->playout});
        }
        last.clear();
        mixer.tick(now(), static_cast<std::uint32_t>(ticks) * frame, inputs, 1, pool, last, stats);
        for (const Mixer::Output& output : last) positions[output.row].push_back(output.position);
    }
    void run(int count) {
        for (int i = 0; i < count; ++i) tick();
    }
    const Packet* packet(RowId row) const {
        for (const Mixer::Output& output : last) {
            if (output.row == row) return &*output.packet;
        }
        return nullptr;
    }
    const Packet* packet(RowId row, Variant variant) const {
        for (const Mixer::Output& output : last) {
            if (output.row == row && output.variant == variant) return &*output.packet;
        }
        return nullptr;
    }
};

constexpr Variant clean{Tier::clean, false}, lossy{Tier::lossy, false}, lossy_red{Tier::lossy, true}, very_lossy_red{Tier::very_lossy, true};
std::uint8_t all_of(std::initializer_list<Variant> list) {
    std::uint8_t bits = 0;
    for (const Variant each : list) bits |= each.bit();
    return bits;
}

}  // namespace

TEST_CASE("rows that differ only in silent columns are one mix, encoded once") {
    Bench bench;
    bench.add_talker(1, 500);
    bench.add_talker(2, 700);
    for (RowId row = 0; row < 13; ++row) {
        bench.mixer.add_row(row, row == 0 ? std::vector<Cell>{} : std::vector<Cell>{{row, 0}}, std::nullopt);
    }
    bench.run(20);
    CHECK(bench.mixer.leaders() == 3);  // the audience's, and each talker's own
    const auto encoded = bench.stats.frames_encoded.get();
    const auto decoded = bench.stats.sources_decoded.get();
    bench.run(50);
    CHECK(bench.stats.frames_encoded.get() - encoded == 150);
    CHECK(bench.stats.sources_decoded.get() - decoded == 100);
    CHECK(bench.last.size() == 13);
    CHECK(bench.packet(0) == bench.packet(5));
    CHECK(bench.packet(0) != bench.packet(1));
}

TEST_CASE("each hears all but himself, at the gains of the matrix") {
    Bench bench;
    bench.add_talker(1, 500);
    bench.add_talker(2, 1500);
    bench.gains[2] = 0.5F;
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.mixer.add_row(1, {{1, 0}}, std::nullopt);
    bench.mixer.add_row(2, {{1, 0.25F}}, std::nullopt);
    bench.run(30);
    const auto all = bench.mixer.last_frame(0);
    CHECK(amplitude(all, 500) == doctest::Approx(0.25).epsilon(0.03));
    CHECK(amplitude(all, 1500) == doctest::Approx(0.125).epsilon(0.03));
    const auto first = bench.mixer.last_frame(1);
    CHECK(amplitude(first, 500) < 0.001);
    CHECK(amplitude(first, 1500) == doctest::Approx(0.125).epsilon(0.03));
    CHECK(amplitude(bench.mixer.last_frame(2), 500) == doctest::Approx(0.0625).epsilon(0.03));
    REQUIRE(bench.packet(1));
    CHECK(bench.packet(1)->csrc_count == 1);
    CHECK(bench.packet(1)->csrcs[0] == 2);
    CHECK(bench.packet(0)->csrc_count == 2);
    CHECK(bench.packet(0)->csrc_levels[0] == 15);  // 0.25 of full scale: -15 dBov
}

TEST_CASE("a mute is a ramp, not a step") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(30);
    float last = bench.mixer.last_frame(0).back();
    // The steepest that the tone itself is, and what a ramp over a frame adds.
    const double allowed = 0.25 * (2 * std::numbers::pi * 400 / 48000 + 1.0 / frame) * 1.2;
    for (const float gain : {0.0F, 1.0F, 0.3F}) {
        bench.gains[1] = gain;
        for (int i = 0; i < 4; ++i) {
            bench.tick();
            for (const float sample : bench.mixer.last_frame(0)) {
                CHECK(std::fabs(sample - last) < allowed);
                last = sample;
            }
        }
    }
}

TEST_CASE("who leaves in mid-word is faded out") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.add_talker(2, 900);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(30);
    float last = bench.mixer.last_frame(0).back();
    bench.talkers.erase(bench.talkers.begin());
    const double allowed = 0.25 * (2 * std::numbers::pi * (400 + 900) / 48000 + 1.0 / frame) * 1.3;
    for (int i = 0; i < 4; ++i) {
        bench.tick();
        for (const float sample : bench.mixer.last_frame(0)) {
            CHECK(std::fabs(sample - last) < allowed);
            last = sample;
        }
    }
    CHECK(amplitude(bench.mixer.last_frame(0), 400) < 0.001);
}

TEST_CASE("who is unmuted in mid-word is faded in") {
    Bench bench;
    bench.early = milliseconds{1};  // the jitter buffer still waits when the ramp of the unmute is over
    Talker& talker = bench.add_talker(1, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(30);
    const double allowed = 0.25 * (2 * std::numbers::pi * 400 / 48000 + 1.0 / 240) * 1.2;
    for (int muted = 5; muted < 15; ++muted) {  // so that the wave is at another place each time
        talker.let_in = false;
        bench.gains[1] = 0;
        bench.run(muted);
        talker.let_in = true;
        ++talker.run;
        bench.gains[1] = 1;
        float last = bench.mixer.last_frame(0).back();
        for (int i = 0; i < 10; ++i) {
            bench.tick();
            for (const float sample : bench.mixer.last_frame(0)) {
                CHECK(std::fabs(sample - last) < allowed);
                last = sample;
            }
        }
        CHECK(amplitude(bench.mixer.last_frame(0), 400) == doctest::Approx(0.25).epsilon(0.03));
    }
}

TEST_CASE("who is heard again is not heard with what was left from before") {
    opus::Encoder encoder{{.channels = 1, .bitrate = 64000, .complexity = 5, .music = true}};
    std::array<float, 3 * frame> samples;  // a packet of 60 ms: more than a tick takes
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<float>(0.25 * std::sin(0.05 * static_cast<double>(i)));
    std::array<std::uint8_t, 1276> packet;
    Playout playout{1};
    std::array<float, frame> heard;
    for (std::uint32_t i = 0; i < 3; ++i) {
        const std::size_t size = encoder.encode(samples, packet);
        const Instant arrival = start + 3 * frame_time * static_cast<int>(i);
        playout.insert({1, i, i * 3 * static_cast<std::uint32_t>(frame), false, arrival}, {packet.data(), size});
    }
    for (int i = 0; i < 7; ++i) CHECK(playout.pull(start + frame_time * i + milliseconds{10}, heard));
    playout.begin();
    CHECK_FALSE(playout.pull(start + seconds{2}, heard));
    CHECK(std::all_of(heard.begin(), heard.end(), [](float sample) { return sample == 0; }));
}

TEST_CASE("the first packet after a pause is marked, whatever the encoder made of the silence") {
    for (const bool music : {false, true}) {
        Bench bench{music};
        bench.early = milliseconds{1};  // the first tick of a spurt has nothing to say yet
        Talker& talker = bench.add_talker(1, 400);
        bench.mixer.add_row(0, {}, std::nullopt);
        for (int i = 0; i < 3; ++i) {
            talker.let_in = true;
            ++talker.run;
            bench.gains[1] = 1;
            bench.run(20);
            talker.let_in = false;
            bench.gains[1] = 0;
            bench.run(100);
        }
        const auto& positions = bench.positions[0];
        CHECK(std::count_if(positions.begin(), positions.end(), [](const Position& p) { return p.marker; }) == 3);
        for (std::size_t i = 1; i < positions.size(); ++i) {
            if (positions[i].timestamp - positions[i - 1].timestamp > 30 * frame) CHECK(positions[i].marker);
        }
    }
}

TEST_CASE("a row's positions have no gap while its mixes change, and pauses show in timestamps alone") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.add_talker(2, 900);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.mixer.add_row(1, {{1, 0}}, std::nullopt);
    std::mt19937 random{2};
    for (int i = 0; i < 40; ++i) {
        bench.gains[1] = random() % 2 ? 1 : 0;
        bench.gains[2] = random() % 2 ? 1 : 0;
        bench.run(1 + static_cast<int>(random() % 60));
    }
    for (const auto& [row, list] : bench.positions) {
        for (std::size_t i = 1; i < list.size(); ++i) {
            REQUIRE(list[i].index == list[i - 1].index + 1);
            REQUIRE(distance32(list[i].timestamp, list[i - 1].timestamp) > 0);
            REQUIRE((list[i].timestamp - list[i - 1].timestamp) % frame == 0);
        }
    }
}

TEST_CASE("silence is told once, then every 5 s, and costs no encode") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(30);
    CHECK(bench.mixer.active());
    bench.gains[1] = 0;
    bench.run(50);
    CHECK_FALSE(bench.mixer.active());
    const auto encoded = bench.stats.frames_encoded.get();
    const auto sent = bench.positions[0].size();
    bench.run(1000);  // 20 s
    CHECK(bench.stats.frames_encoded.get() == encoded);
    CHECK(bench.positions[0].size() - sent >= 3);
    CHECK(bench.positions[0].size() - sent <= 5);
    bench.gains[1] = 1;
    bench.run(3);
    CHECK(bench.mixer.active());
    REQUIRE(bench.packet(0));
    CHECK(bench.packet(0)->payload().size() > 2);
}

TEST_CASE("a steady tone in a voice room stays audible") {
    Bench bench;
    bench.add_talker(1, 440);
    bench.mixer.add_row(0, {}, std::nullopt);
    opus::Decoder decoder{1};
    std::array<float, frame> samples{};
    for (int i = 0; i < 300; ++i) {  // 6 s
        bench.tick();
        if (i < 20) continue;
        REQUIRE(bench.packet(0));
        REQUIRE(decoder.decode(bench.packet(0)->payload(), samples) == frame);
    }
    CHECK(amplitude(samples, 440) > 0.15);
}

TEST_CASE("a room in which nobody has spoken sends nothing") {
    Bench bench;
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(1000);
    CHECK(bench.positions.empty());
    CHECK(bench.stats.frames_encoded.get() == 0);
}

TEST_CASE("when the row that leads goes, its encoder goes on for those who followed") {
    Bench bench;
    bench.add_talker(9, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.mixer.add_row(1, {{1, 0}}, std::nullopt);
    bench.mixer.add_row(2, {{2, 0}}, std::nullopt);
    bench.run(30);
    CHECK(bench.mixer.leaders() == 1);
    const auto primed = bench.stats.frames_primed.get();
    bench.mixer.remove_row(0);
    bench.run(10);
    CHECK(bench.mixer.leaders() == 1);
    CHECK(bench.stats.frames_primed.get() == primed);
    CHECK(bench.packet(1) == bench.packet(2));
}

TEST_CASE("a row made like another takes over its sound: gains move, nothing breaks") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.run(30);
    const float last = bench.mixer.last_frame(0).back();
    bench.mixer.add_row(1, {{1, 0.5F}}, 0);
    bench.tick();
    CHECK(std::fabs(bench.mixer.last_frame(1).front() - last) < 0.03);
    bench.tick();
    CHECK(amplitude(bench.mixer.last_frame(1), 400) == doctest::Approx(0.125).epsilon(0.03));
    CHECK(amplitude(bench.mixer.last_frame(0), 400) == doctest::Approx(0.25).epsilon(0.03));
}

TEST_CASE("any sequence of joins, leaves and mutes: every row gets its packets, and equal rows share them") {
    std::mt19937 random{17};
    Bench bench;
    for (std::uint32_t csrc = 1; csrc <= 4; ++csrc) bench.add_talker(csrc, 300 * csrc);
    std::map<RowId, std::vector<Cell>> rows;
    RowId next = 0;
    for (int step = 0; step < 400; ++step) {
        switch (random() % 4) {
            case 0:
                if (rows.size() < 8) {
                    const RowId id = next++;
                    rows[id] = {{1 + static_cast<std::uint32_t>(random() % 4), random() % 2 ? 0.5F : 0.0F}};
                    bench.mixer.add_row(id, rows[id], rows.size() > 1 && random() % 2 ? std::optional{rows.begin()->first} : std::nullopt);
                }
                break;
            case 1:
                if (!rows.empty()) {
                    bench.mixer.remove_row(rows.begin()->first);
                    rows.erase(rows.begin());
                }
                break;
            default: bench.gains[1 + static_cast<std::uint32_t>(random() % 4)] = random() % 3 ? 1 : 0;
        }
        bench.run(1 + static_cast<int>(random() % 10));
        REQUIRE(bench.mixer.leaders() <= std::max<std::size_t>(1, rows.size()));
        for (const Mixer::Output& output : bench.last) REQUIRE(rows.contains(output.row));
    }
}

TEST_CASE("equal rows in one tier are one encode, and a tier that nobody wants is none") {
    Bench bench;
    bench.add_talker(1, 400);
    for (RowId row = 0; row < 6; ++row) bench.mixer.add_row(row, {}, std::nullopt);
    const auto encodes = [&](int ticks) {
        const auto before = bench.stats.frames_encoded.get();
        bench.run(ticks);
        return bench.stats.frames_encoded.get() - before;
    };
    bench.run(20);
    CHECK(encodes(10) == 10);
    bench.mixer.want(2, all_of({clean, lossy}));
    bench.mixer.want(3, all_of({lossy}));
    CHECK(encodes(10) == 20);
    bench.mixer.want(4, all_of({lossy, lossy_red}));  // packed twice, encoded once
    CHECK(encodes(10) == 20);
    CHECK(bench.stats.frames_red.get() == 10);
    bench.mixer.want(5, all_of({very_lossy_red}));
    CHECK(encodes(10) == 30);
    CHECK(bench.packet(3, lossy) == bench.packet(4, lossy));
    CHECK(bench.packet(0, clean) == bench.packet(2, clean));
    CHECK(bench.packet(0, clean) != bench.packet(2, lossy));
    CHECK_FALSE(bench.packet(0, lossy));
    CHECK_FALSE(bench.packet(3, clean));
    for (RowId row = 0; row < 6; ++row) bench.mixer.want(row, all_of({lossy_red}));
    CHECK(encodes(10) == 10);
    CHECK(bench.mixer.leaders() == 1);
}

TEST_CASE("RED has what was sent in the ticks before, from its first packet on") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.add_talker(2, 700);
    bench.gains[2] = 0;
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.mixer.add_row(1, {{2, 0}}, std::nullopt);
    bench.run(20);
    for (RowId row : {0U, 1U}) bench.mixer.want(row, all_of({{Tier::very_lossy, false}, very_lossy_red}));
    std::vector<std::vector<std::uint8_t>> sent;  // to row 1, plain
    for (int i = 0; i < 60; ++i) {
        if (i == 30) bench.gains[2] = 1;  // row 1 parts from row 0: its new encoder repeats what the old one said
        bench.tick();
        const Packet* plain = bench.packet(1, {Tier::very_lossy, false});
        const Packet* red = bench.packet(1, very_lossy_red);
        REQUIRE(plain);
        REQUIRE(red);
        CHECK(red->red_frames == 2);
        const Bytes payload = red->payload();
        CHECK((load32(&payload[0]) >> 10 & 0x3fff) == 2 * frame);
        CHECK((load32(&payload[4]) >> 10 & 0x3fff) == frame);
        const std::size_t first = load32(&payload[0]) & 0x3ff, second = load32(&payload[4]) & 0x3ff;
        const auto part = [&](std::size_t at, std::size_t size) {
            return std::vector<std::uint8_t>(payload.begin() + static_cast<std::ptrdiff_t>(at), payload.begin() + static_cast<std::ptrdiff_t>(at + size));
        };
        if (i >= 2) {
            CHECK(part(9, first) == sent[sent.size() - 2]);
            CHECK(part(9 + first, second) == sent.back());
        }
        const Bytes own = plain->payload();
        sent.emplace_back(own.begin(), own.end());
        CHECK(part(9 + first + second, payload.size() - 9 - first - second) == sent.back());
    }
}

TEST_CASE("all variants of a row count its ticks alike, and pauses are told in each") {
    Bench bench;
    bench.add_talker(1, 400);
    bench.mixer.add_row(0, {}, std::nullopt);
    bench.mixer.want(0, all_of({clean, lossy, lossy_red, very_lossy_red}));
    std::map<std::size_t, std::vector<Position>> heard;
    std::mt19937 random{4};
    for (int i = 0; i < 20; ++i) {
        bench.gains[1] = i % 2 == 0 ? 1 : 0;
        for (int n = static_cast<int>(10 + random() % 40); n > 0; --n) {
            bench.tick();
            for (const Mixer::Output& output : bench.last) heard[output.variant.number()].push_back(output.position);
        }
    }
    REQUIRE(heard.size() == 4);
    const auto& first = heard.begin()->second;
    for (const auto& [number, positions] : heard) {
        REQUIRE(positions.size() == first.size());
        for (std::size_t i = 0; i < positions.size(); ++i) {
            CHECK(positions[i].index == i);
            CHECK(positions[i].timestamp == first[i].timestamp);
            CHECK(positions[i].marker == first[i].marker);
        }
    }
}
