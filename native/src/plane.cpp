#include "plane.hpp"

#include <openssl/rand.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace plane {

namespace {

std::uint32_t random32() {
    std::uint32_t value;
    if (RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value) != 1) throw std::runtime_error("no random numbers");
    return value;
}

// +24 dB. More only feeds the limiter.
constexpr float max_gain = 16;

// A chain costs its room's tick.
constexpr std::size_t max_stages = 8;

// A minute: longer fades are silence.
constexpr std::size_t max_fade_samples = 60 * opus::sample_rate;

bool is_gain(float gain) { return gain >= 0 && gain <= max_gain; }

void check_column(std::uint32_t csrc, float gain, Place place) {
    if (csrc == 0) throw std::invalid_argument("csrc must not be 0");
    if (!is_gain(gain) || !is_gain(place.left) || !is_gain(place.right)) throw std::invalid_argument("a gain lies between 0 and 16");
}

void check_cells(std::span<const Cell> cells) {
    for (const Cell& cell : cells) {
        const Place place = cell.place.value_or(Place{});
        if (!is_gain(cell.gain) || !is_gain(place.left) || !is_gain(place.right)) throw std::invalid_argument("a gain lies between 0 and 16");
    }
}

void check_delay(std::size_t samples) {
    if (samples > DelayLine::max_delay) throw std::invalid_argument("a delay is at most a second");
}

void check_fade(float gain, std::size_t fade_samples) {
    if (!is_gain(gain)) throw std::invalid_argument("a gain lies between 0 and 16");
    if (fade_samples > max_fade_samples) throw std::invalid_argument("a fade lasts at most a minute");
}

void check_ducking(const Ducking& ducking) {
    if (!(ducking.gain >= 0) || ducking.gain > 1) throw std::invalid_argument("ducking is a gain between 0 and 1");
}

void check_mix(const MixConfig& mix) {
    if (mix.ptime_ms != 20 && mix.ptime_ms != 40 && mix.ptime_ms != 60) throw std::invalid_argument("ptime is 20, 40 or 60 ms");
    const opus::EncoderConfig& encoder = mix.encoder;
    if (encoder.channels != 1 && encoder.channels != 2) throw std::invalid_argument("a mix has 1 or 2 channels");
    if (encoder.bitrate < 6000 || encoder.bitrate > 510'000) throw std::invalid_argument("a bitrate lies between 6,000 and 510,000");
    if (encoder.complexity < 0 || encoder.complexity > 10) throw std::invalid_argument("complexity lies between 0 and 10");
}

// A worker's share of the descriptors, of which half are left for HTTP and files.
std::size_t tcp_share(std::size_t workers) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur / 2 / workers, max_connections));
}

void check_credentials(const IceCredentials& credentials) {
    // RFC 8839 section 5.4.
    if (credentials.ufrag.size() < 4 || credentials.ufrag.size() > 256 || credentials.password.size() < 22 ||
        credentials.password.size() > 256) {
        throw std::invalid_argument("ICE ufrag must have 4 to 256 characters, password 22 to 256");
    }
}

}  // namespace

Plane::Plane(const std::vector<std::vector<Endpoint>>& binds, bool tcp) {
    if (binds.empty() || binds.size() > max_workers) throw std::invalid_argument("1 to 64 workers");
    const std::size_t tcp_capacity = tcp ? tcp_share(binds.size()) : 0;
    for (unsigned i = 0; i < binds.size(); ++i) {
        if (binds[i].empty() || binds[i].size() > 16) throw std::invalid_argument("a worker is bound to 1 to 16 addresses");
        workers_.push_back(std::make_unique<Worker>(i, static_cast<unsigned>(binds.size()), binds[i], tcp_capacity,
                                                    events_bell_, kernels_, ntp_));
    }
}

Plane::~Plane() { stop(); }

void Plane::start() {
    if (!threads_.empty()) throw std::invalid_argument("the plane was started before");
    for (const auto& worker : workers_) threads_.emplace_back([this, &worker] { worker->run(workers_); });
}

