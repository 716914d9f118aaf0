// The parts of the load generator, each alone on fake time: its ICE agent against the plane's, what is verified of a stream,
// markers, talk patterns, percentiles.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <time.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "agent.hpp"
#include "chirp_ear.hpp"
#include "hearing.hpp"
#include "ice.hpp"
#include "opus.hpp"
#include "path.hpp"
#include "stamp.hpp"
#include "talk.hpp"

using namespace plane;
using load::Agent;
using load::Hearing;
using load::Marker;
using load::Sequence;

namespace {

const Endpoint ours = *Endpoint::from_text("192.0.2.1", 1000);
const Endpoint server = *Endpoint::from_text("192.0.2.9", 2000);
const Endpoint silent = *Endpoint::from_text("192.0.2.9", 2001);
constexpr std::string_view server_password = "the server's password 22";

load::AgentConfig agent_config(std::vector<Endpoint> candidates) {
    return {"cl", "the client's password 22", "srv", std::string{server_password}, std::move(candidates), 7};
}

// The agent's time passes in steps of 10 ms; each of its checks goes to the plane's ICE-lite, unless it is lost. `answers` says so.
struct Wire {
    Agent agent;
    IceLite lite{{"srv", std::string{server_password}}, Instant{}};
    Instant now{};
    unsigned checks = 0, nominations = 0;

    explicit Wire(std::vector<Endpoint> candidates) : agent{agent_config(std::move(candidates)), Instant{}} {}

    template <class Answers>
    void pass(Duration time, Answers&& answers, std::string_view password = server_password) {
        for (const Instant end = now + time; now < end; now += milliseconds{10}) {
            std::array<std::uint8_t, 256> check, answer;
            while (now >= agent.due()) {
                const auto sent = agent.advance(now, check);
                if (sent.size == 0) break;
                ++checks;
                const Bytes datagram = Bytes{check}.first(sent.size);
                const auto request = stun::parse_request(datagram);
                REQUIRE(request);
                CHECK(request->username == "srv:cl");
                CHECK_FALSE(request->controlled);
                nominations += request->use_candidate;
                const auto outcome = lite.request(now, ours, 0, datagram, *request);
                REQUIRE_FALSE(outcome.password.empty());
                if (!answers(sent.to)) continue;
                const std::size_t size = stun::write_success(answer, request->transaction, ours, password);
                agent.receive(now, sent.to, Bytes{answer}.first(size), check);
            }
        }
    }
};

bool always(const Endpoint&) { return true; }
bool never(const Endpoint&) { return false; }

std::vector<std::uint8_t> rtp_packet(std::uint16_t sequence, std::uint32_t timestamp, Bytes payload, std::uint32_t ssrc = 5) {
    std::vector<std::uint8_t> packet(1500);
    const std::size_t header = rtp::write_header(packet, {false, 111, sequence, timestamp, ssrc}, {}, {});
    std::copy(payload.begin(), payload.end(), packet.begin() + static_cast<std::ptrdiff_t>(header));
    packet.resize(header + payload.size());
    return packet;
}

constexpr std::array<std::uint8_t, 40> frame{0x78, 1, 2, 3};

std::vector<std::uint8_t> marked_payload(const Marker& marker) {
    std::vector<std::uint8_t> payload(200);
    payload.resize(load::write_marked(payload, frame, marker));
    REQUIRE(!payload.empty());
    return payload;
}

// A listener of room 3 of run 1, and packets of a speaker, 20 ms apart.
struct Scene {
    Hearing hearing;
    load::Times times;
    Instant now{seconds{5}};

    explicit Scene(load::HearingConfig config = {.run = 1, .room = 3}) : hearing{config} {}

    void hear(std::uint16_t sequence, std::uint32_t number, std::uint32_t room = 3, std::uint32_t run = 1) {
        now += milliseconds{20};
        const auto payload = marked_payload({run, room, 0, number, now - milliseconds{4}});
        hearing.packet(now, rtp_packet(sequence, sequence * 960U, payload), times);
    }
};

}  // namespace

