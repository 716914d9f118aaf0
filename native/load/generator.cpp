#include "generator.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace load {

using namespace plane;

namespace {

constexpr std::uint64_t bell_key = ~std::uint64_t{0};
constexpr int max_ready = 256;       // sockets in one pass
constexpr std::size_t datagram_size = 2048;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

double thread_cpu_s() noexcept {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
}

}  // namespace

// A client, its socket, and the way of its words to the generator.
class Generator::Peer final : public Outbox {
public:
    Peer(Generator& generator, ClientId id, ClientConfig config, Instant now)
        : client{std::move(config), now}, generator_{generator}, id_{id} {
        fd = socket(generator.bind_.is_ipv6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) fail("no socket for another peer");
        if (bind(fd, generator.bind_.raw(), generator.bind_.raw_size()) != 0) {
            const int error = errno;
            close();
            errno = error;
            fail("cannot bind a peer's socket to " + generator.bind_.address_text());
        }
    }
    ~Peer() override { close(); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void close() noexcept {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }

    void send(const Endpoint& to, Bytes datagram) override {
        if (fd < 0) return;
        const ssize_t sent = sendto(fd, datagram.data(), datagram.size(), 0, to.raw(), to.raw_size());
        if (sent < 0) {
            ++generator_.send_failures_;
        } else {
            ++generator_.measured_.datagrams_sent;
        }
    }

    void tell(Happened what, Bytes data) override {
        if (generator_.events_.size() >= max_events) {
            ++generator_.events_dropped_;
            return;
        }
        if (generator_.events_.empty()) generator_.events_bell_.ring();
        generator_.events_.push_back({what, id_, {data.begin(), data.end()}});
    }

    int fd = -1;
    Client client;
    Instant scheduled = Instant::max();

private:
    Generator& generator_;
    ClientId id_;
};

Generator::Generator(const std::string& bind) {
    const auto endpoint = Endpoint::from_text(bind, 0);
    if (!endpoint) throw std::invalid_argument("not an IP address: " + bind);
    bind_ = *endpoint;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll");
    epoll_event event{.events = EPOLLIN, .data = {.u64 = bell_key}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_.fd(), &event);
}

Generator::~Generator() {
    stop();
    peers_.clear();
    if (epoll_ >= 0) close(epoll_);
}

void Generator::start() {
    if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
}

void Generator::stop() {
    stopping_ = true;
    bell_.ring();
    if (thread_.joinable()) thread_.join();
}

std::vector<Event> Generator::poll() {
    const std::lock_guard lock{mutex_};
    events_bell_.clear();
    return std::exchange(events_, {});
}

ClientId Generator::add(ClientConfig config) {
    if (config.speaking) {
        if (!config.speaking->sound || config.speaking->sound->frames.empty()) throw std::invalid_argument("a speaker needs a sound");
        std::array<std::uint8_t, 1500> out;
        for (const Frame& frame : config.speaking->sound->frames) {
            if (frame.payload.size() > 1275 || write_marked(out, frame.payload, {}) == 0) {
                throw std::invalid_argument("a sound's packets have one frame of Opus each");
            }
        }
    }
    for (const Endpoint& candidate : config.agent.candidates) {
        if (candidate.is_ipv6() != bind_.is_ipv6()) throw std::invalid_argument("a candidate is of another family than the sockets");
    }
    const std::lock_guard lock{mutex_};
    const auto id = static_cast<ClientId>(peers_.size());
    auto peer = std::make_unique<Peer>(*this, id, std::move(config), Clock::now());
    epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, peer->fd, &event) != 0) fail("epoll");
    peers_.push_back(std::move(peer));
    schedule(id);
    bell_.ring();
    return id;
}

void Generator::send(ClientId client, Bytes datagram) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    peer.client.send(datagram, peer);
}

