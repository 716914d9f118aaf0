// The whole plane, with real sockets on loopback: joins, forwarding over two workers, moves between rooms, leaving
// in mid-stream.
#include <doctest/doctest.h>

#include <poll.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "plane.hpp"

using namespace plane;

namespace {

constexpr std::size_t material_size = 2 * (16 + 12);

struct Client {
    explicit Client(std::uint8_t seed) : ufrag{"user" + std::to_string(seed)}, material(material_size, seed) {
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        const auto any = *Endpoint::from_text("127.0.0.1", 0);
        REQUIRE(bind(fd, any.raw(), any.raw_size()) == 0);
        const auto keys = *srtp::split(srtp::Profile::aead_aes_128_gcm, material);
        sealer = std::make_unique<srtp::Sealer>(srtp::Profile::aead_aes_128_gcm, keys.client_key, keys.client_salt);
        opener = std::make_unique<srtp::Opener>(srtp::Profile::aead_aes_128_gcm, keys.server_key, keys.server_salt);
    }
    ~Client() { close(fd); }
    Client(const Client&) = delete;

    IceCredentials credentials() const { return {ufrag, password}; }
    void send(const Endpoint& to, Bytes datagram) const {
        REQUIRE(sendto(fd, datagram.data(), datagram.size(), 0, to.raw(), to.raw_size()) == static_cast<ssize_t>(datagram.size()));
    }
    // One datagram within the time, or nothing.
    std::vector<std::uint8_t> receive(int timeout_ms = 2000) const {
        pollfd ready{fd, POLLIN, 0};
        std::vector<std::uint8_t> datagram(2048);
        if (::poll(&ready, 1, timeout_ms) != 1) return {};
        datagram.resize(static_cast<std::size_t>(recv(fd, datagram.data(), datagram.size(), 0)));
        return datagram;
    }
    void connect(const Endpoint& server) const {
        std::array<std::uint8_t, 256> request;
        const std::size_t size = stun::write_request(request, {}, ufrag + ":client", password, 1, true, 1);
        send(server, {request.data(), size});
        auto answer = receive();
        while (!answer.empty() && answer[0] > 3) answer = receive();  // what an earlier peer of this socket still got
        REQUIRE(answer.size() > 2);
        REQUIRE(load16(answer.data()) == 0x0101);
    }
    void publish(const Endpoint& server, std::uint16_t sequence, std::uint8_t minus_dbov = 20) const {
        std::array<std::uint8_t, 128> packet;
        const std::array<std::uint8_t, 1> level{minus_dbov};
        const rtp::Element element{1, level};
        const std::size_t header = rtp::write_header(packet, {false, 111, sequence, sequence * 960U, 5}, {}, {&element, 1});
        const std::array<std::uint8_t, 40> payload{0x78};
        const std::size_t size = sealer->rtp(sequence, header, payload, packet);
        send(server, {packet.data(), size});
    }
    // Compounds of RTCP that have come.
    int reports() const {
        int count = 0;
        for (auto datagram = receive(0); !datagram.empty(); datagram = receive(0)) count += datagram[1] == 201;
        return count;
    }
    // The next RTP packet, opened.
    std::optional<rtp::Packet> next_rtp(std::vector<std::uint8_t>& datagram, int timeout_ms = 2000) const {
        for (;;) {
            datagram = receive(timeout_ms);
            if (datagram.empty()) return std::nullopt;
            if (datagram[0] < 128 || (datagram[1] >= 192 && datagram[1] <= 223)) continue;
            const auto opened = opener->rtp(datagram);
            REQUIRE(opened);
            return rtp::parse({datagram.data(), opened->size});
        }
    }

    int fd;
    std::string ufrag;
    std::string password = "a-password-of-22-chars";
    std::vector<std::uint8_t> material;
    std::unique_ptr<srtp::Sealer> sealer;
    std::unique_ptr<srtp::Opener> opener;
};

Plane plane_of(std::size_t workers) {
    return Plane{std::vector<std::vector<Endpoint>>(workers, {*Endpoint::from_text("127.0.0.1", 0)})};
}

}  // namespace