TEST_CASE("the client's agent connects to the plane's ICE-lite, nominates, and keeps consent") {
    Wire wire{{server}};
    wire.pass(milliseconds{100}, always);
    REQUIRE(wire.agent.selected());
    CHECK(*wire.agent.selected() == server);
    CHECK(wire.lite.nominated());
    CHECK(wire.nominations == 1);
    CHECK(wire.checks == 2);

    wire.pass(seconds{60}, always);
    CHECK_FALSE(wire.agent.failed());
    CHECK_FALSE(wire.lite.consent_expired(wire.now));
    CHECK(wire.checks >= 2 + 60 / 6);
    CHECK(wire.checks <= 2 + 60 / 4);

    wire.pass(seconds{31}, never);
    CHECK(wire.agent.failed());
}

TEST_CASE("a candidate that does not answer does not hold up the one that does") {
    Wire wire{{silent, server}};
    wire.pass(milliseconds{200}, [](const Endpoint& to) { return to == server; });
    REQUIRE(wire.agent.selected());
    CHECK(*wire.agent.selected() == server);
}

TEST_CASE("lost checks are repeated, less and less often, and given up after 10 s") {
    Wire wire{{server}};
    unsigned lost = 3;
    wire.pass(seconds{4}, [&](const Endpoint&) { return lost == 0 || lost-- == 0; });
    CHECK(wire.agent.selected());

    Wire hopeless{{server}};
    hopeless.pass(seconds{11}, never);
    CHECK(hopeless.agent.failed());
    CHECK(hopeless.checks < 12);
    CHECK(hopeless.agent.due() == Instant::max());
    CHECK(Agent{agent_config({}), Instant{}}.failed());
}

TEST_CASE("an answer that was not made with the server's password, or comes from elsewhere, is none") {
    Wire wire{{server}};
    wire.pass(seconds{2}, always, "somebody else's password");
    CHECK_FALSE(wire.agent.selected());

    Agent agent{agent_config({server}), Instant{}};
    std::array<std::uint8_t, 256> check, answer;
    const auto sent = agent.advance(Instant{}, check);
    const auto request = stun::parse_request(Bytes{check}.first(sent.size));
    REQUIRE(request);
    const std::size_t size = stun::write_success(answer, request->transaction, ours, server_password);
    std::array<std::uint8_t, 256> out;
    agent.receive(Instant{}, silent, Bytes{answer}.first(size), out);
    CHECK(agent.due() > Instant{});
    agent.receive(Instant{}, server, Bytes{answer}.first(size), out);
    CHECK(agent.due() == Instant{});  // now it nominates
}

TEST_CASE("a full agent's check is answered, a stranger's is not") {
    Agent agent{agent_config({server}), Instant{}};
    std::array<std::uint8_t, 256> request, answer;
    for (const std::string_view password : {"the client's password 22", "another password 22 lo"}) {
        const std::size_t size = stun::write_request(request, {}, "cl:srv", password, 1, false, 1);
        const auto output = agent.receive(Instant{}, server, Bytes{request}.first(size), answer);
        CHECK((output.size != 0) == password.starts_with("the"));
        if (output.size != 0) {
            const auto response = stun::parse_response(Bytes{answer}.first(output.size));
            REQUIRE(response);
            CHECK(response->success);
            CHECK(stun::authentic(Bytes{answer}.first(output.size), *response, "the client's password 22"));
        }
    }
}

TEST_CASE("a refusal is read with its code") {
    std::array<std::uint8_t, 256> request, answer;
    const std::size_t size = stun::write_request(request, {}, "srv:cl", server_password, 1, false, 1);
    const auto parsed = stun::parse_request(Bytes{request}.first(size));
    REQUIRE(parsed);
    const std::size_t written = stun::write_error(answer, *parsed, stun::Error::role_conflict, server_password);
    const auto response = stun::parse_response(Bytes{answer}.first(written));
    REQUIRE(response);
    CHECK_FALSE(response->success);
    CHECK(response->error == 487);
    CHECK_FALSE(stun::parse_response(Bytes{request}.first(size)));
}