bool Generator::set_keys(ClientId client, srtp::Profile profile, Bytes material, bool we_are_client) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    const bool before = peer.client.connected();
    if (!peer.client.set_keys(Clock::now(), profile, material, we_are_client)) return false;
    if (!before && peer.client.connected()) ++measured_.connected;
    schedule(client);
    bell_.ring();
    return true;
}

void Generator::leave(ClientId client) {
    const std::lock_guard lock{mutex_};
    Peer& peer = *peers_.at(client);
    peer.client.leave(peer);
    peer.close();
}

void Generator::hush() {
    const std::lock_guard lock{mutex_};
    for (const auto& peer : peers_) peer->client.hush();
}

Snapshot Generator::snapshot() {
    const std::lock_guard lock{mutex_};
    Snapshot result{measured_, {}, 0, cpu_s_, send_failures_, events_dropped_};
    for (const auto& peer : peers_) {
        const Hearing* hearing = peer->client.hearing();
        if (!hearing) continue;
        result.tally += hearing->tally();
        result.silent += peer->client.connected() && hearing->first() == Instant{};
    }
    return result;
}

Outcome Generator::outcome(ClientId client) {
    const std::lock_guard lock{mutex_};
    const Client& peer = peers_.at(client)->client;
    if (const Hearing* hearing = peer.hearing()) {
        const Tally tally = hearing->tally();
        return {true, peer.connected(), hearing->first(), hearing->last(), tally.packets, tally};
    }
    return {false, peer.connected(), {}, peer.last_sent(), peer.packets_sent(), {}};
}

std::size_t Generator::clients() {
    const std::lock_guard lock{mutex_};
    return peers_.size();
}

void Generator::run() {
    std::array<epoll_event, max_ready> ready;
    std::unique_lock lock{mutex_};
    while (!stopping_) {
        advance(Clock::now());
        cpu_s_ = thread_cpu_s();
        timespec wait{1, 0};
        if (!timers_.empty()) {
            const auto ns = std::clamp<std::int64_t>((timers_.top().due - Clock::now()) / nanoseconds{1}, 0, 999'999'999);
            wait = {0, static_cast<long>(ns)};
        }
        lock.unlock();
        const int count = epoll_pwait2(epoll_, ready.data(), max_ready, &wait, nullptr);
        lock.lock();
        for (int i = 0; i < count; ++i) {
            const std::uint64_t key = ready[static_cast<std::size_t>(i)].data.u64;
            if (key == bell_key) {
                bell_.clear();
            } else {
                // Read anew for each: what the ones before cost is no delay of the server's.
                receive(static_cast<ClientId>(key), Clock::now());
            }
        }
    }
    cpu_s_ = thread_cpu_s();
}

void Generator::receive(ClientId id, Instant now) {
    Peer& peer = *peers_[id];
    if (peer.fd < 0) return;
    // One: to ask for more that is rarely there would cost as much again, and epoll tells of the rest in the next pass.
    std::array<std::uint8_t, datagram_size> datagram;
    Endpoint from;
    socklen_t size = Endpoint::capacity;
    const ssize_t got = recvfrom(peer.fd, datagram.data(), datagram.size(), 0, from.raw(), &size);
    if (got < 0) return;  // the echo of an ICMP error
    ++measured_.datagrams_received;
    peer.client.receive(now, from, MutableBytes{datagram}.first(static_cast<std::size_t>(got)), peer, measured_);
    schedule(id);
}

void Generator::advance(Instant now) {
    while (!timers_.empty() && timers_.top().due <= now) {
        const Timer timer = timers_.top();
        timers_.pop();
        Peer& peer = *peers_[timer.client];
        if (peer.scheduled != timer.due) continue;  // there is another one
        peer.scheduled = Instant::max();
        peer.client.advance(now, peer, measured_);
        schedule(timer.client);
    }
}

void Generator::schedule(ClientId id) {
    Peer& peer = *peers_[id];
    const Instant due = peer.client.due();
    if (due >= peer.scheduled) return;
    peer.scheduled = due;
    timers_.push({due, id});
}

}  // namespace load
