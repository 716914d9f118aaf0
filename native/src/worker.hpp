// One thread, one port of UDP and TCP, all the peers on it. Nothing here is locked: a peer, a room, a source and an audience have
// one owner.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audience.hpp"
#include "bell.hpp"
#include "messages.hpp"
#include "queue.hpp"
#include "reports.hpp"
#include "room.hpp"
#include "tcp.hpp"
#include "udp.hpp"

namespace plane {

class Worker {
public:
    // Binds its sockets: std::system_error when one cannot be bound. tcp_capacity: connections at a time, with 0 it does
    // not listen on TCP. events_bell rings when `events` has something. kernels: set before a room mixes.
    Worker(unsigned number, unsigned worker_count, std::span<const Endpoint> binds, std::size_t tcp_capacity,
           Bell& events_bell, const Kernels& kernels, const NtpClock& ntp);
    ~Worker();

    // The thread's body; returns after command::Stop.
    void run(std::span<const std::unique_ptr<Worker>> workers);

    // After every worker's run() has returned: lets go of the packets of others, so that workers can be freed one by one.
    void discard();

    // Producer: the control thread.
    SpscQueue<Command> commands{4096};
    // Consumer: the control thread.
    SpscQueue<Event> events{8192};
    // Element k has worker k as its producer.
    std::vector<std::unique_ptr<SpscQueue<Handover>>> handovers;
    Bell bell;
    WorkerStats stats;

    std::vector<Endpoint> bound() const;
    // Where it listens on TCP as well: the same ports, but for those that were not free.
    const std::vector<Endpoint>& tcp_bound() const noexcept { return tcp_.bound(); }
    // Why not, in words: one for each of those.
    const std::vector<std::string>& tcp_failures() const noexcept { return tcp_failures_; }

private:
    // What one pass of the loop does, in this order.
    void drain_queues(Instant now);
    void drain_commands(Instant now);
    void receive(Instant now);
    void receive_tcp(Instant now);
    void run_timers(Instant now);
    void fan_out();
    void finish_pass();

    // A datagram's way in.
    void on_datagram(Instant now, PacketRef& packet, const Endpoint& from, std::uint16_t socket);
    void on_stun(Instant now, Bytes datagram, const Endpoint& from, std::uint16_t socket);
    void on_dtls(Instant now, Peer& peer, Path& path, Bytes datagram);
    void on_rtp(Instant now, Peer& peer, PacketRef& packet);
    void on_rtcp(Instant now, Peer& peer, Packet& packet);
    void on_handover(Instant now, Handover& handover);
    void hear(Instant now, Source& source, const PacketRef& packet);
    void fill(Source& source, const Packet& packet);

    // A packet's way out.
    void distribute(Room& room, FeedKey feed, const PacketRef& packet, const Position& position);
    void publish_order(Room& room, Instant now);
    void start_fan_out(Audience& audience, FeedKey key, const PacketRef& packet, const Position& position);
    void start_fan_out(Audience& audience, Audience::Feed& feed, const PacketRef& packet, const Position& position);
    void forward(Listener& listener, Slot& slot, const Packet& packet, const Position& position);
    // Memory of peers that are seldom heard of, in worker_ahead.cpp: what on_datagram() will read of those from whom the first `count`
    // datagrams of the inbox came, and take_turn() of those whose timers these are.
    struct Timer;
    enum class Direction : std::uint8_t { in, out };
    void prefetch_senders(std::size_t count) const noexcept;
    void prefetch_turns(std::span<const Timer> timers) const noexcept;
    static void prefetch_peers(std::span<const Peer* const> peers, Direction direction) noexcept;
    // What forward() will read of the subscribers behind this one.
    static void prefetch_behind(std::span<const Audience::Subscriber> subscribers, std::size_t next) noexcept;
    bool send_rtp(Peer& peer, const Path& path, const Slot& slot, const Slot::Mapped& mapped, const Packet& packet, Instant since,
                  Histogram* histogram);
    // Tells the home of a listener's row what he carries of it, unless that was told just now. False when it could not be.
    bool want_row(Peer& peer, Instant now);
    void change_tier(Peer& peer, Instant now);
    void count_tier(const Peer& peer, int change) noexcept;
    void retransmit(Instant now, Peer& peer, const rtcp::Nack& nack);
    bool retransmit(Instant now, Peer& peer, Slot& slot, std::uint16_t sequence);
    // Space for one packet to this address, over this of our sockets or connections, and its sending.
    MutableBytes reserve(const Endpoint& to, std::uint16_t socket) noexcept;
    void commit(std::size_t size, const Endpoint& to, std::uint16_t socket, Instant since = {}, Histogram* histogram = nullptr) noexcept;
    void send_now(Peer& peer, Bytes datagram);
    void send_compound(Peer& peer, std::span<const std::uint8_t> compound);