TEST_CASE("numbers that are missing, twice, late or begin anew are told apart, over the roll-over as well") {
    using enum Sequence::Verdict;
    Sequence sequence;
    std::uint64_t number = sequence.extend(65534);
    for (int i = 0; i < 4; ++i) {
        const auto low = static_cast<std::uint16_t>(65534 + i);
        CHECK(sequence.extend(low) == number);
        CHECK(sequence.record(sequence.extend(low)) == next);
        ++number;
    }
    CHECK(sequence.lost() == 0);
    CHECK(sequence.record(sequence.extend(5)) == ahead);  // 2, 3 and 4 are not there
    CHECK(sequence.lost() == 3);
    CHECK(sequence.record(sequence.extend(3)) == late);
    CHECK(sequence.lost() == 2);
    CHECK(sequence.has(sequence.extend(3)));
    CHECK_FALSE(sequence.has(sequence.extend(4)));
    CHECK(sequence.record(sequence.extend(3)) == duplicate);
    CHECK(sequence.received() == 6);
    CHECK(sequence.record(sequence.extend(20000)) == restart);
    CHECK(sequence.lost() == 2);
    CHECK(sequence.expected() == 9);
}

TEST_CASE("a marked packet is Opus of the same audio, and says who, when and whether it is whole") {
    const Marker marker{1, 2, 3, 4, Instant{nanoseconds{123456789012345}}};
    auto payload = marked_payload(marker);
    CHECK(opus::duration(payload) == opus::duration(frame));
    auto read = load::read_marked(payload);
    REQUIRE(read);
    CHECK(read->marker == marker);
    CHECK(read->intact);
    payload[10] ^= 1;
    read = load::read_marked(payload);
    REQUIRE(read);
    CHECK_FALSE(read->intact);
    CHECK_FALSE(load::read_marked(frame));
    for (std::size_t size = 0; size < payload.size(); ++size) CHECK_FALSE(load::read_marked(Bytes{payload}.first(size)));
}

TEST_CASE("real speech with a marker decodes to the same samples") {
    opus::Encoder encoder{{}};
    opus::Decoder plain{1}, padded{1};
    std::array<float, 960> samples;
    std::array<float, opus::max_samples> one, other;
    for (unsigned k = 0; k < 20; ++k) {
        for (std::size_t i = 0; i < samples.size(); ++i) {
            samples[i] = 0.3F * static_cast<float>(std::sin(2 * std::numbers::pi * 300 * static_cast<double>(k * 960 + i) / 48000));
        }
        std::array<std::uint8_t, 1275> packet;
        const std::size_t size = encoder.encode(samples, packet);
        REQUIRE(size != 0);
        std::array<std::uint8_t, 1400> with_marker;
        const std::size_t marked = load::write_marked(with_marker, Bytes{packet}.first(size), {1, 2, 3, k, {}});
        REQUIRE(marked != 0);
        REQUIRE(plain.decode(Bytes{packet}.first(size), one) == 960);
        REQUIRE(padded.decode(Bytes{with_marker}.first(marked), other) == 960);
        CHECK(std::equal(one.begin(), one.begin() + 960, other.begin()));
    }
}

TEST_CASE("a clean stream has no fault, and its delay is that of its markers") {
    Scene scene;
    for (std::uint16_t i = 0; i < 500; ++i) scene.hear(static_cast<std::uint16_t>(65300 + i), i);
    const load::Tally tally = scene.hearing.tally();
    CHECK(tally.packets == 500);
    CHECK(tally.marked == 500);
    for (std::uint64_t fault : {tally.lost, tally.duplicates, tally.reordered, tally.restarts, tally.gaps, tally.missing, tally.repeated,
                                tally.disordered, tally.foreign, tally.corrupt, tally.unmarked, tally.malformed}) {
        CHECK(fault == 0);
    }
    CHECK(scene.times.delay.count() == 500);
    CHECK(std::abs(scene.times.delay.percentile_us(0.5) - 4000) < 200);
}

