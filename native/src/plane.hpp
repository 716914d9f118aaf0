// The packet plane as the control thread sees it: workers, and who sits where. Every method is called from one thread
// and waits for none of the workers; what it changes reaches them through their queues.
//
// Ids of rooms and peers come from the caller and are never used again. Calls that name an unknown id do nothing: the
// peer may have gone while the caller was deciding. Calls that could never have been right throw std::invalid_argument.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "worker.hpp"

namespace plane {

class Plane {
public:
    // 64 workers: their sets are bits of a word.
    static constexpr std::size_t max_workers = 64;

    // One worker for each entry, bound to those addresses. tcp: it listens there on TCP as well, where that is free.
    explicit Plane(const std::vector<std::vector<Endpoint>>& binds, bool tcp = false);
    ~Plane();

    void start();
    void stop();
    unsigned workers() const noexcept { return static_cast<unsigned>(workers_.size()); }
    std::vector<Endpoint> bound(unsigned worker) const { return at(worker).bound(); }
    const std::vector<Endpoint>& tcp_bound(unsigned worker) const { return at(worker).tcp_bound(); }
    const std::vector<std::string>& tcp_failures(unsigned worker) const { return at(worker).tcp_failures(); }

    int event_fd() const noexcept { return events_bell_.fd(); }
    std::vector<Event> poll();

    // Before the first row. The functions must stay valid until stop() has returned.
    void set_kernels(const Kernels& kernels) { kernels_ = kernels; }
    // What set_chain() can name; valid for as long.
    void set_stages(std::vector<Stage> stages) { stages_ = std::move(stages); }

    void add_room(RoomId room, unsigned home, const RoomConfig& config);
    void configure_room(RoomId room, const RoomConfig& config);
    void remove_room(RoomId room);
    void set_column(RoomId room, std::uint32_t csrc, float gain, Place place = {});
    void remove_column(RoomId room, std::uint32_t csrc);
    // Stages, by their numbers in the table, each with its parameters.
    void set_chain(RoomId room, std::uint32_t csrc, const std::vector<std::pair<std::uint32_t, std::vector<float>>>& stages);

    // Columns of music and effects. Ids of decks and effects come from the caller, like those of peers.
    void add_player(RoomId room, std::uint32_t csrc, float gain, Place place = {});
    // A player's music once more, later, for those who hear singers sing to it.
    void add_tap(RoomId room, std::uint32_t csrc, std::uint32_t player, float gain, Place place, std::size_t delay_samples);
    // Of a speaker's or a tap's column; it glides there.
    void set_delay(RoomId room, std::uint32_t csrc, std::size_t delay_samples);
    void add_deck(RoomId room, std::uint32_t csrc, DeckId deck, std::shared_ptr<Ring> ring, float gain, std::size_t fade_samples);
    void fade_deck(RoomId room, std::uint32_t csrc, DeckId deck, float gain, std::size_t fade_samples, Player::Then then);
    void start_effect(RoomId room, std::uint32_t csrc, std::uint32_t effect, std::shared_ptr<const Clip> clip, float gain, Place place,
                      bool repeat);
    void stop_effect(RoomId room, std::uint32_t csrc);
    // A row of the gain matrix: every column at its own gain, but for these cells.
    void add_row(RoomId room, RowId row, std::vector<Cell> cells, std::optional<RowId> like);
    void set_row(RoomId room, RowId row, std::vector<Cell> cells);
    void remove_row(RoomId room, RowId row);

    // He sits on the room's home for good, whatever the homes of rooms that he moves to.
    std::shared_ptr<PeerStats> add_publisher(PeerId peer, RoomId room, IceCredentials credentials, std::uint32_t csrc,
                                             ReceptionConfig reception);
    std::shared_ptr<PeerStats> add_listener(PeerId peer, unsigned worker, RoomId room, IceCredentials credentials,
                                            std::uint32_t csrc, const std::vector<SlotConfig>& slots, std::string cname,
                                            std::optional<RowId> row);
    // To another room, over the same connection. csrc: the user's id there. row: there, of a listener of a mix, and of
    // nobody else; who named his speakers gets the loudest.
    void move_peer(PeerId peer, RoomId room, std::uint32_t csrc, std::optional<RowId> row);
    void set_listener_row(PeerId peer, RowId row);
    void set_sources(PeerId peer, std::vector<std::uint32_t> csrcs);
    void restart_ice(PeerId peer, IceCredentials credentials);
    void send(PeerId peer, std::vector<Datagram> datagrams);
    // We are the DTLS server. material: RFC 5764 section 4.2.
    void set_keys(PeerId peer, srtp::Profile profile, Bytes material);
    void release_handshake(PeerId peer);
    void remove_peer(PeerId peer, std::vector<Datagram> farewell);

    // Of the sender reports (RFC 3550 section 6.4.1), so that what is told of a time can be set against media.
    std::chrono::nanoseconds unix_time(Instant instant) const noexcept { return ntp_.unix_time(instant); }

    const WorkerStats& stats(unsigned worker) const { return at(worker).stats; }

private:
    struct Seat {
        unsigned worker;
        RoomId room;
        enum class As { publisher, listener, mix_listener } as;
        std::shared_ptr<PeerStats> stats;
    };
    struct RoomSeats {
        unsigned home;
        bool e2ee;
        unsigned channels;                // of its mixes
        std::vector<unsigned> listeners;  // by worker
    };

    Worker& at(unsigned worker) const;
    RoomSeats& seats(RoomId room);
    void seat_listener(RoomId room, unsigned worker);
    void unseat_listener(RoomId room, unsigned worker);
    void submit(unsigned worker, Command command);
    template <class C>
    void to_peer(PeerId peer, C command);

    Bell events_bell_;
    NtpClock ntp_{Clock::now(), std::chrono::system_clock::now()};
    Kernels kernels_;
    std::vector<Stage> stages_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::thread> threads_;
    std::unordered_map<RoomId, RoomSeats> rooms_;
    std::unordered_map<PeerId, Seat> peers_;
};

}  // namespace plane