void Plane::stop() {
    if (threads_.empty()) return;
    for (unsigned i = 0; i < workers_.size(); ++i) submit(i, command::Stop{});
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    for (const auto& worker : workers_) worker->discard();
}

std::vector<Event> Plane::poll() {
    events_bell_.clear();
    std::vector<Event> events;
    for (const auto& worker : workers_) {
        for (std::size_t n = worker->events.readable(); n > 0; --n) events.push_back(worker->events.pop());
    }
    return events;
}

void Plane::add_room(RoomId room, unsigned home, const RoomConfig& config) {
    at(home);
    check_mix(config.mix);
    check_ducking(config.ducking);
    if (!rooms_.emplace(room, RoomSeats{home, config.e2ee, config.mix.encoder.channels, std::vector<unsigned>(workers_.size())}).second) {
        throw std::invalid_argument("room id used before");
    }
    for (unsigned i = 0; i < workers_.size(); ++i) submit(i, command::AddRoom{room, home, config});
}

void Plane::configure_room(RoomId room, const RoomConfig& config) {
    check_mix(config.mix);
    check_ducking(config.ducking);
    RoomSeats& room_seats = seats(room);
    room_seats.e2ee = config.e2ee;
    room_seats.channels = config.mix.encoder.channels;
    submit(room_seats.home, command::ConfigureRoom{room, config});
}

void Plane::remove_room(RoomId room) {
    if (!rooms_.contains(room)) return;
    if (std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) { return entry.second.room == room; })) {
        throw std::invalid_argument("room still has peers");
    }
    rooms_.erase(room);
    for (unsigned i = 0; i < workers_.size(); ++i) submit(i, command::RemoveRoom{room});
}

void Plane::set_column(RoomId room, std::uint32_t csrc, float gain, Place place) {
    check_column(csrc, gain, place);
    submit(seats(room).home, command::SetColumn{room, csrc, gain, place});
}

void Plane::set_chain(RoomId room, std::uint32_t csrc, const std::vector<std::pair<std::uint32_t, std::vector<float>>>& stages) {
    if (stages.size() > max_stages) throw std::invalid_argument("a column has at most 8 stages");
    std::vector<Chain::Link> links;
    for (const auto& [number, params] : stages) {
        if (number >= stages_.size()) throw std::invalid_argument("no such stage");
        const Stage& stage = stages_[number];
        if (params.size() != static_cast<std::size_t>(stage.params)) throw std::invalid_argument("a stage has as many parameters as its table says");
        if (!std::all_of(params.begin(), params.end(), [](float value) { return std::isfinite(value); })) {
            throw std::invalid_argument("a parameter is finite");
        }
        links.push_back({stage, params, stage.denoises ? std::make_shared<Denoiser>(seats(room).channels) : nullptr});
    }
    submit(seats(room).home, command::SetChain{room, csrc, std::move(links)});
}

void Plane::add_player(RoomId room, std::uint32_t csrc, float gain, Place place) {
    check_column(csrc, gain, place);
    submit(seats(room).home, command::AddPlayer{room, csrc, gain, place});
}

void Plane::add_tap(RoomId room, std::uint32_t csrc, std::uint32_t player, float gain, Place place, std::size_t delay_samples) {
    check_column(csrc, gain, place);
    check_delay(delay_samples);
    submit(seats(room).home, command::AddTap{room, csrc, player, gain, place, delay_samples});
}

void Plane::set_delay(RoomId room, std::uint32_t csrc, std::size_t delay_samples) {
    check_delay(delay_samples);
    submit(seats(room).home, command::SetDelay{room, csrc, delay_samples});
}

void Plane::add_deck(RoomId room, std::uint32_t csrc, DeckId deck, std::shared_ptr<Ring> ring, float gain, std::size_t fade_samples) {
    check_fade(gain, fade_samples);
    submit(seats(room).home, command::AddDeck{room, csrc, deck, std::move(ring), gain, fade_samples});
}

