// One voice alone is not encoded again: what is sent for it, when, and what listeners hear where it goes over into a mix and back.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "mixer.hpp"
#include "playout.hpp"
#include "speech.hpp"

using namespace plane;

namespace {

constexpr std::size_t frame = 960;
constexpr std::int32_t limiter_delay = 240;
constexpr std::size_t lag = limiter_delay + opus::encoder_delay;
constexpr Duration frame_time = milliseconds{20};
const Instant start{seconds{1000}};

void plain_mix(float* out, const float* inputs, const float* from, const float* to, std::int32_t rows, std::int32_t columns,
               std::int32_t samples, std::int32_t) {
    for (std::int32_t r = 0; r < rows; ++r) {
        for (std::int32_t n = 0; n < samples; ++n) {
            float sum = 0;
            for (std::int32_t k = 0; k < columns; ++k) {
                const float share = static_cast<float>(n + 1) / static_cast<float>(samples);
                const float gain = from[r * columns + k] + (to[r * columns + k] - from[r * columns + k]) * share;
                sum += inputs[k * samples + n] * gain;
            }
            out[r * samples + n] = sum;
        }
    }
}
// Delays as the limiter does, and clips what is very loud.
void delay(float* out, const float* in, float* state, std::int32_t samples, std::int32_t) {
    for (std::int32_t n = 0; n < samples; ++n) {
        out[n] = std::clamp(n < limiter_delay ? state[n] : in[n - limiter_delay], -0.9F, 0.9F);
    }
    std::copy_n(in + samples - limiter_delay, limiter_delay, state);
}
void plain_levels(float* dbov, const float* in, std::int32_t rows, std::int32_t samples) {
    for (std::int32_t r = 0; r < rows; ++r) {
        const bool silent = std::all_of(in + r * samples, in + (r + 1) * samples, [](float x) { return x == 0; });
        dbov[r] = silent ? -127 : -20;
    }
}
const Kernels kernels{plain_mix, delay, plain_levels, limiter_delay, limiter_delay, limiter_delay};

const opus::EncoderConfig voice{.channels = 1, .bitrate = 32000, .complexity = 5, .music = false};

struct Talker {
    std::uint32_t csrc;
    Speech speech;
    opus::EncoderConfig config = voice;
    unsigned packet_ms = 20;
    opus::Encoder encoder{config};
    std::uint64_t sent = 0;
    std::vector<std::vector<std::uint8_t>> packets{};
    bool silent = false, dropping = false;
    // One playout for each mixer that hears him.
    std::vector<std::shared_ptr<Playout>> playouts{};

    void talk(Instant now) {
        auto samples = speech.next();
        if (silent) samples.fill(0);
        for (std::size_t at = 0; at < frame; at += 48 * packet_ms) {
            std::vector<std::uint8_t> packet(1276);
            packet.resize(encoder.encode(std::span{samples}.subspan(at, 48 * packet_ms), packet));
            Packet carrier;
            const Instant comes = now - milliseconds{20 - (at / 48 + packet_ms)};
            carrier.position = {1, sent, static_cast<std::uint32_t>(sent * 48 * packet_ms), false, comes};
            std::copy(packet.begin(), packet.end(), carrier.bytes.begin());
            carrier.payload_size = static_cast<std::uint16_t>(packet.size());
            carrier.level = {true, static_cast<std::uint8_t>(silent ? 127 : 23)};
            if (!dropping) {
                for (const auto& playout : playouts) playout->take(carrier);
            }
            packets.push_back(std::move(packet));
            ++sent;
        }
    }
};

// A mixer and one listener of row 0, and what it decodes.
struct Hearing {
    explicit Hearing(bool passthrough, const MixConfig& config = {voice, 20})
        : mixer{{config.encoder, config.ptime_ms, passthrough}, kernels}, samples(48 * std::size_t{config.ptime_ms}) {
        mixer.add_row(0, {}, std::nullopt);
    }
    PacketPool pool{256};
    WorkerStats stats{};
    Mixer mixer;
    opus::Decoder decoder{1};
    std::vector<float> samples;
    std::vector<float> heard{};
    std::vector<std::vector<std::uint8_t>> packets{};
    std::vector<bool> passed{};              // by tick
    std::vector<std::uint32_t> csrcs{};      // of the last packet
    std::uint8_t level = 0;