TEST_CASE("a publisher is heard by listeners on both workers, in order, under one SSRC each") {
    Plane plane = plane_of(2);
    plane.start();
    plane.add_room(1, 0, {});
    plane.set_column(1, 7, 1);
    const Endpoint home = plane.bound(0)[0];

    Client publisher{1};
    plane.add_publisher(1, 1, publisher.credentials(), 7, {.payload_type = 111, .level_id = 1, .report_ssrc = 9});
    publisher.connect(home);
    plane.set_keys(1, srtp::Profile::aead_aes_128_gcm, publisher.material);

    std::vector<std::unique_ptr<Client>> listeners;
    for (std::uint8_t i = 0; i < 4; ++i) {
        auto& client = *listeners.emplace_back(std::make_unique<Client>(static_cast<std::uint8_t>(2 + i)));
        plane.add_listener(2U + i, i % 2, 1, client.credentials(), 100U + i, {{.ssrc = 1000U + i, .payload_type = 96}}, "room", {});
        client.connect(plane.bound(i % 2)[0]);
        plane.set_keys(2U + i, srtp::Profile::aead_aes_128_gcm, client.material);
    }
    for (std::uint16_t sequence = 0; sequence < 100; ++sequence) {
        publisher.publish(home, sequence);
        std::this_thread::sleep_for(milliseconds{1});
        if (sequence == 50) plane.remove_peer(3, {});
    }
    std::vector<std::uint8_t> datagram;
    for (std::size_t i : {0UL, 2UL, 3UL}) {
        std::optional<std::uint16_t> last;
        int count = 0;
        while (const auto rtp = listeners[i]->next_rtp(datagram, count < 100 ? 2000 : 50)) {
            CHECK(rtp->ssrc == 1000 + i);
            CHECK(rtp->payload_type == 96);
            REQUIRE(rtp->csrc_count == 1);
            CHECK(load32(rtp->csrcs) == 7);
            CHECK(rtp->payload.size() == 40);
            if (last) CHECK(rtp->sequence == static_cast<std::uint16_t>(*last + 1));
            last = rtp->sequence;
            if (++count == 100) break;
        }
        CHECK(count == 100);
    }
    plane.stop();
    CHECK(plane.stats(0).dropped_unauthentic.get() == 0);
    CHECK(plane.stats(0).packets_forwarded.get() == 200);
    CHECK(plane.stats(1).packets_forwarded.get() >= 100);
    CHECK(plane.stats(1).packets_forwarded.get() < 200);
}

TEST_CASE("control may do anything while packets flow") {
    Plane plane = plane_of(2);
    plane.start();
    plane.add_room(1, 1, {});
    plane.set_column(1, 7, 1);
    const Endpoint home = plane.bound(1)[0];
    Client publisher{1};
    plane.add_publisher(1, 1, publisher.credentials(), 7, {.payload_type = 111, .level_id = 1, .report_ssrc = 9});
    publisher.connect(home);
    plane.set_keys(1, srtp::Profile::aead_aes_128_gcm, publisher.material);
    std::atomic<bool> running{true};
    std::thread talk{[&] {
        for (std::uint16_t sequence = 0; running; ++sequence) {
            publisher.publish(home, sequence);
            std::this_thread::sleep_for(microseconds{200});
        }
    }};
    Client listener{2};
    for (PeerId id = 2; id < 200; ++id) {
        plane.add_listener(id, id % 2, 1, listener.credentials(), id, {{.ssrc = 1, .payload_type = 96}}, "room", {});
        listener.connect(plane.bound(id % 2)[0]);
        plane.set_keys(id, srtp::Profile::aead_aes_128_gcm, listener.material);
        plane.set_column(1, 7, id % 3 ? 1 : 0);
        if (id % 5 == 0) plane.set_sources(id, {7});
        if (id % 7 == 0) plane.restart_ice(id, {"restart" + std::to_string(id), listener.password});
        plane.poll();
        plane.remove_peer(id, {Datagram(20, 21)});
        while (!listener.receive(0).empty()) {}
    }
    running = false;
    talk.join();
    plane.remove_peer(1, {});
    plane.remove_room(1);
    plane.stop();
    CHECK(plane.stats(0).peers.get() == 0);
    CHECK(plane.stats(1).peers.get() == 0);
    CHECK(plane.stats(1).rooms.get() == 0);
}

namespace {

// Rooms 1, 2, … at home on workers 0, 1, … in turn, everybody in them with a column of his own.
struct Rooms {
    explicit Rooms(unsigned workers = 2, RoomId rooms = 2) : plane{plane_of(workers)} {
        plane.start();
        for (RoomId room = 1; room <= rooms; ++room) {
            plane.add_room(room, home(room), {});
            for (std::uint32_t csrc = 1; csrc < 100; ++csrc) plane.set_column(room, csrc, 1);
        }
    }
    ~Rooms() { plane.stop(); }
    unsigned home(RoomId room) const { return (room - 1) % plane.workers(); }

