// The load generator and the plane, both whole, over loopback: clients that were given keys, since DTLS is Python's.
#include <doctest/doctest.h>

#include <thread>

#include "generator.hpp"
#include "plane.hpp"

using namespace plane;

namespace {

constexpr std::size_t material_size = 2 * (16 + 12);
constexpr auto gcm = srtp::Profile::aead_aes_128_gcm;

std::shared_ptr<const load::Sound> sound() {
    auto made = std::make_shared<load::Sound>();
    for (std::uint8_t i = 0; i < 5; ++i) made->frames.push_back({{0x78, i, 2, 3, 4, 5, 6, 7}, 20});
    return made;
}

struct World {
    explicit World(const load::PathConfig& up = {}, const load::PathConfig& down = {})
        : plane{{{*Endpoint::from_text("127.0.0.1", 0)}}}, generator{"127.0.0.1", up, down, 9} {
        plane.start();
        generator.start();
    }
    ~World() {
        generator.stop();
        plane.stop();
    }
    load::AgentConfig agent(PeerId peer) const {
        return {"client" + std::to_string(peer), "client's password 22 ch", "server" + std::to_string(peer), "server's password 22 ch", plane.bound(0), peer};
    }
    IceCredentials credentials(PeerId peer) const { return {"server" + std::to_string(peer), "server's password 22 ch"}; }
    void connect(PeerId peer, load::ClientId client) {
        const std::vector<std::uint8_t> material(material_size, static_cast<std::uint8_t>(peer));
        until([&] {
            for (const load::Event& event : generator.poll()) connected += event.what == load::Happened::ice_connected;
            return connected == client + 1;
        });
        plane.set_keys(peer, gcm, material);
        REQUIRE(generator.set_keys(client, gcm, material, true));
    }
    load::ClientId speaker(PeerId peer, RoomId room, std::uint32_t csrc, load::TalkConfig talk = {}) {
        plane.set_column(room, csrc, 1);
        plane.add_publisher(peer, room, credentials(peer), csrc, {.payload_type = 111, .level_id = 1, .report_ssrc = 9});
        const load::ClientId client = generator.add(
            {agent(peer), 1, "load", load::SpeakingConfig{1, room, csrc, 111, 1, 500 + peer, talk, 0, milliseconds{peer % 20}, sound()}, {}});
        connect(peer, client);
        return client;
    }
    load::ClientId listener(PeerId peer, RoomId room, RoomId believed) {
        plane.add_listener(peer, 0, room, credentials(peer), 100 + peer, {{.ssrc = 1000 + peer, .payload_type = 96}, {.ssrc = 2000 + peer, .payload_type = 96}},
                           "room", {});
        const load::ClientId client = generator.add({agent(peer), 1, "load", {}, load::HearingConfig{.run = 1, .room = believed}});
        connect(peer, client);
        return client;
    }
    template <class What>
    void until(What&& what) {
        for (int i = 0; i < 1000 && !what(); ++i) std::this_thread::sleep_for(milliseconds{5});
        REQUIRE(what());
    }

    Plane plane;
    load::Generator generator;
    unsigned connected = 0;
};

}  // namespace

TEST_CASE("listeners hear every packet of their room's speakers once and in order") {
    World world;
    for (RoomId room : {1U, 2U}) world.plane.add_room(room, 0, {});
    std::vector<load::ClientId> listeners;
    for (PeerId peer = 1; peer <= 6; ++peer) listeners.push_back(world.listener(peer, 1 + peer % 2, 1 + peer % 2));
    for (PeerId peer = 11; peer <= 14; ++peer) world.speaker(peer, 1 + peer % 2, peer);
    const auto heard = [&](load::ClientId client) { return world.generator.outcome(client).tally.packets; };
    world.until([&] { return std::all_of(listeners.begin(), listeners.end(), [&](auto client) { return heard(client) >= 150; }); });
    world.generator.hush();

    const load::Tally all = world.generator.snapshot().tally;
    CHECK(all.packets == all.marked);
    for (std::uint64_t fault : {all.lost, all.duplicates, all.reordered, all.restarts, all.missing, all.repeated, all.disordered, all.foreign,
                                all.corrupt, all.unmarked, all.undecryptable, all.malformed}) {
        CHECK(fault == 0);
    }
    CHECK(world.generator.snapshot().silent == 0);
    CHECK(world.generator.snapshot().measured.connected == 10);
    CHECK(world.generator.snapshot().measured.times.delay.count() == all.marked);
}

