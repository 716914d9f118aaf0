// The edge of the load generator: one thread, one socket for each client, so that a server sees as many peers as there are.
//
// Methods are called from one other thread. They wait for the loop's pass at most, a few ms.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <unordered_map>

#include "client.hpp"
#include "path.hpp"
#include "stamp.hpp"
#include "worker.hpp"

namespace load {

using ClientId = std::uint32_t;

struct Event {
    Happened what = Happened::datagram;
    ClientId client = 0;
    std::vector<std::uint8_t> data;
};

struct Snapshot {
    Measured measured;
    Tally tally;                // of all listeners
    std::uint64_t silent = 0;   // listeners with keys who have heard nothing
    double cpu_s = 0;           // of the thread
    std::uint64_t send_failures = 0;
    std::uint64_t events_dropped = 0;
};

struct Outcome {
    bool listener = false, connected = false;
    plane::Instant first{}, last{};  // packets of RTP: received by a listener, sent by a speaker (last only)
    std::uint64_t packets = 0;       // the same
    Tally tally;
};

class Generator {
public:
    // Events that wait for the other thread. DTLS repeats what is dropped beyond.
    static constexpr std::size_t max_events = 1 << 16;

    // Datagrams that the network model holds: 5,000 listeners of 50 packets a second behind 250 ms. More costs memory, 300 bytes
    // each; what comes beyond is lost, and counted.
    static constexpr std::size_t max_held = 1 << 16;

    // bind: address of the clients' sockets. up, down: the network of each, on its way to the server and back.
    // std::system_error when epoll or an eventfd is not to be had.
    explicit Generator(const std::string& bind, const PathConfig& up = {}, const PathConfig& down = {}, std::uint64_t seed = 0);
    ~Generator();
    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    void start();
    void stop();
    int event_fd() const noexcept { return events_bell_.fd(); }
    std::vector<Event> poll();

    // std::system_error when there is no socket for it, std::invalid_argument when its sound or its candidates cannot be used.
    ClientId add(ClientConfig config);
    void send(ClientId client, plane::Bytes datagram);
    bool set_keys(ClientId client, plane::srtp::Profile profile, plane::Bytes material, bool we_are_client);
    // Says goodbye and closes the socket; its outcome stays.
    void leave(ClientId client);
    // All speakers fall silent: what is on its way comes, and then nothing more.
    void hush();

    Snapshot snapshot();
    Outcome outcome(ClientId client);
    std::size_t clients();

private:
    class Peer;
    void run();
    void receive(ClientId id);
    void deliver(Peer& peer, plane::Instant arrival, plane::Duration waited, const plane::Endpoint& from, plane::MutableBytes datagram);
    void release(plane::Instant now);
    void advance(plane::Instant now);
    void schedule(ClientId id);

    struct Timer {
        plane::Instant due;
        ClientId client;
        bool operator>(const Timer& other) const noexcept { return due > other.due; }
    };

    // A datagram on its way through the network model.
    struct Held {
        plane::Instant due;
        std::uint64_t order = 0;  // of those of one instant
        ClientId client = 0;
        enum class Fate : std::uint8_t { up, down, lost } fate = Fate::up;  // lost: on its way down, when all before it have come
        plane::Endpoint other;    // where it goes, or came from
        std::vector<std::uint8_t> data;
        bool operator>(const Held& more) const noexcept { return due != more.due ? due > more.due : order > more.order; }
    };
    // False: there is no room.
    bool hold(plane::Instant due, ClientId client, Held::Fate fate, const plane::Endpoint& other, plane::Bytes data);

    plane::Endpoint bind_;
    PathConfig up_, down_;
    std::uint64_t seed_;
    int epoll_ = -1;
    plane::Bell bell_, events_bell_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;

    std::mutex mutex_;  // of all below; the loop lets go of it while it waits
    std::vector<std::unique_ptr<Peer>> peers_;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::vector<Held> held_;  // a heap, the next in front
    std::uint64_t held_ever_ = 0;
    Stamps stamps_;
    std::unordered_map<std::uint32_t, std::shared_ptr<Board>> boards_;  // by room
    std::vector<Event> events_;
    Measured measured_;
    double cpu_s_ = 0;
    std::uint64_t send_failures_ = 0, events_dropped_ = 0;
};

}  // namespace load