void Plane::fade_deck(RoomId room, std::uint32_t csrc, DeckId deck, float gain, std::size_t fade_samples, Player::Then then) {
    check_fade(gain, fade_samples);
    submit(seats(room).home, command::FadeDeck{room, csrc, deck, gain, fade_samples, then});
}

void Plane::start_effect(RoomId room, std::uint32_t csrc, std::uint32_t effect, std::shared_ptr<const Clip> clip, float gain, Place place,
                         bool repeat) {
    check_column(csrc, gain, place);
    submit(seats(room).home, command::StartEffect{room, csrc, std::make_shared<Effect>(effect, std::move(clip), repeat), gain, place});
}

void Plane::stop_effect(RoomId room, std::uint32_t csrc) { submit(seats(room).home, command::StopEffect{room, csrc}); }

void Plane::remove_column(RoomId room, std::uint32_t csrc) { submit(seats(room).home, command::RemoveColumn{room, csrc}); }

void Plane::add_row(RoomId room, RowId row, std::vector<Cell> cells, std::optional<RowId> like) {
    if (!kernels_.complete()) throw std::invalid_argument("no kernels were set");
    check_cells(cells);
    submit(seats(room).home, command::AddRow{room, row, std::move(cells), like});
}

void Plane::set_row(RoomId room, RowId row, std::vector<Cell> cells) {
    check_cells(cells);
    submit(seats(room).home, command::SetRow{room, row, std::move(cells)});
}

void Plane::remove_row(RoomId room, RowId row) { submit(seats(room).home, command::RemoveRow{room, row}); }

std::shared_ptr<PeerStats> Plane::add_publisher(PeerId peer, RoomId room, IceCredentials credentials, std::uint32_t csrc,
                                                ReceptionConfig reception) {
    check_credentials(credentials);
    if (csrc == 0) throw std::invalid_argument("csrc must not be 0");
    const RoomSeats& room_seats = seats(room);
    const unsigned home = room_seats.home;
    auto made = std::make_unique<Peer>(peer, room, std::move(credentials), Clock::now());
    auto stats = made->stats;
    if (!peers_.emplace(peer, Seat{home, room, Seat::As::publisher, stats}).second) throw std::invalid_argument("peer id used before");
    reception.opaque = room_seats.e2ee;
    made->reception = std::make_unique<Reception>(reception, stats, workers_[home]->stats);
    made->home = home;
    submit(home, command::AddSource{peer, room, csrc, stats});
    submit(home, command::AddPeer{std::move(made)});
    return stats;
}

std::shared_ptr<PeerStats> Plane::add_listener(PeerId peer, unsigned worker, RoomId room, IceCredentials credentials,
                                               std::uint32_t csrc, const std::vector<SlotConfig>& slots, std::string cname,
                                               std::optional<RowId> row) {
    check_credentials(credentials);
    at(worker);
    if (slots.empty() || slots.size() > (row ? 1 : max_slots)) {
        throw std::invalid_argument("a listener has 1 to 16 slots, and one for a mix");
    }
    seats(room);
    auto made = std::make_unique<Peer>(peer, room, std::move(credentials), Clock::now());
    made->listener = std::make_unique<Listener>();
    made->listener->csrc = csrc;
    made->listener->row = row;
    made->listener->cname = std::move(cname);
    for (const SlotConfig& slot : slots) {
        if (slot.mid.size() > 16) throw std::invalid_argument("a mid has at most 16 bytes");
        made->listener->slots.emplace_back(slot, static_cast<std::uint16_t>(random32() & 0x7fff), random32());
    }
    auto stats = made->stats;
    const Seat seat{worker, room, row ? Seat::As::mix_listener : Seat::As::listener, stats};
    if (!peers_.emplace(peer, seat).second) throw std::invalid_argument("peer id used before");
    submit(worker, command::AddPeer{std::move(made)});
    seat_listener(room, worker);
    return stats;
}