    void tick(Instant now, std::uint32_t timestamp, std::span<const Mixer::Input> inputs) {
        std::vector<Mixer::Output> outputs;
        const std::uint64_t before = stats.frames_passed.get();
        mixer.tick(now, timestamp, inputs, 1, pool, outputs, stats);
        passed.push_back(stats.frames_passed.get() != before);
        std::fill(samples.begin(), samples.end(), 0.0F);
        for (const auto& output : outputs) {
            if (output.row != 0) continue;
            const Bytes payload = output.packet->payload();
            packets.emplace_back(payload.begin(), payload.end());
            csrcs.assign(output.packet->csrcs.begin(), output.packet->csrcs.begin() + output.packet->csrc_count);
            level = output.packet->level.level;
            CHECK(decoder.decode(payload, samples) == samples.size());
        }
        heard.insert(heard.end(), samples.begin(), samples.end());
    }
};

// Two who talk, mixed with passthrough and without.
struct Talk {
    explicit Talk(unsigned seed, const MixConfig& config = {voice, 20}, const opus::EncoderConfig& coding = voice, unsigned packet_ms = 20)
        : with{true, config}, without{false, config}, a{1, Speech{seed * 2 + 1}, coding, packet_ms}, b{2, Speech{seed * 2 + 2}, coding, packet_ms} {
        for (Talker* talker : {&a, &b}) {
            for (int i = 0; i < 2; ++i) {
                talker->playouts.push_back(std::make_shared<Playout>(1U));
                // Both at the same delay, that they can be compared sample by sample.
                talker->playouts.back()->align(lag);
            }
        }
    }
    Hearing with, without;
    Talker a, b;
    float gain_a = 1, gain_b = 0;
    bool hushed_a = false, hushed_b = false;
    int ticks = 0;

    void tick() {
        const auto frames = with.samples.size() / frame;
        const Instant now = start + frame_time * static_cast<int>(frames) * ticks;
        for (std::size_t i = 0; i < frames; ++i) {
            const Instant at = now - milliseconds{10} - frame_time * static_cast<int>(frames - 1 - i);
            a.talk(at);
            b.talk(at);
        }
        for (Hearing* hearing : {&with, &without}) {
            const std::size_t i = hearing == &with ? 0 : 1;
            const std::array<Mixer::Input, 2> inputs{Mixer::Input{.csrc = 1, .gain = gain_a, .sound = a.playouts[i], .hushed = hushed_a},
                                                     Mixer::Input{.csrc = 2, .gain = gain_b, .sound = b.playouts[i], .hushed = hushed_b}};
            hearing->tick(now, static_cast<std::uint32_t>(static_cast<std::size_t>(ticks) * with.samples.size()), inputs);
        }
        ++ticks;
    }
    void run(int count) {
        for (int i = 0; i < count; ++i) tick();
    }
};

double power(std::span<const float> x) {
    double sum = 1e-12;
    for (const float value : x) sum += double{value} * value;
    return sum;
}

// How alike two signals are when the second is taken `shift` samples later, 0..1.
double likeness(std::span<const float> x, std::span<const float> y, int shift) {
    double product = 0, xx = 1e-9, yy = 1e-9;
    for (std::size_t i = 1000; i + 1000 < x.size(); ++i) {
        const double other = y[i + static_cast<std::size_t>(shift)];
        product += x[i] * other;
        xx += double{x[i]} * x[i];
        yy += other * other;
    }
    return product / std::sqrt(xx * yy);
}

int best_shift(std::span<const float> x, std::span<const float> y) {
    int best = -600;
    for (int shift = -600; shift <= 600; ++shift) {
        if (likeness(x, y, shift) > likeness(x, y, best)) best = shift;
    }
    return best;
}

}  // namespace