    Client& client(PeerId peer) {
        auto& made = clients[peer] = std::make_unique<Client>(static_cast<std::uint8_t>(peer));
        return *made;
    }
    Client& publisher(PeerId peer, RoomId room, std::uint32_t csrc) {
        Client& made = client(peer);
        stats[peer] = plane.add_publisher(peer, room, made.credentials(), csrc, {.payload_type = 111, .level_id = 1, .report_ssrc = 9});
        connect(peer, made, home(room));
        return made;
    }
    Client& listener(PeerId peer, RoomId room, unsigned worker, std::uint32_t csrc = 99) {
        Client& made = client(peer);
        stats[peer] = plane.add_listener(peer, worker, room, made.credentials(), csrc, {{.ssrc = 1000 + peer, .payload_type = 96}}, "room", {});
        connect(peer, made, worker);
        return made;
    }
    void connect(PeerId peer, Client& who, unsigned worker) {
        who.connect(server[peer] = plane.bound(worker)[0]);
        plane.set_keys(peer, srtp::Profile::aead_aes_128_gcm, who.material);
    }
    // One packet by the peer; the next of his.
    void speak(PeerId peer) { clients[peer]->publish(server[peer], sequences[peer]++); }
    // Until a listener hears this user, who speaks meanwhile.
    void until_heard(PeerId speaker, PeerId listener, std::uint32_t csrc) {
        std::vector<std::uint8_t> datagram;
        for (int i = 0; i < 2000; ++i) {
            speak(speaker);
            while (const auto rtp = clients[listener]->next_rtp(datagram, 1)) {
                if (rtp->csrc_count == 1 && load32(rtp->csrcs) == csrc) return;
            }
        }
        FAIL("user ", csrc, " is not heard");
    }
    // Whether a listener hears nothing of a speaker's next packets, once what was under way has come.
    bool silent(PeerId speaker, PeerId listener) {
        std::vector<std::uint8_t> datagram;
        while (clients[listener]->next_rtp(datagram, 20)) {}
        for (int i = 0; i < 10; ++i) speak(speaker);
        return !clients[listener]->next_rtp(datagram, 50);
    }

    Plane plane;
    std::map<PeerId, std::unique_ptr<Client>> clients;
    std::map<PeerId, std::shared_ptr<PeerStats>> stats;
    std::map<PeerId, Endpoint> server;
    std::map<PeerId, std::uint16_t> sequences;
};

}  // namespace

TEST_CASE("a publisher who moves to another worker's room is heard there alone, and back again") {
    Rooms rooms;
    rooms.publisher(1, 1, 7);
    rooms.listener(2, 1, 0);
    rooms.listener(3, 2, 1);
    rooms.listener(4, 2, 0);  // beside the publisher, not at the room's home
    rooms.until_heard(1, 2, 7);
    for (int round = 0; round < 3; ++round) {
        rooms.plane.move_peer(1, 2, 70, {});
        rooms.until_heard(1, 3, 70);
        rooms.until_heard(1, 4, 70);
        CHECK(rooms.silent(1, 2));
        rooms.plane.move_peer(1, 1, 7, {});
        rooms.until_heard(1, 2, 7);
        CHECK(rooms.silent(1, 3));
        CHECK(rooms.silent(1, 4));
    }
    rooms.plane.remove_peer(4, {});
    CHECK_THROWS_AS(rooms.plane.remove_room(1), std::invalid_argument);
    rooms.plane.remove_peer(1, {});
    rooms.plane.remove_peer(2, {});
    rooms.plane.remove_room(1);
}

TEST_CASE("a moved publisher may be muted, and his voice is followed all the same") {
    Rooms rooms;
    rooms.publisher(1, 1, 7);
    rooms.listener(2, 2, 1);
    rooms.plane.set_column(2, 70, 0);
    rooms.plane.move_peer(1, 2, 70, {});
    CHECK(rooms.silent(1, 2));
    CHECK(rooms.stats[1]->speaking.get());
    CHECK(rooms.stats[1]->level_dbov.get() == doctest::Approx(-20));
    CHECK(rooms.plane.stats(1).dropped_muted.get() > 0);
    for (int i = 0; i < 30 && rooms.stats[1]->speaking.get(); ++i) std::this_thread::sleep_for(milliseconds{100});
    CHECK_FALSE(rooms.stats[1]->speaking.get());  // by the peer's second: a muted voice has no tick of the room's
    rooms.plane.set_column(2, 70, 1);
    rooms.until_heard(1, 2, 70);
}