TEST_CASE("each fault of a stream is counted as what it is") {
    Scene scene;
    for (std::uint16_t i = 0; i < 10; ++i) scene.hear(i, i);
    SUBCASE("lost on the way") {
        scene.hear(12, 12);
        CHECK(scene.hearing.tally().lost == 2);
        CHECK(scene.hearing.tally().missing == 2);
    }
    SUBCASE("left out by the server, whose numbers go on") {
        scene.hear(10, 12);
        CHECK(scene.hearing.tally().lost == 0);
        CHECK(scene.hearing.tally().missing == 2);
    }
    SUBCASE("twice on the wire") {
        CHECK(scene.hearing.is_duplicate(5, 9));
        CHECK_FALSE(scene.hearing.is_duplicate(5, 10));
        CHECK_FALSE(scene.hearing.is_duplicate(6, 9));
        scene.hear(9, 9);
        CHECK(scene.hearing.tally().duplicates == 1);
        CHECK(scene.hearing.tally().packets == 10);
    }
    SUBCASE("sent twice by the server") {
        scene.hear(10, 9);
        CHECK(scene.hearing.tally().repeated == 1);
    }
    SUBCASE("overtaken") {
        scene.hear(11, 11);
        scene.hear(10, 10);
        CHECK(scene.hearing.tally().reordered == 1);
        CHECK(scene.hearing.tally().disordered == 1);
        CHECK(scene.hearing.tally().lost == 0);
        CHECK(scene.hearing.tally().missing == 0);
    }
    SUBCASE("another room's") {
        scene.hear(10, 10, 4);
        CHECK(scene.hearing.tally().foreign == 1);
    }
    SUBCASE("another run's") {
        scene.hear(10, 10, 3, 2);
        CHECK(scene.hearing.tally().foreign == 1);
    }
    SUBCASE("changed") {
        auto payload = marked_payload({1, 3, 0, 10, scene.now});
        payload[5] ^= 1;
        scene.hearing.packet(scene.now, rtp_packet(10, 9600, payload), scene.times);
        CHECK(scene.hearing.tally().corrupt == 1);
        CHECK(scene.hearing.tally().marked == 10);
    }
    SUBCASE("from the future, or from before the beginning of time") {
        for (const Instant due : {scene.now + seconds{3600}, Instant::min(), Instant::max()}) {
            scene.hearing.packet(scene.now, rtp_packet(static_cast<std::uint16_t>(scene.hearing.tally().packets), 9600, marked_payload({1, 3, 0, 10, due})), scene.times);
        }
        CHECK(scene.hearing.tally().corrupt == 3);
        CHECK(scene.times.delay.count() == 10);
    }
    SUBCASE("nobody's") {
        scene.hearing.packet(scene.now, rtp_packet(10, 9600, frame), scene.times);
        CHECK(scene.hearing.tally().unmarked == 1);
    }
    SUBCASE("no RTP") {
        scene.hearing.packet(scene.now, frame, scene.times);
        CHECK(scene.hearing.tally().malformed == 1);
    }
    SUBCASE("a gap") {
        scene.now += milliseconds{300};
        scene.hear(10, 10);
        CHECK(scene.hearing.tally().gaps == 1);
    }
}

TEST_CASE("a pause between spurts is no gap, audio that stands still is") {
    Scene scene{{.run = 1, .room = 3, .constant = false}};
    scene.hear(1, 1);
    scene.now += seconds{2};
    const auto payload = marked_payload({1, 3, 0, 2, scene.now});
    SUBCASE("the speaker's time went on") {
        scene.hearing.packet(scene.now, rtp_packet(2, 960 + 96000, payload), scene.times);
        CHECK(scene.hearing.tally().gaps == 0);
    }
    SUBCASE("his next word came 2 s late") {
        scene.hearing.packet(scene.now, rtp_packet(2, 1920, payload), scene.times);
        CHECK(scene.hearing.tally().gaps == 1);
    }
}

TEST_CASE("once nobody has to talk any more, a pause is no gap") {
    Scene scene;
    scene.hear(1, 1);
    scene.hearing.allow_silence();
    scene.now += seconds{2};
    scene.hearing.packet(scene.now, rtp_packet(2, 960 + 96000, marked_payload({1, 3, 0, 2, scene.now})), scene.times);
    CHECK(scene.hearing.tally().gaps == 0);
    scene.now += seconds{2};
    scene.hearing.packet(scene.now, rtp_packet(3, 960 + 96960, marked_payload({1, 3, 0, 3, scene.now})), scene.times);
    CHECK(scene.hearing.tally().gaps == 1);
}