TEST_CASE("a talker alone is neither encoded nor decoded: listeners get his packets, each once and in order") {
    Talk talk{1};
    talk.run(100);
    CHECK(talk.with.stats.frames_encoded.get() == 0);
    CHECK(talk.with.stats.frames_primed.get() == 0);
    CHECK(talk.with.stats.sources_decoded.get() == 0);
    CHECK(talk.without.stats.frames_encoded.get() >= 98);
    const auto& got = talk.with.packets;
    REQUIRE(got.size() >= 97);
    CHECK(talk.with.stats.frames_passed.get() == got.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == talk.a.packets[i]);
    CHECK(talk.with.csrcs == std::vector<std::uint32_t>{1});
    CHECK(talk.with.level == 23);
}

TEST_CASE("a packet stands where the mix of it would be heard, to the sample") {
    // In voice mode the encoder's high-pass filter moves low tones by some samples.
    for (const auto& [music, most] : {std::pair{true, 0}, std::pair{false, 5}}) {
        opus::EncoderConfig coding = voice;
        coding.bitrate = music ? 64000 : 32000;
        coding.music = music;
        Talk talk{2, {coding, 20}, coding};
        talk.run(100);
        CHECK(talk.with.stats.frames_encoded.get() == 0);
        const std::span with = std::span{talk.with.heard}.subspan(20 * frame, 60 * frame);
        const std::span without = std::span{talk.without.heard}.subspan(20 * frame, 60 * frame);
        CHECK(std::abs(best_shift(with, without)) <= most);
    }
}

TEST_CASE("who joins makes it a mix at once; when he has gone for 100 ms, it is not encoded again") {
    Talk talk{3};
    talk.run(50);
    talk.gain_b = 1;
    talk.tick();
    CHECK_FALSE(talk.with.passed.back());
    CHECK(talk.with.csrcs.size() >= 1);
    CHECK(talk.with.stats.frames_primed.get() == Mixer::priming_frames);
    talk.run(49);
    CHECK(talk.with.csrcs == std::vector<std::uint32_t>{1, 2});
    talk.gain_b = 0;
    talk.tick();  // he is faded out
    for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(talk.with.passed.back());
        talk.tick();
    }
    talk.run(5);
    CHECK(talk.with.passed.back());
    const std::uint64_t encoded = talk.with.stats.frames_encoded.get(), decoded = talk.with.stats.sources_decoded.get();
    talk.run(50);
    CHECK(talk.with.stats.frames_encoded.get() == encoded);
    CHECK(talk.with.stats.sources_decoded.get() <= decoded + 5);  // until its memory is whole
}

TEST_CASE("packets of 10 ms are sent as one of 20 ms, and such of 20 ms as one of 40 or 60") {
    for (const auto& [tick_ms, packet_ms] : {std::pair{20U, 10U}, std::pair{40U, 20U}, std::pair{60U, 20U}, std::pair{60U, 10U}}) {
        CAPTURE(tick_ms);
        CAPTURE(packet_ms);
        Talk talk{4, {voice, tick_ms}, voice, packet_ms};
        talk.run(60);
        // Where a tick is longer than a packet, the first frame is silence and a packet.
        const std::uint64_t first = tick_ms > packet_ms ? 1 : 0;
        CHECK(talk.with.stats.frames_encoded.get() <= first);
        CHECK(talk.with.stats.sources_decoded.get() <= first);
        REQUIRE(talk.with.packets.size() >= 55);
        for (const auto& packet : talk.with.packets) CHECK(opus::duration(packet) == 48 * tick_ms);
        // Decoded, they are what his own packets are, one after the other.
        opus::Decoder own{1};
        std::vector<float> expected, samples(48 * packet_ms);
        for (const auto& packet : talk.a.packets) {
            own.decode(packet, samples);
            expected.insert(expected.end(), samples.begin(), samples.end());
        }
        const std::span heard = std::span{talk.with.heard}.last(50 * 48 * tick_ms);
        double error = 1;  // at the best place, of the packets' ends
        for (std::size_t at = 0; at + heard.size() <= expected.size(); at += samples.size()) {
            std::vector<float> difference(heard.size());
            for (std::size_t n = 0; n < heard.size(); ++n) difference[n] = heard[n] - expected[at + n];
            error = std::min(error, power(difference) / power(heard));
        }
        CHECK(error < 1e-4);
    }
}