TEST_CASE("who moves to where another has his CSRC takes it over, and leaves it to him again") {
    Rooms rooms;
    rooms.publisher(1, 1, 7);
    rooms.publisher(2, 2, 7);
    rooms.listener(3, 2, 0);
    rooms.until_heard(2, 3, 7);
    rooms.plane.move_peer(1, 2, 7, {});
    rooms.until_heard(1, 3, 7);
    CHECK(rooms.silent(2, 3));
    rooms.plane.move_peer(1, 1, 7, {});
    rooms.until_heard(2, 3, 7);
    CHECK(rooms.silent(1, 3));
}

TEST_CASE("a moved listener's stream goes on, without his own voice") {
    Rooms rooms;
    rooms.publisher(1, 1, 7);
    rooms.publisher(2, 2, 8);
    Client& listener = rooms.listener(3, 1, 0);
    rooms.plane.set_sources(3, {7});
    std::vector<std::uint8_t> datagram;
    std::optional<rtp::Packet> last;
    const auto hear = [&](PeerId speaker, std::uint32_t csrc) {
        for (int heard = 0; heard < 20;) {
            rooms.speak(speaker);
            while (const auto rtp = listener.next_rtp(datagram, 1)) {
                CHECK(rtp->ssrc == 1003);
                if (last) {
                    CHECK(rtp->sequence == static_cast<std::uint16_t>(last->sequence + 1));
                    CHECK(distance32(rtp->timestamp, last->timestamp) > 0);
                }
                last = rtp;
                heard += load32(rtp->csrcs) == csrc;
            }
        }
    };
    hear(1, 7);
    rooms.plane.move_peer(3, 2, 50, {});
    hear(2, 8);
    rooms.plane.move_peer(3, 2, 8, {});
    CHECK(rooms.silent(2, 3));
    rooms.plane.move_peer(3, 1, 50, {});
    hear(1, 7);
}

TEST_CASE("removed right after a move, nothing of a publisher is left") {
    for (int i = 0; i < 20; ++i) {
        Rooms rooms;
        rooms.publisher(1, 1, 7);
        rooms.publisher(2, 1, 8);
        rooms.listener(3, 2, 1);
        rooms.speak(1);
        rooms.plane.move_peer(1, 2, 70, {});
        rooms.speak(1);
        if (i % 2) rooms.plane.move_peer(1, 1, 7, {});
        rooms.plane.remove_peer(1, {});
        rooms.plane.move_peer(1, 2, 7, {});  // he has gone
        rooms.plane.move_peer(2, 2, 8, {});
        rooms.plane.remove_room(1);
        rooms.until_heard(2, 3, 8);
        rooms.plane.remove_peer(2, {});
        rooms.plane.remove_peer(3, {});
        rooms.plane.remove_room(2);
        rooms.plane.stop();
        for (const unsigned worker : {0U, 1U}) {
            CHECK(rooms.plane.stats(worker).peers.get() == 0);
            CHECK(rooms.plane.stats(worker).rooms.get() == 0);
        }
    }
}