TEST_CASE("a hostile server's streams and speakers cost bounded memory") {
    Scene scene;
    for (std::uint32_t ssrc = 0; ssrc < 1000; ++ssrc) {
        const auto payload = marked_payload({1, 3, ssrc, 1, scene.now});
        scene.hearing.packet(scene.now, rtp_packet(1, 960, payload, ssrc), scene.times);
        scene.hearing.packet(scene.now, rtp_packet(static_cast<std::uint16_t>(ssrc), 960, payload, 0), scene.times);
    }
    std::array<rtcp::ReportBlock, Hearing::max_streams> blocks;
    CHECK(scene.hearing.report(scene.now, blocks) == Hearing::max_streams);
    CHECK(scene.hearing.tally().malformed == 1000 - Hearing::max_streams);
}

TEST_CASE("receiver reports say what was lost since the last one") {
    Scene scene;
    std::array<rtcp::ReportBlock, Hearing::max_streams> blocks;
    for (std::uint16_t i = 0; i < 100; i += 2) scene.hear(i, i);
    REQUIRE(scene.hearing.report(scene.now, blocks) == 1);
    CHECK(blocks[0].ssrc == 5);
    CHECK(blocks[0].cumulative_lost == 49);
    CHECK(blocks[0].fraction_lost > 120);
    CHECK((blocks[0].highest_sequence & 0xFFFF) == 98);
    for (std::uint16_t i = 99; i < 150; ++i) scene.hear(i, i);
    scene.hearing.report(scene.now, blocks);
    CHECK(blocks[0].fraction_lost == 0);
    CHECK(blocks[0].cumulative_lost == 49);
}

TEST_CASE("an ear knows the tones of its room from another's, in coded audio, and silence from both") {
    const auto heard = [](std::vector<unsigned> playing) {
        load::Ear ear{0b10010};  // tones 1 and 4
        opus::Encoder encoder{{}};
        load::Ear::Heard result;
        for (unsigned k = 0; k < 50; ++k) {
            std::array<float, 960> samples{};
            for (std::size_t i = 0; i < samples.size(); ++i) {
                for (unsigned tone : playing) {
                    samples[i] += 0.1F * static_cast<float>(std::sin(2 * std::numbers::pi * load::tone_hz(tone) * static_cast<double>(k * 960 + i) / 48000));
                }
            }
            std::array<std::uint8_t, 1275> packet;
            const std::size_t size = encoder.encode(samples, packet);
            REQUIRE(size != 0);
            result += ear.hear(Bytes{packet}.first(size));
        }
        CHECK(result.windows == 10);
        return result;
    };
    CHECK(heard({1}).own == 10);
    CHECK(heard({1}).foreign == 0);
    CHECK(heard({1, 4}).foreign == 0);
    CHECK(heard({}).own == 0);
    CHECK(heard({}).foreign == 0);
    CHECK(heard({2}).foreign == 10);
    CHECK(heard({2}).own == 0);
    CHECK(heard({1, 31}).foreign == 10);
    CHECK(heard({1, 31}).own == 10);
}

TEST_CASE("talk is spurts and silences of the means that were asked for, the same for the same seed") {
    load::Talk talk{{60, 90, 5}}, again{{60, 90, 5}}, other{{60, 90, 6}};
    unsigned talking = 0, spurts = 0, differences = 0;
    bool before = false;
    constexpr unsigned frames = 400'000;
    for (unsigned i = 0; i < frames; ++i) {
        const bool now = talk.next();
        CHECK(now == again.next());
        differences += now != other.next();
        talking += now;
        spurts += now && !before;
        before = now;
    }
    CHECK(talking / double{frames} == doctest::Approx(0.4).epsilon(0.1));
    CHECK(talking / double(spurts) == doctest::Approx(60).epsilon(0.1));
    CHECK(differences > 1000);
    load::Talk constant{{60, 0, 5}};
    for (unsigned i = 0; i < 1000; ++i) CHECK(constant.next());
}