TEST_CASE("what listeners would hear change is encoded: another mode, longer frames, more channels, another loudness") {
    opus::EncoderConfig music = voice;
    music.music = true;
    music.bitrate = 64000;
    SUBCASE("music into a mix for voice") {
        Talk talk{5, {voice, 20}, music};
        talk.run(50);
        CHECK(talk.with.stats.frames_passed.get() == 0);
        CHECK(talk.with.stats.frames_encoded.get() >= 48);
    }
    SUBCASE("voice into a mix for music") {
        Talk talk{5, {music, 20}, voice};
        talk.run(50);
        CHECK(talk.with.stats.frames_passed.get() == 0);
        CHECK(talk.with.stats.frames_encoded.get() >= 48);
    }
    SUBCASE("a mix of 20 ms of a speaker who sends 40 ms") {
        Talk talk{5};
        opus::Encoder encoder{voice};
        for (int i = 0; i < 50; ++i) {
            std::vector<float> samples;
            for (int half = 0; half < 2; ++half) {
                const auto next = talk.a.speech.next();
                samples.insert(samples.end(), next.begin(), next.end());
            }
            std::vector<std::uint8_t> packet(1276);
            packet.resize(encoder.encode(samples, packet));
            const Instant now = start + frame_time * talk.ticks;
            talk.a.playouts[0]->insert({1, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(i) * 1920, false, now}, packet);
            for (int half = 0; half < 2; ++half) {
                const std::array<Mixer::Input, 1> inputs{Mixer::Input{1, 1, talk.a.playouts[0]}};
                talk.with.tick(start + frame_time * talk.ticks, static_cast<std::uint32_t>(talk.ticks) * 960, inputs);
                ++talk.ticks;
            }
        }
        CHECK(talk.with.stats.frames_passed.get() == 0);
        CHECK(talk.with.stats.frames_encoded.get() >= 90);
    }
    SUBCASE("a mono mix of a speaker who sends stereo") {
        Talk talk{5};
        opus::Encoder encoder{{.channels = 2, .bitrate = 96000}};
        unsigned in_stereo = 0;
        for (; talk.ticks < 50; ++talk.ticks) {
            const auto left = talk.a.speech.next(), right = talk.b.speech.next();
            std::vector<float> samples;
            for (std::size_t n = 0; n < frame; ++n) samples.insert(samples.end(), {left[n], right[n]});
            std::vector<std::uint8_t> packet(1276);
            packet.resize(encoder.encode(samples, packet));
            in_stereo += packet[0] >> 2 & 1;
            const Instant now = start + frame_time * talk.ticks;
            const auto at = static_cast<std::uint64_t>(talk.ticks);
            talk.a.playouts[0]->insert({1, at, static_cast<std::uint32_t>(at) * 960, false, now}, packet);
            const std::array<Mixer::Input, 1> inputs{Mixer::Input{1, 1, talk.a.playouts[0]}};
            talk.with.tick(now, static_cast<std::uint32_t>(at) * 960, inputs);
        }
        CHECK(in_stereo == 50);
        CHECK(talk.with.stats.frames_passed.get() == 0);
        CHECK(talk.with.stats.frames_encoded.get() >= 48);
    }
    SUBCASE("quieter, and at his own loudness again") {
        Talk talk{5};
        talk.run(50);
        CHECK(talk.with.passed.back());
        talk.gain_a = 0.5F;
        talk.run(50);
        CHECK_FALSE(talk.with.passed.back());
        talk.gain_a = 1;
        talk.run(20);
        CHECK(talk.with.passed.back());
    }
}