TEST_CASE("everybody may move while packets flow, and is where he moved last") {
    unsigned workers = 2;
    RoomId last_room = 2;
    SUBCASE("between two rooms of two workers") {}
    SUBCASE("between five rooms of three workers") {
        workers = 3;
        last_room = 5;
    }
    Rooms rooms{workers, last_room};
    std::mt19937 random{5};
    const auto any_room = [&]() -> RoomId { return 1 + random() % last_room; };
    std::map<PeerId, RoomId> place;
    for (PeerId peer = 1; peer <= 4; ++peer) {
        rooms.publisher(peer, place[peer] = any_room(), peer);
        rooms.sequences[peer] = 0;
    }
    for (PeerId peer = 5; peer <= 8; ++peer) rooms.listener(peer, place[peer] = any_room(), peer % workers);
    std::atomic<bool> running{true};
    std::thread talk{[&] {
        while (running) {
            for (PeerId peer = 1; peer <= 4; ++peer) rooms.speak(peer);
            std::this_thread::sleep_for(milliseconds{1});
        }
    }};
    for (int i = 0; i < 1000; ++i) {
        const PeerId peer = 1 + random() % 8;
        place[peer] = any_room();
        rooms.plane.move_peer(peer, place[peer], peer, {});
        if (i % 10 == 0) rooms.plane.set_column(any_room(), 1 + random() % 4, random() % 2 ? 1 : 0);
        if (i % 50 == 0) std::this_thread::sleep_for(milliseconds{2});
    }
    running = false;
    talk.join();
    for (RoomId room = 1; room <= last_room; ++room) {
        for (std::uint32_t csrc = 1; csrc <= 4; ++csrc) rooms.plane.set_column(room, csrc, 1);
    }
    for (PeerId speaker = 1; speaker <= 4; ++speaker) {
        for (PeerId listener = 5; listener <= 8; ++listener) {
            if (place[speaker] == place[listener]) {
                rooms.plane.set_sources(listener, {speaker});
                rooms.until_heard(speaker, listener, speaker);
            } else {
                CHECK(rooms.silent(speaker, listener));
            }
        }
    }
    for (PeerId peer = 1; peer <= 8; ++peer) rooms.plane.remove_peer(peer, {});
    for (RoomId room = 1; room <= last_room; ++room) rooms.plane.remove_room(room);
    rooms.plane.stop();
    for (unsigned worker = 0; worker < workers; ++worker) {
        CHECK(rooms.plane.stats(worker).peers.get() == 0);
        CHECK(rooms.plane.stats(worker).rooms.get() == 0);
        CHECK(rooms.plane.stats(worker).dropped_unauthentic.get() == 0);
    }
}

TEST_CASE("calls that could never have been right throw, calls too late do nothing") {
    Plane plane = plane_of(2);
    CHECK_THROWS_AS(plane.add_room(1, 2, {}), std::invalid_argument);
    plane.add_room(1, 0, {});
    CHECK_THROWS_AS(plane.add_room(1, 0, {}), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(1, 0, 1), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(2, 1, 1), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(1, 1, -1), std::invalid_argument);
    CHECK_THROWS_AS(plane.add_publisher(1, 1, {"abc", "short"}, 1, {}), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_keys(5, srtp::Profile::aead_aes_128_gcm, {}), std::invalid_argument);
    plane.add_listener(1, 0, 1, {"ufrag", "a-password-of-22-chars"}, 5, {{.ssrc = 1}}, "room", {});
    CHECK_THROWS_AS(plane.move_peer(1, 2, 5, {}), std::invalid_argument);
    CHECK_THROWS_AS(plane.move_peer(1, 1, 5, 3), std::invalid_argument);
    CHECK_THROWS_AS(plane.remove_room(1), std::invalid_argument);
    plane.remove_peer(1, {});
    plane.remove_peer(5, {});
    plane.move_peer(5, 1, 5, {});
    plane.send(5, {});
    plane.remove_room(9);
}

TEST_CASE("the silent are reported to each five seconds, who gives sound each second, and what they begin is ended in time") {
    Plane plane = plane_of(1);
    plane.start();
    plane.add_room(1, 0, {});
    plane.set_column(1, 7, 0);  // muted: no tick of the room ends his voice
    const Endpoint home = plane.bound(0)[0];
    Client publisher{1};
    const auto stats = plane.add_publisher(1, 1, publisher.credentials(), 7, {.payload_type = 111, .level_id = 1, .report_ssrc = 9});
    publisher.connect(home);
    plane.set_keys(1, srtp::Profile::aead_aes_128_gcm, publisher.material);
    std::uint16_t sequence = 0;
    // A packet each 100 ms; how many reports came meanwhile.
    const auto publish_for = [&](int tenths, std::uint8_t minus_dbov) {
        for (int i = 0; i < tenths; ++i) {
            publisher.publish(home, sequence++, minus_dbov);
            std::this_thread::sleep_for(milliseconds{100});
        }
        return publisher.reports();
    };
    publish_for(20, 75);  // the first report comes at once
    const int silent = publish_for(80, 75);
    CHECK(silent >= 1);
    CHECK(silent <= 2);
    CHECK_FALSE(stats->speaking.get());
    const int loud = publish_for(40, 20);
    CHECK(loud >= 3);
    CHECK(loud <= 5);
    CHECK(stats->speaking.get());
    publish_for(80, 75);  // his next turn is far again
    publish_for(1, 20);
    CHECK(stats->speaking.get());
    int tenths = 0;
    while (stats->speaking.get() && ++tenths < 40) std::this_thread::sleep_for(milliseconds{100});
    CHECK(tenths < 25);
    plane.stop();
}