    // A peer's turns, in worker_turns.cpp: when the worker looks at it though nothing has come.
    void take_turn(Peer& peer, Instant now);
    void set_turn(Peer& peer, Instant due);
    void rouse(Peer& peer, Instant now);
    // The next moment at which turns are due.
    static Instant turn_after(Instant time) noexcept;

    // Commands, in worker_commands.cpp.
    void on(const std::monostate&, Instant) {}
    void on(const command::AddRoom&, Instant now);
    void on(const command::RemoveRoom&, Instant now);
    void on(const command::SetColumn&, Instant now);
    void on(command::SetChain&, Instant now);
    void on(const command::AddPlayer&, Instant now);
    void on(const command::SetDelay&, Instant now);
    void on(const command::AddTap&, Instant now);
    void on(command::AddDeck&, Instant now);
    void on(const command::FadeDeck&, Instant now);
    void on(command::StartEffect&, Instant now);
    void on(const command::StopEffect&, Instant now);
    void on(const command::RemoveColumn&, Instant now);
    void on(const command::ConfigureRoom&, Instant now);
    void on(command::AddRow&, Instant now);
    void on(command::SetRow&, Instant now);
    void on(const command::RemoveRow&, Instant now);
    void on(const command::AttachAudience&, Instant now);
    void on(const command::DetachAudience&, Instant now);
    void on(command::AddSource&, Instant now);
    void on(const command::RemoveSource&, Instant now);
    void on(command::AddPeer&, Instant now);
    void on(const command::MovePublisher&, Instant now);
    void on(const command::MoveListener&, Instant now);
    void on(command::SetSources&, Instant now);
    void on(const command::SetListenerRow&, Instant now);
    void on(command::RestartIce&, Instant now);
    void on(const command::Send&, Instant now);
    void on(command::SetKeys&, Instant now);
    void on(const command::ReleaseHandshake&, Instant now);
    void on(const command::RemovePeer&, Instant now);
    void on(const command::Stop&, Instant now);
    void note_media(Peer& peer);
    void note_loss(Peer& peer);
    void tell(EventKind kind, std::uint32_t id, Bytes data = {});
    void tell_voice(Source& source);
    bool hand_over(unsigned worker, Handover handover);

    void drop_source(PeerId peer, Instant now);
    // The address is not this peer's any more; a connection from it is ended.
    void drop_path(const Peer& peer, const Path& path, Instant now);

    void nap();
    void tick(Room& room, Instant due);
    void tell_happenings(Room& room);
    void count_mixes(Room& room);
    void start_ticking(Room& room, Instant now);
    void align_ticks(Room& room, Instant wanted, Instant now);
    void set_room_timer(Room& room, Instant due);
    Instant next_tick(const Room& room, Instant now) const;
    void after_order_change(Room& room, Instant now);
    Peer* find_peer(PeerId id) noexcept;
    Room* find_room(RoomId id) noexcept;
    // The source of a publisher on whichever worker, if he is in this room.
    Source* find_source(PeerId peer, RoomId room) noexcept;
    Audience* find_audience(RoomId id) noexcept;

