// ICE-TCP (RFC 6544): clients whose network lets no UDP out connect to us, and send the same packets in frames (RFC 4571).
//
// Nothing waits for a peer, and nothing grows: what a connection does not take at once is dropped, as UDP would.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "clock.hpp"
#include "endpoint.hpp"
#include "framing.hpp"
#include "stats.hpp"

namespace plane {

// A connection's number; it is used again after the connection's end, so it counts together with the peer's address.
using ConnectionId = std::uint16_t;

// Per worker. Each holds 14 kB here; its buffers in the kernel may grow to 400 kB, if both sides fill them.
constexpr std::size_t max_connections = 2048;
// Per IPv4 address or IPv6 /64. An office behind one address has four for each user (two sessions, and Chromium makes two
// for each); more is one host that wants all.
constexpr std::size_t max_connections_per_network = 512;
// A client's first check follows its connection at once: this leaves time for some losses on a slow network.
constexpr Duration unproved_lifetime = seconds{5};
// Of those that have not proved yet that they belong to a peer.
constexpr std::size_t max_unproved_per_network = 64;
// After the last packet: so long a peer may take to close as well. Closing first would cost it what it has not read.
constexpr Duration ending_lifetime = seconds{2};

class TcpServer {
public:
    explicit TcpServer(std::size_t capacity = max_connections);
    ~TcpServer();
    TcpServer(const TcpServer&) = delete;
    TcpServer& operator=(const TcpServer&) = delete;

    // Another address to listen on; "" or why not, in the system's words.
    std::string listen(const Endpoint& bind);
    // What listen() bound, in its order.
    const std::vector<Endpoint>& bound() const noexcept { return bound_; }

    // Readable when receive() has something to do.
    int fd() const noexcept { return epoll_; }

    using Sink = std::function<void(Bytes packet, const Endpoint& from, ConnectionId)>;
    // Accepts, reads a slice of each connection that has something, and closes those whose time is over.
    void receive(Instant now, const Sink& sink, WorkerStats& stats);

    // An authenticated request came over it: it belongs to a peer, and may stay as long as that.
    void prove(ConnectionId) noexcept;

    // Space for one outgoing packet of at most max_datagram bytes.
    MutableBytes reserve() noexcept { return {scratch_.data() + frame_header, max_datagram}; }
    // Queues what was written to the reserved space; drops it when the connection is another's by now, or is full.
    void commit(std::size_t size, const Endpoint& to, ConnectionId, WorkerStats& stats) noexcept;
    // Sends what is queued. Adds the addresses of connections that are gone to `lost`.
    void flush(std::vector<Endpoint>& lost, WorkerStats& stats) noexcept;
    bool has_work() const noexcept { return !queue_.empty(); }

    // Ends it after what is queued.
    void end(ConnectionId, const Endpoint& of, Instant now) noexcept;

private:
    struct Connection;
    struct Population {
        std::size_t all = 0, unproved = 0;
    };

    void accept(int listener, Instant now, WorkerStats& stats);
    void read(ConnectionId, const Sink& sink, WorkerStats& stats);
    void tick(Instant now, WorkerStats& stats) noexcept;
    void write(Connection& connection, ConnectionId) noexcept;
    void queue(ConnectionId) noexcept;
    void close_connection(ConnectionId, WorkerStats& stats) noexcept;
    Connection* find(ConnectionId, const Endpoint& of) noexcept;
    bool watch(int operation, int fd, std::uint32_t events, std::uint32_t what) noexcept;
    void pause(bool paused) noexcept;
    void set_ticking() noexcept;

    int epoll_ = -1;  // of our own inside the worker's: it need not know connections
    int timer_ = -1;
    bool ticking_ = false, paused_ = false;
    std::vector<int> listeners_;
    std::vector<Endpoint> bound_;
    std::size_t capacity_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<ConnectionId> free_;
    std::vector<ConnectionId> queue_;  // have something to send, or are to be closed
    Population population_;
    std::unordered_map<std::uint64_t, Population> networks_;
    std::array<std::uint8_t, frame_header + max_datagram> scratch_;
};

}  // namespace plane
