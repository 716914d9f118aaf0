// What a listener hears when his row changes encoders: the coding error around the change, beside that of an encoder
// which coded the same signal all the time. Switches come as talkers do: somebody starts or stops talking, and the rows
// of those who do not hear him part from or join the others'.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <string>

#include "mixer.hpp"
#include "playout.hpp"
#include "speech.hpp"

using namespace plane;

namespace {

constexpr std::size_t frame = 960;
constexpr std::size_t lookahead = 312;  // samples by which a decoded signal follows the encoder's input
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
void no_limit(float* out, const float* in, float*, std::int32_t samples, std::int32_t) { std::copy_n(in, samples, out); }
void plain_levels(float* dbov, const float* in, std::int32_t rows, std::int32_t samples) {
    for (std::int32_t r = 0; r < rows; ++r) {
        const bool silent = std::all_of(in + r * samples, in + (r + 1) * samples, [](float x) { return x == 0; });
        dbov[r] = silent ? -127 : -20;
    }
}
const Kernels kernels{plain_mix, no_limit, plain_levels, 1, 2};

struct Talker {
    std::uint32_t csrc;
    Speech speech;
    opus::Encoder encoder{{.channels = 1, .bitrate = 64000, .complexity = 5, .music = false}};
    std::shared_ptr<Playout> playout = std::make_shared<Playout>(1U);
    std::uint64_t sent = 0;

    void talk(Instant now) {
        std::array<std::uint8_t, 1276> packet;
        const std::size_t size = encoder.encode(speech.next(), packet);
        playout->insert({1, sent, static_cast<std::uint32_t>(sent * frame), false, now}, {packet.data(), size});
        ++sent;
    }
};

// Coding error of each frame, dB below the signal of that frame.
std::vector<double> errors(const std::vector<float>& original, const std::vector<float>& decoded) {
    std::vector<double> list;
    for (std::size_t at = 0; at + frame + lookahead <= decoded.size(); at += frame) {
        double signal = 1e-9, error = 1e-12;
        for (std::size_t i = at; i < at + frame; ++i) {
            signal += double{original[i]} * original[i];
            error += std::pow(double{decoded[i + lookahead]} - original[i], 2);
        }
        list.push_back(10 * std::log10(error / signal));
    }
    return list;
}

struct Findings {
    std::vector<double> worse_db;  // of the first frame after each switch, against the continuous encoder
};

// One conversation: a talks all the time, b in turns. The listener does not hear b.
void converse(unsigned seed, const opus::EncoderConfig& config, Findings& findings) {
    std::mt19937 random{seed};
    PacketPool pool{256};
    Mixer mixer{{config, 20}, kernels};
    WorkerStats stats;
    Talker a{1, Speech{seed * 2 + 1}}, b{2, Speech{seed * 2 + 2}};
    mixer.add_row(0, {}, std::nullopt);
    mixer.add_row(1, {{2, 0}}, std::nullopt);

    opus::Encoder continuous{config};
    opus::Decoder heard_by{1}, reference_by{1};
    std::vector<float> original, heard, reference;
    std::vector<std::size_t> switches;
    bool apart = false, b_talks = false;
    int turn = 40;
    for (int tick = 0; tick < 500; ++tick) {
        const Instant now = start + frame_time * tick;
        if (--turn == 0) {
            b_talks = !b_talks;
            turn = 20 + static_cast<int>(random() % 40);
        }
        a.talk(now - milliseconds{10});
        b.talk(now - milliseconds{10});
        const std::array<Mixer::Input, 2> inputs{Mixer::Input{1, 1, a.playout}, Mixer::Input{2, b_talks ? 1.0F : 0.0F, b.playout}};
        std::vector<Mixer::Output> outputs;
        mixer.tick(now, static_cast<std::uint32_t>(tick) * frame, inputs, 1, pool, outputs, stats);
        const auto own = std::find_if(outputs.begin(), outputs.end(), [](const auto& o) { return o.row == 1; });
        const auto all = std::find_if(outputs.begin(), outputs.end(), [](const auto& o) { return o.row == 0; });
        const auto input = mixer.last_frame(1);
        if (own == outputs.end() || input.empty()) continue;

        std::array<float, frame> samples;
        const bool is_apart = &*own->packet != &*all->packet;
        if (is_apart != apart && original.size() > 20 * frame) switches.push_back(original.size() / frame);
        apart = is_apart;
        original.insert(original.end(), input.begin(), input.end());
        heard_by.decode(own->packet->payload(), samples);
        heard.insert(heard.end(), samples.begin(), samples.end());
        std::array<std::uint8_t, 1276> packet;
        const std::size_t size = continuous.encode(input, packet);
        reference_by.decode({packet.data(), size}, samples);
        reference.insert(reference.end(), samples.begin(), samples.end());
    }
    const auto with_switches = errors(original, heard);
    const auto without = errors(original, reference);
    for (const std::size_t at : switches) {
        if (at < with_switches.size()) findings.worse_db.push_back(with_switches[at] - without[at]);
    }
}

// One talker, and a listener whose loss changes: he goes from tier to tier, and is compared with encoders of each tier that
// went on all the time.
void change_tiers(unsigned seed, const opus::EncoderConfig& config, Findings& findings) {
    std::mt19937 random{seed};
    PacketPool pool{256};
    Mixer mixer{{config, 20}, kernels};
    WorkerStats stats;
    Talker a{1, Speech{seed * 2 + 1}};
    mixer.add_row(0, {}, std::nullopt);
    std::vector<opus::Encoder> continuous;
    std::vector<opus::Decoder> reference_by;
    std::array<std::vector<float>, tiers> references;
    for (std::size_t t = 0; t < tiers; ++t) {
        continuous.emplace_back(encoder_config(config, static_cast<Tier>(t)));
        reference_by.emplace_back(1U);
    }
    opus::Decoder heard_by{1};
    std::vector<float> original, heard;
    std::vector<std::pair<std::size_t, std::size_t>> switches;  // at which frame, to which tier
    std::size_t tier = 0;
    int turn = 40;
    for (int tick = 0; tick < 500; ++tick) {
        if (--turn == 0) {
            tier = (tier + 1 + random() % 2) % tiers;
            turn = 20 + static_cast<int>(random() % 40);
            mixer.want(0, Variant{static_cast<Tier>(tier), false}.bit());
            if (original.size() > 20 * frame) switches.emplace_back(original.size() / frame, tier);
        }
        const Instant now = start + frame_time * tick;
        a.talk(now - milliseconds{10});
        const std::array<Mixer::Input, 1> inputs{Mixer::Input{1, 1, a.playout}};
        std::vector<Mixer::Output> outputs;
        mixer.tick(now, static_cast<std::uint32_t>(tick) * frame, inputs, 1, pool, outputs, stats);
        const auto input = mixer.last_frame(0);
        if (outputs.empty() || input.empty()) continue;
        std::array<float, frame> samples;
        original.insert(original.end(), input.begin(), input.end());
        heard_by.decode(outputs[0].packet->payload(), samples);
        heard.insert(heard.end(), samples.begin(), samples.end());
        for (std::size_t t = 0; t < tiers; ++t) {
            std::array<std::uint8_t, 1276> packet;
            const std::size_t size = continuous[t].encode(input, packet);
            reference_by[t].decode({packet.data(), size}, samples);
            references[t].insert(references[t].end(), samples.begin(), samples.end());
        }
    }
    const auto with_switches = errors(original, heard);
    std::array<std::vector<double>, tiers> without;
    for (std::size_t t = 0; t < tiers; ++t) without[t] = errors(original, references[t]);
    for (const auto& [at, to] : switches) {
        if (at < with_switches.size()) findings.worse_db.push_back(with_switches[at] - without[to][at]);
    }
}

}  // namespace