TEST_CASE("a modelled network takes its time and its share, and the server is not blamed for it") {
    World world{{.loss = 0.1, .delay = milliseconds{15}, .jitter = milliseconds{10}, .duplicate = 0.2},
                {.loss = 0.1, .burst = 2, .delay = milliseconds{5}, .duplicate = 0.2}};
    world.plane.add_room(1, 0, {});
    std::vector<load::ClientId> listeners;
    for (PeerId peer = 1; peer <= 4; ++peer) listeners.push_back(world.listener(peer, 1, 1));
    for (PeerId peer = 11; peer <= 12; ++peer) world.speaker(peer, 1, peer);
    const auto heard = [&](load::ClientId client) { return world.generator.outcome(client).tally.packets; };
    world.until([&] { return std::all_of(listeners.begin(), listeners.end(), [&](auto client) { return heard(client) >= 150; }); });
    world.generator.hush();

    const load::Snapshot now = world.generator.snapshot();
    CHECK(now.tally.packets == now.tally.marked);
    for (std::uint64_t fault : {now.tally.lost, now.tally.duplicates, now.tally.reordered, now.tally.missing, now.tally.repeated,
                                now.tally.disordered, now.tally.foreign, now.tally.corrupt, now.tally.undecryptable}) {
        CHECK(fault == 0);
    }
    CHECK(now.tally.modelled_lost > 20);
    CHECK(now.tally.modelled_missing > 20);
    CHECK(now.measured.modelled_lost_up > 10);
    CHECK(now.measured.modelled_lost_down >= now.tally.modelled_lost);
    CHECK(now.measured.modelled_twice_up > 10);
    CHECK(now.measured.modelled_twice_down > 20);
    CHECK(now.measured.modelled_overflow == 0);
    CHECK(now.measured.times.delay.percentile_us(0.01) >= 20'000);
    CHECK(now.measured.times.delay_as_read.percentile_us(0.5) >= now.measured.times.delay.percentile_us(0.5));
    CHECK(now.measured.queue.count() == now.measured.datagrams_received);
}

TEST_CASE("who gets another room's audio says so") {
    World world;
    world.plane.add_room(1, 0, {});
    const load::ClientId listener = world.listener(1, 1, 2);
    world.speaker(2, 1, 7);
    world.until([&] { return world.generator.outcome(listener).tally.foreign >= 5; });
    CHECK(world.generator.outcome(listener).tally.marked == 0);
}

TEST_CASE("the plane understands the clients' RTCP, and clients that leave are gone") {
    World world;
    world.plane.add_room(1, 0, {});
    const load::ClientId listener = world.listener(1, 1, 1);
    world.plane.set_column(1, 7, 1);
    const load::ClientId speaker = world.speaker(2, 1, 7);
    world.until([&] { return world.generator.outcome(listener).tally.packets >= 150; });
    CHECK(world.plane.stats(0).dropped_unauthentic.get() == 0);
    world.generator.leave(listener);
    world.generator.leave(speaker);
    const std::uint64_t sent = world.generator.outcome(speaker).packets;
    std::this_thread::sleep_for(milliseconds{60});
    CHECK(world.generator.outcome(speaker).packets == sent);
}

TEST_CASE("what cannot be used is refused") {
    load::Generator generator{"127.0.0.1"};
    load::ClientConfig config{{"c", "p", "s", "p", {*Endpoint::from_text("127.0.0.1", 9)}, 1}, 1, "load", load::SpeakingConfig{}, {}};
    CHECK_THROWS_AS(generator.add(config), std::invalid_argument);
    auto broken = std::make_shared<load::Sound>();
    broken->frames.push_back({{0x7B, 0x41}, 20});
    config.speaking->sound = broken;
    CHECK_THROWS_AS(generator.add(config), std::invalid_argument);
    config.speaking->sound = sound();
    config.agent.candidates = {*Endpoint::from_text("::1", 9)};
    CHECK_THROWS_AS(generator.add(config), std::invalid_argument);
    CHECK_THROWS_AS(generator.outcome(0), std::out_of_range);
    CHECK_THROWS_AS(load::Generator{"localhost"}, std::invalid_argument);
}