    // Timers that are looked at together.
    static constexpr std::size_t timer_batch = 64;
    struct Timer {
        Instant due{};
        bool is_room = false;  // a room's tick; else a peer's turn
        std::uint32_t id = 0;
        bool operator>(const Timer& other) const noexcept { return due > other.due; }
    };

    // A packet on its way to the subscribers of a feed.
    struct FanOut {
        PacketRef packet;
        Position position;
        Audience* audience = nullptr;  // null: cancelled
        Audience::Feed* feed = nullptr;
        std::size_t next = 0;          // subscriber
    };
    // Bounds the memory that a burst can hold; beyond it packets are late anyway and are dropped.
    static constexpr std::size_t max_fan_outs = 2048;
    // A retransmission after so long is not played any more: browsers' buffers for audio wait a second at most.
    static constexpr Duration useful_age = seconds{1};
    // How often the home is told of a feed that is carried. It believes it for Room::wish, so some may get lost.
    static constexpr Duration wish_interval = milliseconds{500};
    // Sends between two looks at the sockets and timers: at 3 µs each 0.8 ms. More delays others' packets, less costs
    // system calls.
    static constexpr std::size_t fan_out_slice = 256;
    static constexpr std::size_t max_compound = max_datagram - srtp::rtcp_overhead;
    // Between the turns of a peer with whom something goes on. Longer ends a muted speaker's voice late, and paces repair worse.
    static constexpr Duration brisk_turn = seconds{1};
    // Without sound, handshakes and commands for so long, a worker waits a little at each wake, so that what comes meanwhile
    // shares its system calls: thousands of silent rooms send checks and reports, one at a time. Shorter naps between words;
    // longer costs more while nobody speaks.
    static constexpr Duration drowsy_after = seconds{1};
    // Longer shares more, and delays the first packet of who begins to speak.
    static constexpr Duration nap_length = milliseconds{1};

    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
    };

    unsigned number_;
    std::span<const std::unique_ptr<Worker>> workers_;
    std::vector<std::unique_ptr<UdpSocket>> sockets_;
    TcpServer tcp_;
    std::vector<std::string> tcp_failures_;
    std::vector<Endpoint> lost_;  // connections that the pass lost
    bool tcp_ready_ = false;
    int epoll_ = -1;
    int timer_fd_ = -1;
    Instant awake_{};        // when there was last something that should not wait
    Instant timer_armed_{};  // when the timer will fire; Instant{}: not armed
    Bell& events_bell_;
    const Kernels& kernels_;
    const NtpClock& ntp_;

    PacketPool pool_;
    std::array<Received, receive_batch> inbox_;
    Packet recalled_;  // one that is sent again

    std::unordered_map<PeerId, std::unique_ptr<Peer>> peers_;
    std::unordered_map<std::string, Peer*, TextHash, std::equal_to<>> by_ufrag_;
    std::unordered_map<Endpoint, Peer*, EndpointHash> by_address_;
    std::unordered_map<RoomId, std::unique_ptr<Room>> rooms_;          // whose home this is
    std::unordered_map<PeerId, std::unique_ptr<Source>> sources_;      // in those rooms, of peers on any worker
    std::unordered_map<RoomId, std::unique_ptr<Audience>> audiences_;  // of every room
    std::vector<Mixer::Output> mixed_;  // of the tick that runs
    std::vector<FanOut> fan_outs_;   // ring
    std::size_t fan_out_head_ = 0, fan_out_count_ = 0;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::deque<Event> unsent_events_;  // when the queue is full; a few per peer, and two for each 7 s that it stays full
    std::uint64_t rung_ = 0;           // workers to be woken at the end of the pass
    bool events_rung_ = false;
    std::uint32_t last_serial_ = 0;
    bool stopping_ = false;
};

}  // namespace plane