TEST_CASE("percentiles are within 4 % of the truth") {
    load::Latencies latencies;
    CHECK(latencies.percentile_us(0.5) == 0);
    for (int us = 1; us <= 100'000; ++us) latencies.record(microseconds{us});
    CHECK(latencies.count() == 100'000);
    CHECK(latencies.max_us() == 100'000);
    for (const double share : {0.001, 0.5, 0.9, 0.99, 0.999}) {
        CHECK(static_cast<double>(latencies.percentile_us(share)) == doctest::Approx(share * 100'000).epsilon(0.04));
    }
    latencies.record(seconds{100'000});
    CHECK(latencies.percentile_us(1) > 60'000'000);
}

TEST_CASE("a modelled network loses, delays and doubles as much as it is told, in order, the same for the same seed") {
    const load::PathConfig config{.loss = 0.1, .burst = 1, .delay = milliseconds{20}, .jitter = milliseconds{30}, .duplicate = 0.05};
    load::Path path{config, 7}, same{config, 7}, other{config, 8};
    int lost = 0, twice = 0, differ = 0;
    double sum_ms = 0;
    Instant now{seconds{1}}, last{};
    for (int i = 0; i < 20'000; ++i, now += milliseconds{20}) {
        const auto arrivals = path.pass(now);
        const auto again = same.pass(now);
        CHECK(std::equal(arrivals.begin(), arrivals.end(), again.begin(), again.end()));
        differ += other.pass(now).size() != arrivals.size();
        lost += arrivals.empty();
        twice += arrivals.size() == 2;
        for (const Instant arrival : arrivals) {
            CHECK(arrival >= last);
            CHECK(arrival >= now + milliseconds{20});
            CHECK(arrival <= now + milliseconds{50});
            last = arrival;
        }
        if (!arrivals.empty()) sum_ms += std::chrono::duration<double, std::milli>(arrivals[0] - now).count();
    }
    CHECK(std::abs(lost - 2000) < 200);
    CHECK(std::abs(twice - 900) < 150);
    CHECK(differ > 1000);
    CHECK(sum_ms / (20'000 - lost) > 34);
    CHECK(sum_ms / (20'000 - lost) < 39);  // who waits for the one before him waits longer
}

TEST_CASE("loss in bursts is of the share and the mean length that were asked for") {
    load::Path path{{.loss = 0.05, .burst = 4}, 3};
    int lost = 0, bursts = 0;
    bool before = false;
    for (int i = 0; i < 200'000; ++i) {
        const bool now = path.pass(Instant{}).empty();
        lost += now;
        bursts += now && !before;
        before = now;
    }
    CHECK(std::abs(lost / 200'000.0 - 0.05) < 0.005);
    CHECK(std::abs(static_cast<double>(lost) / bursts - 4) < 0.3);
    load::Path all{{.loss = 1, .burst = 3}, 1}, none{{}, 1};
    for (int i = 0; i < 100; ++i) {
        CHECK(all.pass(Instant{}).empty());
        CHECK(none.pass(Instant{seconds{1}}).front() == Instant{seconds{1}});
    }
}

TEST_CASE("what the modelled network lost is no fault of the server's, and a loss in its reports") {
    auto board = std::make_shared<load::Board>();
    load::HearingConfig config{.run = 1, .room = 3};
    config.board = board;
    Scene scene{config};
    for (std::uint16_t i = 0; i < 100; ++i) {
        if (i % 10 == 5) {  // lost on the listener's side
            scene.now += milliseconds{20};
            scene.hearing.lose(scene.now, rtp_packet(i, i * 960U, marked_payload({1, 3, 0, i, scene.now - milliseconds{4}})));
        } else if (i % 10 == 7) {  // on the speaker's: the server has a hole, too
            board->withhold(0, i);
            scene.now += milliseconds{20};
        } else if (i % 50 == 2) {  // by the server
            scene.now += milliseconds{20};
        } else {
            scene.hear(i, i);
        }
    }
    const load::Tally tally = scene.hearing.tally();
    CHECK(tally.lost == 2);
    CHECK(tally.missing == 2);
    CHECK(tally.modelled_lost == 10);
    CHECK(tally.modelled_missing == 10);
    CHECK(tally.packets == 78);
    CHECK(tally.marked == 78);
    CHECK(tally.duplicates + tally.reordered + tally.gaps + tally.disordered == 0);
    std::array<rtcp::ReportBlock, Hearing::max_streams> blocks;
    REQUIRE(scene.hearing.report(scene.now, blocks) == 1);
    CHECK(blocks[0].cumulative_lost == 22);
}

TEST_CASE("a chirp is found in coded audio to a third of a millisecond, among noise and another's chirps") {
    for (const bool music : {false, true}) {
        CAPTURE(music);
        plane::opus::EncoderConfig coding;
        coding.bitrate = 32000;
        coding.music = music;
        opus::Encoder encoder{coding};
        opus::Decoder decoder{1};
        load::Random random{5};
        std::vector<float> said(48000 * 4);
        for (float& sample : said) sample = static_cast<float>((random.share() - 0.5) * 0.01);
        const std::array<std::size_t, 3> up{9000, 57'000, 105'123}, down{30'000, 80'000, 130'001};  // where they begin
        for (std::size_t i = 0; i < load::chirp_samples; ++i) {
            for (const std::size_t at : up) said[at + i] += 0.25F * load::chirp(0)[i];
            for (const std::size_t at : down) said[at + i] += 0.25F * load::chirp(1)[i];
        }
        load::ChirpFinder finder;
        std::vector<load::ChirpFinder::Found> found;
        for (std::size_t at = 0; at + 960 <= said.size(); at += 960) {
            std::array<std::uint8_t, 1276> packet;
            std::array<float, 960> heard;
            const std::size_t size = encoder.encode(std::span{said}.subspan(at, 960), packet);
            REQUIRE(decoder.decode(Bytes{packet}.first(size), heard) == 960);
            finder.add(heard, found);
        }
        REQUIRE(found.size() == 6);
        std::array<std::size_t, 2> next{};
        for (const auto& each : found) {
            const auto& places = each.kind == 0 ? up : down;
            const auto late = static_cast<double>(each.middle) - static_cast<double>(places[next[each.kind]++] + load::chirp_middle);
            CHECK(std::abs(late - double{opus::encoder_delay}) < 16);
        }
    }
}

TEST_CASE("mouth to ear is from when a chirp was spoken to when it leaves the decoder of the packet it is in") {
    auto board = std::make_shared<load::Board>();
    load::ChirpEar ear{board};
    load::MouthToEar heard;
    opus::EncoderConfig coding;
    coding.music = true;
    opus::Encoder encoder{coding};
    std::vector<float> said(48000);
    for (std::size_t i = 0; i < load::chirp_samples; ++i) said[20'000 + i] = 0.25F * load::chirp(1)[i];
    const Instant begin{seconds{100}};
    for (std::size_t at = 0; at + 960 <= said.size(); at += 960) {
        // It is sent when its last sample has been spoken, and takes 7 ms.
        const Instant sent = begin + nanoseconds{(static_cast<std::int64_t>(at) + 960) * 1'000'000 / 48};
        if (at <= 20'960 && 20'960 < at + 960) board->say(1, begin + nanoseconds{20'960LL * 1'000'000 / 48});
        std::array<std::uint8_t, 1276> packet;
        const std::size_t size = encoder.encode(std::span{said}.subspan(at, 960), packet);
        ear.hear(sent + milliseconds{7}, Bytes{packet}.first(size), heard);
    }
    CHECK(heard.delays.count() == 1);
    REQUIRE(heard.kept_us.size() == 1);
    CHECK(std::abs(static_cast<int>(heard.kept_us[0]) - (20'000 + 7'000 + 6'500)) < 400);
    CHECK(ear.unexplained() == 0);
}

TEST_CASE("the kernel's time stamp is the arrival, whatever the time of day is, and none is now") {
    load::Stamps stamps;
    const auto message_of = [](timespec stamp, std::span<std::uint8_t> space) {
        msghdr message{};
        message.msg_control = space.data();
        message.msg_controllen = CMSG_SPACE(sizeof stamp);
        cmsghdr* control = CMSG_FIRSTHDR(&message);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SO_TIMESTAMPNS;
        control->cmsg_len = CMSG_LEN(sizeof stamp);
        std::memcpy(CMSG_DATA(control), &stamp, sizeof stamp);
        return message;
    };
    alignas(cmsghdr) std::array<std::uint8_t, load::Stamps::control_size> space{};
    timespec day{};
    clock_gettime(CLOCK_REALTIME, &day);
    const Instant now = Clock::now();
    timespec stamp{day.tv_sec - 1, day.tv_nsec};  // read a second after it came
    const Instant arrival = stamps.arrival(message_of(stamp, space), now);
    CHECK(std::abs(std::chrono::duration<double, std::milli>(now - arrival).count() - 1000) < 50);
    stamp.tv_sec = day.tv_sec - 3600;
    CHECK(stamps.arrival(message_of(stamp, space), now) == now);
    CHECK(stamps.arrival(msghdr{}, now) == now);
}
