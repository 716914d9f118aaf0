#include "tcp.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace plane {

namespace {

// What one connection may hand in before the others get their turn: 20 packets of voice.
constexpr std::size_t read_slice = 4096;
// Connections that one pass serves; the rest come with the next.
constexpr std::size_t ready_batch = 32;
constexpr int accept_batch = 16;
// What a stranger may send before his first authenticated request: some checks.
constexpr std::size_t unproved_bytes = 4096;
// What goes to the kernel at a time.
constexpr std::size_t queue_size = 12'288;
// Sent by us but not yet by the kernel: 0.3 s of four voices. More is audio that comes too late to be played; less
// would drop on every dip of the congestion window.
constexpr int unsent_limit = 8192;
// In the kernel. In flight are 200 packets at most, a second of four voices; each counts with 1.3 kB there.
constexpr int send_buffer = 128 << 10, receive_buffer = 64 << 10;
// As for consent (RFC 7675): whoever acknowledges nothing for so long is gone.
constexpr int unacknowledged_ms = 30'000;
constexpr int backlog = 256;

// What epoll tells: a connection's number, or one of these.
constexpr std::uint32_t listener_mark = 1U << 16;
constexpr std::uint32_t timer_mark = 1U << 31;

void set_option(int fd, int level, int name, int value) noexcept { setsockopt(fd, level, name, &value, sizeof value); }

// One client's worth of addresses: IPv4 as it is, and of IPv6 the /64.
std::uint64_t network_of(const Endpoint& endpoint) noexcept {
    const Bytes address = endpoint.address();
    return endpoint.is_ipv6() ? load64(address.data()) : load32(address.data());
}

}  // namespace

struct TcpServer::Connection {
    Connection(int accepted, const Endpoint& from, Instant until) : fd{accepted}, remote{from}, deadline{until} {}

    int fd;
    Endpoint remote;
    Instant deadline;       // of the one that is not proved, or is ending
    Deframer deframer{};
    std::size_t strange = 0;  // bytes before it was proved
    bool proved = false;
    bool ending = false;    // nothing more is said or heard
    bool broken = false;    // to be closed by the next flush
    bool queued = false;    // in queue_
    bool blocked = false;   // the kernel takes no more
    std::size_t begin = 0, end = 0;  // of what is queued in `out`
    std::array<std::uint8_t, queue_size> out;
};

TcpServer::TcpServer(std::size_t capacity)
    : epoll_{epoll_create1(EPOLL_CLOEXEC)},
      timer_{timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)},
      capacity_{std::min(capacity, max_connections)} {
    if (epoll_ < 0 || timer_ < 0 || !watch(EPOLL_CTL_ADD, timer_, EPOLLIN, timer_mark)) {
        throw std::system_error(errno, std::generic_category(), "epoll or timerfd");
    }
    queue_.reserve(capacity_);
}

TcpServer::~TcpServer() {
    for (const auto& connection : connections_) {
        if (connection) close(connection->fd);
    }
    for (const int fd : listeners_) close(fd);
    close(timer_);
    close(epoll_);
}

std::string TcpServer::listen(const Endpoint& bind_to) {
    const int fd = socket(bind_to.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto fail = [&] {
        const std::string reason = std::generic_category().message(errno);
        if (fd >= 0) close(fd);
        return reason;
    };
    if (fd < 0) return fail();
    // A server that starts again finds the last one's connections in TIME_WAIT.
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // Connections inherit these. DSCP EF as for UDP.
    if (bind_to.is_ipv6()) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, 46 << 2);
    } else {
        set_option(fd, IPPROTO_IP, IP_TOS, 46 << 2);
    }
    set_option(fd, SOL_SOCKET, SO_SNDBUF, send_buffer);
    set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_limit);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, unacknowledged_ms);
    if (bind(fd, bind_to.raw(), bind_to.raw_size()) != 0 || ::listen(fd, backlog) != 0) return fail();
    Endpoint address;
    socklen_t size = Endpoint::capacity;
    if (getsockname(fd, address.raw(), &size) != 0) return fail();
    if (!watch(EPOLL_CTL_ADD, fd, EPOLLIN, listener_mark + static_cast<std::uint32_t>(listeners_.size()))) return fail();
    listeners_.push_back(fd);
    bound_.push_back(address);
    return {};
}

