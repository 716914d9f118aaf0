#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <random>
#include <vector>

#include "playout.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

double ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

// Packets of a tone of 200 Hz, whose period is in a frame a whole number of times: any is the continuation of any other.
std::vector<std::uint8_t> packet_of_tone(unsigned ptime_ms) {
    opus::Encoder encoder{{.channels = 1, .bitrate = 96000, .complexity = 3, .music = true}};
    std::vector<float> samples(48 * std::size_t{ptime_ms});
    for (std::size_t i = 0; i < samples.size(); ++i) {
        samples[i] = 0.4F * static_cast<float>(std::sin(2 * std::numbers::pi * 200 * static_cast<double>(i) / 48000));
    }
    std::vector<std::uint8_t> packet(1276);
    std::size_t size = 0;
    for (int i = 0; i < 20; ++i) size = encoder.encode(samples, packet);
    packet.resize(size);
    return packet;
}

// A speaker, a network that is a function of the packet's number, and ticks.
struct Bench {
    explicit Bench(unsigned tick = 20, unsigned packet = 20)
        : tick_ms{tick}, ptime_ms{packet}, payload{packet_of_tone(packet)}, heard(48 * std::size_t{tick}) {}

    unsigned tick_ms, ptime_ms;
    std::vector<std::uint8_t> payload;
    std::vector<float> heard;
    Playout playout{1};
    double clock = 1.0;              // of the sender against ours
    std::uint64_t sent = 0;
    Instant now = start + milliseconds{13};
    std::vector<std::pair<Instant, std::uint64_t>> under_way;
    float roughest = 0, last = 0;    // the largest step between two samples
    std::uint64_t pulled = 0;        // samples
    double most_delay_ms = 0;

    Instant sending_time(std::uint64_t index) const {
        return start + nanoseconds{static_cast<std::int64_t>(static_cast<double>(index) * ptime_ms * 1e6 / clock)};
    }
    // late(index): how late it comes; nothing: never.
    template <class Late>
    void run(Duration length, Late late) {
        for (const Instant end = now + length; now < end; now += milliseconds{tick_ms}) {
            while (sending_time(sent) <= now) {
                if (const std::optional<Duration> by = late(sent)) under_way.emplace_back(sending_time(sent) + *by, sent);
                ++sent;
            }
            std::sort(under_way.begin(), under_way.end());
            while (!under_way.empty() && under_way.front().first <= now) {
                const auto [arrival, index] = under_way.front();
                under_way.erase(under_way.begin());
                playout.insert({1, index, static_cast<std::uint32_t>(index * ptime_ms * 48), false, arrival}, payload);
            }
            most_delay_ms = std::max(most_delay_ms, delay_ms());
            playout.pull(now, heard);
            pulled += heard.size();
            for (const float sample : heard) roughest = std::max(roughest, std::fabs(sample - std::exchange(last, sample)));
        }
    }
    double delay_ms() const { return ms(playout.delay(now)); }
    const JitterBuffer::Counters& counters() const { return playout.buffer().counters(); }
};

// What a tone of 0.4 at 200 Hz steps by.
constexpr float smooth = 0.4F * 2 * static_cast<float>(std::numbers::pi) * 200 / 48000;

constexpr auto in_time = [](std::uint64_t) { return std::optional<Duration>{Duration::zero()}; };

}  // namespace

TEST_CASE("on a clean network audio waits for less than a packet and a half, whatever ticks and packets last") {
    for (const unsigned tick : {20U, 40U, 60U}) {
        for (const unsigned packet : {10U, 20U, 40U, 60U}) {
            CAPTURE(tick);
            CAPTURE(packet);
            Bench bench{tick, packet};
            bench.run(seconds{10}, in_time);
            // A tick of 60 ms needs audio that the sender has not finished when its first sample comes.
            CHECK(bench.delay_ms() <= std::max(tick, packet) + 20.0);
            CHECK(bench.counters().concealed <= 2);  // until its ticks have found their place between the packets
            CHECK(bench.roughest < 1.2F * smooth);
        }
    }
}

TEST_CASE("an hour of drift of 300 ppm is followed: no frame is dropped, doubled or made up, no step is heard") {
    for (const double ppm : {-300.0, 300.0}) {
        CAPTURE(ppm);
        Bench bench;
        bench.clock = 1 + ppm * 1e-6;
        bench.run(seconds{3600}, in_time);
        const auto& counters = bench.counters();
        CHECK(counters.concealed == 0);
        CHECK(counters.recovered == 0);
        CHECK(counters.skipped == 0);
        CHECK(counters.late == 0);
        CHECK(counters.decoded >= bench.sent - 3);
        CHECK(bench.most_delay_ms < 50);
        CHECK(bench.roughest < 1.2F * smooth);
        // Sample by sample: what was decoded, less what was taken out, and what was put in, is what was heard.
        const auto scaled = static_cast<double>(bench.playout.samples_put_in()) - static_cast<double>(bench.playout.samples_taken());
        CHECK(scaled == doctest::Approx(-ppm * 1e-6 * 3600 * 48000).epsilon(0.02));
        const double balance = static_cast<double>(counters.decoded * 960) + scaled - static_cast<double>(bench.pulled);
        CHECK(std::fabs(balance) < 3 * 960);
        // And only that: it does not play slower and faster in turn.
        const auto moved = static_cast<double>(bench.playout.samples_put_in() + bench.playout.samples_taken());
        CHECK(moved < std::fabs(scaled) + 4 * 720);
    }
}

