// Connections with real sockets on loopback; time is the test's, but for the clock that wakes the server each second.
#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tcp.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

struct Client {
    explicit Client(const Endpoint& server) : fd{socket(AF_INET, SOCK_STREAM, 0)} {
        REQUIRE(connect(fd, server.raw(), server.raw_size()) == 0);
    }
    ~Client() { close(fd); }
    Client(const Client&) = delete;

    void send(const std::string& bytes) const {
        REQUIRE(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    // What comes until the other side closes, or nothing has come for so long.
    std::string receive(int quiet_ms = 200) const {
        std::string all;
        std::array<char, 65536> piece;
        for (pollfd ready{fd, POLLIN, 0}; ::poll(&ready, 1, quiet_ms) == 1;) {
            const ssize_t count = recv(fd, piece.data(), piece.size(), 0);
            if (count <= 0) break;
            all.append(piece.data(), static_cast<std::size_t>(count));
        }
        return all;
    }

    int fd;
};

struct Server {
    explicit Server(std::size_t capacity = max_connections) : tcp{capacity} {
        REQUIRE(tcp.listen(*Endpoint::from_text("127.0.0.1", 0)).empty());
    }

    const Endpoint& address() const { return tcp.bound().front(); }

    // Passes of the loop until `done()`, for 3 s at most.
    template <class Done>
    bool serve(Done&& done, Instant now = start) {
        for (int pass = 0; pass < 300; ++pass) {
            if (done()) return true;
            pollfd ready{tcp.fd(), POLLIN, 0};
            ::poll(&ready, 1, 10);
            tcp.receive(now, [&](Bytes packet, const Endpoint& from, ConnectionId id) {
                packets.emplace_back(packet.begin(), packet.end());
                last_from = from;
                last_id = id;
            }, stats);
            tcp.flush(lost, stats);
        }
        return done();
    }

    void send(const std::string& text, const Endpoint& to, ConnectionId id) {
        const MutableBytes space = tcp.reserve();
        std::copy(text.begin(), text.end(), space.begin());
        tcp.commit(text.size(), to, id, stats);
    }

    TcpServer tcp;
    WorkerStats stats;
    std::vector<std::string> packets;
    std::vector<Endpoint> lost;
    Endpoint last_from;
    ConnectionId last_id = 0;
};

std::string framed(const std::string& text) {
    return std::string{static_cast<char>(text.size() >> 8), static_cast<char>(text.size())} + text;
}

}  // namespace

TEST_CASE("packets go both ways over a connection") {
    Server server;
    const Client client{server.address()};
    client.send(framed("hello") + framed("") + framed("again").substr(0, 3));
    REQUIRE(server.serve([&] { return server.packets.size() == 1; }));
    client.send(framed("again").substr(3));
    REQUIRE(server.serve([&] { return server.packets.size() == 2; }));
    CHECK(server.packets == std::vector<std::string>{"hello", "again"});
    CHECK(server.last_from.is_tcp());
    server.send("answer", server.last_from, server.last_id);
    server.send(std::string(max_datagram, 'x'), server.last_from, server.last_id);
    server.tcp.flush(server.lost, server.stats);
    CHECK(client.receive() == framed("answer") + framed(std::string(max_datagram, 'x')));
    CHECK(server.stats.tcp_frames_sent.get() == 2);
    CHECK(server.stats.tcp_frames_received.get() == 2);
}

TEST_CASE("who does not read costs a bounded queue, and then gets whole packets") {
    Server server;
    const Client client{server.address()};
    client.send(framed("hello"));
    REQUIRE(server.serve([&] { return server.packets.size() == 1; }));
    server.tcp.prove(server.last_id);
    const std::size_t count = 20'000;
    for (std::size_t i = 0; i < count; ++i) {
        server.send(std::to_string(i) + std::string(1000, '.'), server.last_from, server.last_id);
        if (i % 40 == 0) server.tcp.flush(server.lost, server.stats);
    }
    CHECK(server.stats.dropped_send.get() > count / 2);
    CHECK(server.lost.empty());
    std::string all;
    server.serve([&] {
        const std::string more = client.receive(20);
        all += more;
        return more.empty();
    });
    Deframer deframer;
    std::size_t seen = 0;
    int last = -1;
    CHECK(deframer.feed({reinterpret_cast<const std::uint8_t*>(all.data()), all.size()}, [&](Bytes packet) {
        const int number = std::stoi(std::string{packet.begin(), packet.end()});
        CHECK(number > last);
        last = number;
        ++seen;
    }));
    CHECK(seen == server.stats.tcp_frames_sent.get());
    CHECK(seen + server.stats.dropped_send.get() == count);
}

TEST_CASE("a packet for somebody else's connection is dropped") {
    Server server;
    const Client client{server.address()};
    client.send(framed("hello"));
    REQUIRE(server.serve([&] { return server.packets.size() == 1; }));
    server.send("secret", server.address().over_tcp(), server.last_id);
    server.send("secret", server.last_from, static_cast<ConnectionId>(server.last_id + 1));
    server.tcp.flush(server.lost, server.stats);
    CHECK(client.receive(50).empty());
    CHECK(server.stats.dropped_send.get() == 2);
}

TEST_CASE("what has no frames is closed and its address reported") {
    Server server;
    const Client client{server.address()};
    client.send("GET / HTTP/1.1\r\n\r\n");
    REQUIRE(server.serve([&] { return !server.lost.empty(); }));
    CHECK(server.lost.front().is_tcp());
    CHECK(server.packets.empty());
    CHECK(server.stats.tcp_connections.get() == 0);
}

TEST_CASE("strangers are bounded, and their time is") {
    Server server;
    std::vector<std::unique_ptr<Client>> clients;
    for (std::size_t i = 0; i < max_unproved_per_network + 5; ++i) clients.push_back(std::make_unique<Client>(server.address()));
    REQUIRE(server.serve([&] { return server.stats.tcp_refused.get() == 5; }));
    CHECK(server.stats.tcp_connections.get() == max_unproved_per_network);
    clients[0]->send(framed("hello"));
    REQUIRE(server.serve([&] { return server.packets.size() == 1; }));
    server.tcp.prove(server.last_id);
    server.tcp.prove(server.last_id);
    REQUIRE(server.serve([&] { return server.stats.tcp_connections.get() == 1; }, start + unproved_lifetime));
    CHECK(server.lost.size() == max_unproved_per_network - 1);
}

TEST_CASE("all connections of a worker are bounded") {
    Server server{4};
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 6; ++i) {
        clients.push_back(std::make_unique<Client>(server.address()));
        clients.back()->send(framed("hello"));
        const auto before = server.packets.size() + server.stats.tcp_refused.get();
        REQUIRE(server.serve([&] { return server.packets.size() + server.stats.tcp_refused.get() > before; }));
        if (server.stats.tcp_refused.get() == 0) server.tcp.prove(server.last_id);
    }
    CHECK(server.stats.tcp_connections.get() == 4);
    CHECK(server.stats.tcp_refused.get() == 2);
}

TEST_CASE("a connection that is ended sends what is queued, hears nothing more, and goes when the peer closes") {
    Server server;
    auto client = std::make_unique<Client>(server.address());
    client->send(framed("hello"));
    REQUIRE(server.serve([&] { return server.packets.size() == 1; }));
    server.tcp.prove(server.last_id);
    server.send("farewell", server.last_from, server.last_id);
    server.tcp.end(server.last_id, server.last_from, start);
    client->send(framed("still talking"));
    server.serve([pass = 0]() mutable { return ++pass > 5; });
    CHECK(client->receive() == framed("farewell"));
    CHECK(server.packets.size() == 1);
    server.send("more", server.last_from, server.last_id);
    CHECK(server.stats.dropped_send.get() == 1);
    client.reset();
    REQUIRE(server.serve([&] { return server.stats.tcp_connections.get() == 0; }));
}