TEST_CASE("a mute fades out, by a mix; an end in silence is told by a packet without audio, and nothing is encoded") {
    Talk talk{6};
    talk.run(50);
    SUBCASE("muted") {
        talk.gain_a = 0;
        talk.tick();
        CHECK_FALSE(talk.with.passed.back());
        talk.run(20);
        CHECK(talk.with.stats.frames_encoded.get() > 0);
        CHECK_FALSE(talk.with.mixer.active());
        CHECK(power(std::span{talk.with.heard}.last(960)) < 1e-4);
    }
    SUBCASE("silent") {
        talk.a.silent = true;
        talk.run(25);
        const std::array<Mixer::Input, 1> inputs{Mixer::Input{.csrc = 1, .gain = 0, .sound = talk.a.playouts[0], .hushed = true}};
        talk.with.tick(start + frame_time * talk.ticks, static_cast<std::uint32_t>(talk.ticks) * 960, inputs);
        CHECK(talk.with.packets.back().size() == 1);
        CHECK(talk.with.stats.frames_encoded.get() == 0);
        CHECK_FALSE(talk.with.mixer.active());
    }
}

TEST_CASE("who speaks next, when he who spoke alone is silent, is not encoded either") {
    Talk talk{7};
    talk.gain_b = 1;
    talk.hushed_b = talk.b.silent = true;
    talk.run(50);
    CHECK(talk.with.passed.back());
    CHECK(talk.with.csrcs == std::vector<std::uint32_t>{1});
    talk.hushed_b = talk.b.silent = false;
    talk.hushed_a = talk.a.silent = true;
    talk.run(50);
    CHECK(talk.with.passed.back());
    CHECK(talk.with.csrcs == std::vector<std::uint32_t>{2});
    CHECK(talk.with.stats.frames_encoded.get() == 0);
}

TEST_CASE("a frame that does not come is made up by a mix, and his packets go on when they have been whole for a while") {
    Talk talk{8};
    talk.run(50);
    REQUIRE(talk.with.passed.back());
    talk.a.dropping = true;
    talk.tick();
    CHECK(talk.with.passed.back());  // the one before is still to be heard
    talk.a.dropping = false;
    talk.tick();
    CHECK_FALSE(talk.with.passed.back());
    CHECK(talk.a.playouts[0]->buffer().counters().concealed > 0);
    talk.run(50);
    CHECK(talk.with.passed.back());
    // Listeners got a packet for each tick.
    CHECK(talk.with.packets.size() >= 100);
}

TEST_CASE("listeners with RED get a speaker's frames again; those who live of in-band FEC get a mix that has it") {
    Talk talk{9};
    const Variant red{Tier::lossy, true}, fec{Tier::lossy, false};
    SUBCASE("RED") {
        talk.with.mixer.want(0, red.bit());
        const Instant now = start;
        for (int i = 0; i < 50; ++i) {
            talk.a.talk(now + frame_time * i - milliseconds{10});
            const std::array<Mixer::Input, 1> inputs{Mixer::Input{1, 1, talk.a.playouts[0]}};
            std::vector<Mixer::Output> outputs;
            talk.with.mixer.tick(now + frame_time * i, static_cast<std::uint32_t>(i) * 960, inputs, 1, talk.with.pool, outputs, talk.with.stats);
            if (i < 10) continue;
            REQUIRE(outputs.size() == 1);
            const auto blocks = red::parse(outputs[0].packet->payload(), 111);
            REQUIRE(blocks);
            REQUIRE(blocks->copy_count == 1);
            const auto own = std::find_if(talk.a.packets.begin(), talk.a.packets.end(), [&](const auto& packet) {
                return std::equal(packet.begin(), packet.end(), blocks->primary.begin(), blocks->primary.end());
            });
            REQUIRE(own != talk.a.packets.end());
            CHECK(std::equal(blocks->copies[0].payload.begin(), blocks->copies[0].payload.end(), (own - 1)->begin(), (own - 1)->end()));
            CHECK(blocks->copies[0].before == 960);
            CHECK(outputs[0].packet->csrc_count == 1);
        }
        CHECK(talk.with.stats.frames_encoded.get() == 0);
    }
    SUBCASE("in-band FEC, and beside it others who lose nothing") {
        talk.with.mixer.want(0, static_cast<std::uint8_t>(fec.bit() | Variant{}.bit()));
        talk.run(50);
        CHECK(talk.with.stats.frames_encoded.get() >= 48);
        CHECK(talk.with.stats.frames_passed.get() >= 47);
    }
}