void TcpServer::receive(Instant now, const Sink& sink, WorkerStats& stats) {
    std::array<epoll_event, ready_batch> ready;
    const int count = epoll_wait(epoll_, ready.data(), ready.size(), 0);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<std::size_t>(i)];
        if (event.data.u32 == timer_mark) {
            tick(now, stats);
        } else if (event.data.u32 >= listener_mark) {
            accept(listeners_[event.data.u32 - listener_mark], now, stats);
        } else {
            const auto id = static_cast<ConnectionId>(event.data.u32);
            if (event.events & EPOLLOUT) queue(id);
            if (event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) read(id, sink, stats);
        }
    }
}

void TcpServer::accept(int listener, Instant now, WorkerStats& stats) {
    for (int i = 0; i < accept_batch; ++i) {
        Endpoint remote;
        socklen_t size = Endpoint::capacity;
        const int fd = accept4(listener, remote.raw(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            // No descriptors or no memory: to ask again at once would not help, and would use a CPU.
            if (errno != EAGAIN && errno != EWOULDBLOCK) pause(true);
            return;
        }
        remote = remote.over_tcp();
        const std::uint64_t network = network_of(remote);
        const auto found = networks_.find(network);
        const Population near = found == networks_.end() ? Population{} : found->second;
        if (population_.all >= capacity_ || population_.unproved >= capacity_ / 2 || near.all >= max_connections_per_network ||
            near.unproved >= max_unproved_per_network) {
            close(fd);
            stats.tcp_refused.add(1);
            continue;
        }
        ConnectionId id;
        if (free_.empty()) {
            id = static_cast<ConnectionId>(connections_.size());
            connections_.emplace_back();
        } else {
            id = free_.back();
            free_.pop_back();
        }
        connections_[id] = std::make_unique<Connection>(fd, remote, now + unproved_lifetime);
        for (Population* population : {&population_, &networks_[network]}) {
            ++population->all;
            ++population->unproved;
        }
        stats.tcp_connections.set(population_.all);
        if (!watch(EPOLL_CTL_ADD, fd, EPOLLIN, id)) close_connection(id, stats);
        set_ticking();
    }
}

void TcpServer::read(ConnectionId id, const Sink& sink, WorkerStats& stats) {
    Connection& connection = *connections_[id];
    if (connection.broken) return;
    std::array<std::uint8_t, read_slice> slice;
    const ssize_t count = recv(connection.fd, slice.data(), slice.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool good = count > 0;
    if (good && !connection.ending) {
        const auto size = static_cast<std::size_t>(count);
        stats.bytes_received.add(size);
        if (!connection.proved) connection.strange += size;
        good = connection.deframer.feed({slice.data(), size}, [&](Bytes packet) {
            if (connection.ending) return;
            stats.tcp_frames_received.add(1);
            sink(packet, connection.remote, id);
        });
        if (!good) stats.dropped_malformed.add(1);
        if (!connection.proved && connection.strange > unproved_bytes) good = false;
    }
    if (!good) {
        connection.broken = true;
        queue(id);
    }
}

void TcpServer::prove(ConnectionId id) noexcept {
    Connection& connection = *connections_[id];
    if (std::exchange(connection.proved, true)) return;
    --population_.unproved;
    --networks_[network_of(connection.remote)].unproved;
}

void TcpServer::commit(std::size_t size, const Endpoint& to, ConnectionId id, WorkerStats& stats) noexcept {
    Connection* connection = find(id, to);
    const std::size_t framed = frame_header + size;
    if (connection && connection->end + framed > queue_size && !connection->blocked && !connection->broken) write(*connection, id);
    // Blocked: the peer does not read, or its network is slower than its audio. What is new is worth no more than what
    // waits already, and to keep it would only make all of it later.
    if (!connection || connection->blocked || connection->ending || connection->broken) return stats.dropped_send.add(1);
    store16(scratch_.data(), static_cast<std::uint16_t>(size));
    std::memcpy(connection->out.data() + connection->end, scratch_.data(), framed);
    connection->end += framed;
    queue(id);
    stats.tcp_frames_sent.add(1);
    stats.bytes_sent.add(framed);
}

void TcpServer::flush(std::vector<Endpoint>& lost, WorkerStats& stats) noexcept {
    for (const ConnectionId id : queue_) {
        Connection& connection = *connections_[id];
        connection.queued = false;
        if (!connection.broken) write(connection, id);
        if (!connection.broken) continue;
        lost.push_back(connection.remote);
        close_connection(id, stats);
    }
    queue_.clear();
}

void TcpServer::write(Connection& connection, ConnectionId id) noexcept {
    while (connection.begin < connection.end) {
        // MSG_EOR: what is sent next is not put into the same buffer of the kernel, which would pass its limit.
        const ssize_t count = send(connection.fd, connection.out.data() + connection.begin, connection.end - connection.begin,
                                   MSG_NOSIGNAL | MSG_EOR);
        if (count > 0) {
            connection.begin += static_cast<std::size_t>(count);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!std::exchange(connection.blocked, true)) watch(EPOLL_CTL_MOD, connection.fd, EPOLLIN | EPOLLOUT, id);
            return;
        } else if (errno != EINTR) {
            connection.broken = true;
            return;
        }
    }
    connection.begin = connection.end = 0;
    if (std::exchange(connection.blocked, false)) watch(EPOLL_CTL_MOD, connection.fd, EPOLLIN, id);
    if (connection.ending) shutdown(connection.fd, SHUT_WR);
}

void TcpServer::end(ConnectionId id, const Endpoint& of, Instant now) noexcept {
    Connection* connection = find(id, of);
    if (!connection || std::exchange(connection->ending, true)) return;
    connection->deadline = now + ending_lifetime;
    queue(id);
}

void TcpServer::tick(Instant now, WorkerStats& stats) noexcept {
    std::uint64_t expirations;
    [[maybe_unused]] const auto got = ::read(timer_, &expirations, sizeof expirations);
    if (paused_) pause(false);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        if (!connections_[i]) continue;
        Connection& connection = *connections_[i];
        if ((connection.proved && !connection.ending) || now < connection.deadline) continue;
        if (!connection.proved) stats.tcp_refused.add(1);
        connection.broken = true;
        queue(static_cast<ConnectionId>(i));
    }
    set_ticking();
}