void Plane::move_peer(PeerId peer, RoomId room, std::uint32_t csrc, std::optional<RowId> row) {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    Seat& seat = found->second;
    const RoomSeats& to = seats(room);
    if (csrc == 0 && seat.as == Seat::As::publisher) throw std::invalid_argument("csrc must not be 0");
    if (row.has_value() != (seat.as == Seat::As::mix_listener)) {
        throw std::invalid_argument("who listens to a mix moves to a row, and nobody else");
    }
    const RoomId left = std::exchange(seat.room, room);
    if (seat.as != Seat::As::publisher) {
        submit(seat.worker, command::MoveListener{peer, room, csrc, row});
        seat_listener(room, seat.worker);
        unseat_listener(left, seat.worker);
        return;
    }
    // The new home knows him before his packets come, and the old one until they come no more.
    submit(to.home, command::AddSource{peer, room, csrc, seat.stats});
    submit(seat.worker, command::MovePublisher{peer, room, to.home, to.e2ee});
    const unsigned left_home = seats(left).home;
    if (left_home != to.home) submit(left_home, command::RemoveSource{peer});
}

void Plane::set_sources(PeerId peer, std::vector<std::uint32_t> csrcs) {
    if (csrcs.size() > max_slots) throw std::invalid_argument("at most 16 named speakers");
    to_peer(peer, command::SetSources{peer, std::move(csrcs)});
}

void Plane::set_listener_row(PeerId peer, RowId row) { to_peer(peer, command::SetListenerRow{peer, row}); }

void Plane::restart_ice(PeerId peer, IceCredentials credentials) {
    check_credentials(credentials);
    to_peer(peer, command::RestartIce{peer, std::move(credentials)});
}

void Plane::send(PeerId peer, std::vector<Datagram> datagrams) { to_peer(peer, command::Send{peer, std::move(datagrams)}); }

void Plane::set_keys(PeerId peer, srtp::Profile profile, Bytes material) {
    const auto split = srtp::split(profile, material);
    if (!split) throw std::invalid_argument("keying material does not have the profile's size");
    // Contexts are prepared here, so that a join costs the worker's thread nothing.
    to_peer(peer, command::SetKeys{peer, std::make_unique<Keys>(Keys{
                                             srtp::Sealer{profile, split->server_key, split->server_salt},
                                             srtp::Opener{profile, split->client_key, split->client_salt}})});
}

void Plane::release_handshake(PeerId peer) { to_peer(peer, command::ReleaseHandshake{peer}); }

void Plane::remove_peer(PeerId peer, std::vector<Datagram> farewell) {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    const Seat seat = std::move(found->second);
    peers_.erase(found);
    submit(seat.worker, command::RemovePeer{peer, std::move(farewell)});
    if (seat.as != Seat::As::publisher) return unseat_listener(seat.room, seat.worker);
    const unsigned home = seats(seat.room).home;
    if (home != seat.worker) submit(home, command::RemoveSource{peer});
}

Worker& Plane::at(unsigned worker) const {
    if (worker >= workers_.size()) throw std::invalid_argument("no such worker");
    return *workers_[worker];
}

Plane::RoomSeats& Plane::seats(RoomId room) {
    const auto found = rooms_.find(room);
    if (found == rooms_.end()) throw std::invalid_argument("no such room");
    return found->second;
}

void Plane::seat_listener(RoomId room, unsigned worker) {
    RoomSeats& room_seats = seats(room);
    if (room_seats.listeners[worker]++ == 0) submit(room_seats.home, command::AttachAudience{room, worker});
}

void Plane::unseat_listener(RoomId room, unsigned worker) {
    RoomSeats& room_seats = seats(room);
    if (--room_seats.listeners[worker] == 0) submit(room_seats.home, command::DetachAudience{room, worker});
}

void Plane::submit(unsigned worker, Command command) {
    // A full queue means a worker that has been held up for thousands of commands: the only place where control waits.
    while (!workers_[worker]->commands.push(std::move(command))) std::this_thread::sleep_for(microseconds{100});
    workers_[worker]->bell.ring();
}

template <class C>
void Plane::to_peer(PeerId peer, C command) {
    const auto found = peers_.find(peer);
    if (found != peers_.end()) submit(found->second.worker, std::move(command));
}

}  // namespace plane