TEST_CASE("5 s after 2 s of jitter of 300 ms the delay is within 20 ms of before") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        Bench bench;
        std::mt19937 random{seed};
        bench.run(seconds{5}, in_time);
        const double before = bench.delay_ms();
        bench.run(seconds{2}, [&](std::uint64_t) { return std::optional<Duration>{milliseconds{random() % 300}}; });
        CHECK(bench.most_delay_ms > 150);
        bench.run(seconds{5}, in_time);
        CHECK(bench.delay_ms() <= before + 20);
        CHECK(bench.counters().skipped == 0);
        CHECK(bench.playout.samples_taken() > 48 * 100);
    }
}

TEST_CASE("a stall of up to 400 ms loses nothing, and its delay is gone 5 s later") {
    for (const int stall_ms : {60, 150, 300, 390}) {
        CAPTURE(stall_ms);
        Bench bench;
        bench.run(seconds{4}, in_time);
        const double before = bench.delay_ms();
        const std::uint64_t first = bench.sent;
        bench.run(seconds{5}, [&](std::uint64_t index) {
            return std::optional<Duration>{milliseconds{std::max(0, stall_ms - 20 * static_cast<int>(index - first))}};
        });
        CHECK(bench.delay_ms() <= before + 20);
        CHECK(bench.counters().decoded >= bench.sent - 2);
        CHECK(bench.counters().skipped == 0);
    }
}

TEST_CASE("steady jitter settles: few packets are late, and the pace is mostly the sender's") {
    for (const int jitter_ms : {30, 80, 150}) {
        CAPTURE(jitter_ms);
        Bench bench;
        std::mt19937 random{11};
        const auto late = [&](std::uint64_t) { return std::optional<Duration>{microseconds{random() % (1000U * static_cast<unsigned>(jitter_ms))}}; };
        bench.run(seconds{5}, late);
        const auto before = bench.counters();
        const auto moved = bench.playout.samples_taken() + bench.playout.samples_put_in();
        bench.run(seconds{60}, late);
        CHECK(bench.counters().concealed - before.concealed < 3000 * 4 / 100);
        CHECK(bench.playout.samples_taken() + bench.playout.samples_put_in() - moved < 60 * 48000 * 3 / 100);
        CHECK(bench.delay_ms() < jitter_ms + 50);
        CHECK(bench.delay_ms() > jitter_ms * 0.8);
    }
}

TEST_CASE("random networks never wait beyond the bound and always come back") {
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        constexpr std::array<unsigned, 3> ticks{20, 40, 60};
        constexpr std::array<unsigned, 4> packets{10, 20, 40, 60};
        Bench bench{ticks[random() % 3], packets[random() % 4]};
        bench.clock = 1 + (static_cast<double>(random() % 600) - 300) * 1e-6;
        for (int phase = 0; phase < 6; ++phase) {
            const unsigned jitter_ms = 1 + random() % 350, loss = random() % 30, stall = random() % 3 * 200;
            const std::uint64_t first = bench.sent;
            bench.run(milliseconds{500 + random() % 4000}, [&](std::uint64_t index) -> std::optional<Duration> {
                if (random() % 100 < loss) return std::nullopt;
                const int held = static_cast<int>(stall) - static_cast<int>((index - first) * bench.ptime_ms);
                return std::max<Duration>(milliseconds{held}, milliseconds{random() % jitter_ms});
            });
            CHECK(bench.most_delay_ms <= 400 + 2 * 60 + 60);
        }
        bench.run(seconds{8}, in_time);
        CHECK(bench.delay_ms() <= std::max(bench.tick_ms, bench.ptime_ms) + 25.0);
        const auto before = bench.counters();
        bench.run(seconds{5}, in_time);
        CHECK(bench.counters().concealed == before.concealed);
        CHECK(bench.counters().skipped == before.skipped);
    }
}

TEST_CASE("a talk spurt after a pause loses none of its packets") {
    Bench bench;
    std::mt19937 random{5};
    const auto jitter = [&](std::uint64_t) { return std::optional<Duration>{milliseconds{random() % 60}}; };
    bench.run(seconds{3}, jitter);
    for (int spurt = 0; spurt < 10; ++spurt) {
        bench.run(seconds{2}, [](std::uint64_t) { return std::optional<Duration>{}; });
        // DTX: sequence numbers go on where they were, timestamps have run on.
        const auto decoded = bench.counters().decoded;
        Instant now = bench.now;
        for (std::uint64_t i = 0; i < 25; ++i, now += milliseconds{20}) {
            bench.playout.insert({1, 150 + static_cast<std::uint64_t>(spurt) * 25 + i, static_cast<std::uint32_t>((bench.sent + i) * 960), false, now},
                                 bench.payload);
            bench.playout.pull(now + milliseconds{7}, bench.heard);
        }
        for (int i = 0; i < 8; ++i, now += milliseconds{20}) bench.playout.pull(now + milliseconds{7}, bench.heard);
        CHECK(bench.counters().decoded - decoded >= 24);
        bench.now = now;
    }
}