void TcpServer::queue(ConnectionId id) noexcept {
    if (!std::exchange(connections_[id]->queued, true)) queue_.push_back(id);
}

void TcpServer::close_connection(ConnectionId id, WorkerStats& stats) noexcept {
    Connection& connection = *connections_[id];
    close(connection.fd);  // leaves the epoll set by that
    const auto found = networks_.find(network_of(connection.remote));
    for (Population* population : {&population_, &found->second}) {
        --population->all;
        if (!connection.proved) --population->unproved;
    }
    if (found->second.all == 0) networks_.erase(found);
    connections_[id].reset();
    free_.push_back(id);
    stats.tcp_connections.set(population_.all);
}

TcpServer::Connection* TcpServer::find(ConnectionId id, const Endpoint& of) noexcept {
    Connection* connection = id < connections_.size() ? connections_[id].get() : nullptr;
    return connection && connection->remote == of ? connection : nullptr;
}

bool TcpServer::watch(int operation, int fd, std::uint32_t events, std::uint32_t what) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.u32 = what;
    return epoll_ctl(epoll_, operation, fd, &event) == 0;
}

void TcpServer::pause(bool paused) noexcept {
    paused_ = paused;
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
        watch(EPOLL_CTL_MOD, listeners_[i], paused ? 0U : std::uint32_t{EPOLLIN}, listener_mark + static_cast<std::uint32_t>(i));
    }
    set_ticking();
}

// The clock runs while there is somebody whose time can be over.
void TcpServer::set_ticking() noexcept {
    const bool wanted = population_.all != 0 || paused_;
    if (wanted == ticking_) return;
    ticking_ = wanted;
    itimerspec interval{};
    if (wanted) interval.it_value.tv_sec = interval.it_interval.tv_sec = 1;
    timerfd_settime(timer_, 0, &interval, nullptr);
}

}  // namespace plane