TEST_CASE("changes between packets and mix cost less coding error than a generation of coding, and no click") {
    // Error of the mixer that passes on, against the mix that was never encoded; beside that of the one which always encodes.
    std::vector<double> at_switch, beside;
    std::vector<double> steps;
    for (unsigned seed = 0; seed < 8; ++seed) {
        Talk talk{10 + seed};
        std::mt19937 random{seed};
        std::vector<float> original;
        int turn = 50;
        for (int i = 0; i < 500; ++i) {
            if (--turn == 0) {
                talk.gain_b = talk.gain_b == 0 ? 1.0F : 0.0F;
                turn = 30 + static_cast<int>(random() % 40);
            }
            talk.tick();
            const auto mixed = talk.without.mixer.last_frame(0);
            if (mixed.empty()) {
                original.resize(original.size() + frame);
            } else {
                original.insert(original.end(), mixed.begin(), mixed.end());
            }
        }
        const auto error = [&](const std::vector<float>& heard, std::size_t tick) {
            std::vector<float> difference(frame);
            for (std::size_t n = 0; n < frame; ++n) difference[n] = heard[tick * frame + n] - original[tick * frame + n - opus::encoder_delay];
            return 10 * std::log10(power(difference) / power(std::span{original}.subspan(tick * frame - opus::encoder_delay, frame)));
        };
        int switches = 0;
        for (std::size_t i = 20; i < 499; ++i) {
            if (talk.with.passed[i] == talk.with.passed[i - 1]) continue;
            ++switches;
            at_switch.push_back(error(talk.with.heard, i));
            beside.push_back(error(talk.without.heard, i));
            // The step from the last sample before to the first after, against the largest around it.
            float largest = 0;
            for (std::size_t n = i * frame - 480; n < i * frame + 480; ++n) {
                if (n != i * frame) largest = std::max(largest, std::fabs(talk.with.heard[n] - talk.with.heard[n - 1]));
            }
            steps.push_back(std::fabs(talk.with.heard[i * frame] - talk.with.heard[i * frame - 1]) / (largest + 1e-6F));
        }
        CHECK(switches >= 8);
    }
    const auto quantile = [](std::vector<double> values, double q) {
        std::sort(values.begin(), values.end());
        return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
    };
    MESSAGE(at_switch.size(), " changes; first frame's error: median ", quantile(at_switch, 0.5), " dB, 95 % ", quantile(at_switch, 0.95),
            " dB; always encoded: ", quantile(beside, 0.5), " dB, 95 % ", quantile(beside, 0.95), " dB; step at the border against the largest near: 95 % ",
            quantile(steps, 0.95), ", worst ", quantile(steps, 1));
    CHECK(quantile(at_switch, 0.5) <= quantile(beside, 0.5) + 3);
    CHECK(quantile(at_switch, 0.95) <= quantile(beside, 0.95) + 6);
    CHECK(quantile(steps, 1) <= 2);
}
