// The whole plane, with real sockets on loopback: joins, forwarding over two workers, leaving in mid-stream.
#include <doctest/doctest.h>

#include <poll.h>
#include <unistd.h>

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
    void publish(const Endpoint& server, std::uint16_t sequence) const {
        std::array<std::uint8_t, 128> packet;
        const std::array<std::uint8_t, 1> level{20};
        const rtp::Element element{1, level};
        const std::size_t header = rtp::write_header(packet, {false, 111, sequence, sequence * 960U, 5}, {}, {&element, 1});
        const std::array<std::uint8_t, 40> payload{0x78};
        const std::size_t size = sealer->rtp(sequence, header, payload, packet);
        send(server, {packet.data(), size});
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

Plane two_workers() {
    const auto any = *Endpoint::from_text("127.0.0.1", 0);
    return Plane{{{any}, {any}}};
}

}  // namespace

TEST_CASE("a publisher is heard by listeners on both workers, in order, under one SSRC each") {
    Plane plane = two_workers();
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
    Plane plane = two_workers();
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

TEST_CASE("calls that could never have been right throw, calls too late do nothing") {
    Plane plane = two_workers();
    CHECK_THROWS_AS(plane.add_room(1, 2, {}), std::invalid_argument);
    plane.add_room(1, 0, {});
    CHECK_THROWS_AS(plane.add_room(1, 0, {}), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(1, 0, 1), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(2, 1, 1), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_column(1, 1, -1), std::invalid_argument);
    CHECK_THROWS_AS(plane.add_publisher(1, 1, {"abc", "short"}, 1, {}), std::invalid_argument);
    CHECK_THROWS_AS(plane.set_keys(5, srtp::Profile::aead_aes_128_gcm, {}), std::invalid_argument);
    plane.remove_peer(5, {});
    plane.send(5, {});
    plane.remove_room(9);
}