TEST_CASE("a change of tier costs less than 3 dB of coding error in the median, 7 dB at worst") {
    for (const opus::EncoderConfig& config : {opus::EncoderConfig{1, 48000, 9, false}, opus::EncoderConfig{1, 32000, 9, false},
                                              opus::EncoderConfig{1, 64000, 9, true}}) {
        Findings findings;
        for (unsigned seed = 0; seed < 5; ++seed) change_tiers(seed, config, findings);
        auto& worse = findings.worse_db;
        REQUIRE(worse.size() >= 40);
        std::sort(worse.begin(), worse.end());
        const double median = worse[worse.size() / 2];
        MESSAGE(std::string{config.music ? "music" : "voice"}, " at ", config.bitrate, " bit/s, ", worse.size(),
                " changes of tier, error against a continuous encoder: median ", median, " dB, worst ", worse.back(), " dB");
        CHECK(median <= 3.0);
        CHECK(worse.back() <= 7.0);
    }
}

TEST_CASE("a change of encoder costs less than 3 dB of coding error in the median, 6 dB at worst") {
    for (const opus::EncoderConfig& config : {opus::EncoderConfig{1, 48000, 9, false}, opus::EncoderConfig{1, 32000, 9, false},
                                              opus::EncoderConfig{1, 64000, 9, true}}) {
        Findings findings;
        for (unsigned seed = 0; seed < 5; ++seed) converse(seed, config, findings);
        auto& worse = findings.worse_db;
        REQUIRE(worse.size() >= 60);
        std::sort(worse.begin(), worse.end());
        const double median = worse[worse.size() / 2];
        MESSAGE(std::string{config.music ? "music" : "voice"}, " at ", config.bitrate, " bit/s, ", worse.size(),
                " switches, error against a continuous encoder: median ", median, " dB, worst ", worse.back(), " dB");
        CHECK(median <= 3.0);
        CHECK(worse.back() <= 6.0);
    }
}
