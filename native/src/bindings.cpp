// Python bindings: conversions only. Methods that may wait let go of the interpreter.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "plane.hpp"

namespace load {
void bind(nanobind::module_& m);  // load/bindings.cpp
}

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using plane::Bytes;
using plane::Datagram;
using plane::Plane;

using Address = std::pair<std::string, std::uint16_t>;

Bytes view(const nb::bytes& bytes) { return {reinterpret_cast<const std::uint8_t*>(bytes.c_str()), bytes.size()}; }

nb::bytes to_bytes(Bytes bytes) { return nb::bytes{bytes.data(), bytes.size()}; }

std::vector<Datagram> datagrams(const std::vector<nb::bytes>& list) {
    std::vector<Datagram> result;
    for (const nb::bytes& bytes : list) result.emplace_back(view(bytes).begin(), view(bytes).end());
    return result;
}

plane::srtp::Profile profile(unsigned number) {
    using plane::srtp::Profile;
    for (Profile known : {Profile::aes128_cm_sha1_80, Profile::aead_aes_128_gcm, Profile::aead_aes_256_gcm}) {
        if (static_cast<unsigned>(known) == number) return known;
    }
    throw std::invalid_argument("unknown SRTP profile");
}

Plane* make_plane(const std::vector<std::vector<Address>>& binds, bool tcp) {
    std::vector<std::vector<plane::Endpoint>> endpoints;
    for (const auto& worker : binds) {
        auto& list = endpoints.emplace_back();
        for (const auto& [address, port] : worker) {
            const auto endpoint = plane::Endpoint::from_text(address, port);
            if (!endpoint) throw std::invalid_argument("not an IP address: " + address);
            list.push_back(*endpoint);
        }
    }
    return new Plane(endpoints, tcp);
}

std::vector<Address> to_addresses(const std::vector<plane::Endpoint>& endpoints) {
    std::vector<Address> list;
    for (const plane::Endpoint& endpoint : endpoints) list.emplace_back(endpoint.address_text(), endpoint.port());
    return list;
}

nb::list poll(Plane& p) {
    nb::list list;
    for (const plane::Event& event : p.poll()) {
        list.append(nb::make_tuple(static_cast<int>(event.kind), event.id, to_bytes(event.data)));
    }
    return list;
}

nb::dict counters(const Plane& p, unsigned worker) {
    const plane::WorkerStats& stats = p.stats(worker);
    nb::dict dict;
#define PLANE_ENTRY(name, meaning) dict[#name] = stats.name.get();
    PLANE_COUNTERS(PLANE_ENTRY)
#undef PLANE_ENTRY
    return dict;
}

nb::dict counter_meanings() {
    nb::dict dict;
#define PLANE_ENTRY(name, meaning) dict[#name] = meaning;
    PLANE_COUNTERS(PLANE_ENTRY)
#undef PLANE_ENTRY
    return dict;
}

plane::RoomConfig room_config(bool stereo, std::uint32_t bitrate, unsigned ptime_ms, int complexity, bool music, bool passthrough,
                              bool e2ee, float ducking) {
    plane::RoomConfig config{{{stereo ? 2U : 1U, bitrate, complexity, music}, ptime_ms, passthrough}, e2ee};
    config.ducking.gain = ducking;
    return config;
}

using FactorOf = std::pair<std::uint32_t, float>;         // by csrc
using PlaceOf = std::tuple<std::uint32_t, float, float>;  // csrc, left, right

std::vector<plane::Cell> to_cells(const std::vector<FactorOf>& factors, const std::vector<PlaceOf>& places) {
    std::vector<plane::Cell> cells;
    for (const auto& [csrc, gain] : factors) cells.push_back({csrc, gain});
    for (const auto& [csrc, left, right] : places) {
        const auto known = std::find_if(cells.begin(), cells.end(), [id = csrc](const plane::Cell& cell) { return cell.csrc == id; });
        plane::Cell& cell = known == cells.end() ? cells.emplace_back(plane::Cell{csrc, 1.0F}) : *known;
        cell.place = plane::Place{left, right};
    }
    return cells;
}

using Frames = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::span<const float> view(const Frames& frames, std::size_t channels) {
    if (frames.shape(1) != channels) throw std::invalid_argument("wrong number of channels");
    return {frames.data(), frames.shape(0) * channels};
}

std::shared_ptr<plane::Clip> make_clip(const Frames& frames) {
    const std::size_t channels = frames.shape(1);
    if (frames.shape(0) == 0 || channels < 1 || channels > 2) throw std::invalid_argument("a clip has samples, of 1 or 2 channels");
    const std::span<const float> samples = view(frames, channels);
    if (!std::all_of(samples.begin(), samples.end(), [](float sample) { return std::isfinite(sample); })) {
        throw std::invalid_argument("a clip's samples are finite");
    }
    return std::make_shared<plane::Clip>(plane::Clip{{samples.begin(), samples.end()}, static_cast<unsigned>(channels)});
}

plane::Player::Then then(const std::string& name) {
    if (name == "go on") return plane::Player::Then::go_on;
    if (name == "hold") return plane::Player::Then::hold;
    if (name == "remove") return plane::Player::Then::remove;
    throw std::invalid_argument("after a fade a deck can \"go on\", \"hold\" or \"remove\"");
}

std::vector<plane::Stage> stages(const std::vector<std::tuple<std::uintptr_t, int, int, int, int>>& table) {
    std::vector<plane::Stage> list;
    for (const auto& [address, mono, stereo, params, tail] : table) {
        plane::Stage stage{.process = reinterpret_cast<plane::Stage::Process>(address), .state_mono = mono, .state_stereo = stereo, .params = params};
        stage.denoises = address == 0;
        stage.tail_samples = tail;
        list.push_back(stage);
    }
    return list;
}

using HistogramView = std::tuple<std::vector<double>, std::vector<std::uint64_t>, double>;

template <plane::Histogram plane::WorkerStats::*which>
HistogramView histogram_of(const Plane& p, unsigned worker) {
    const plane::Histogram& histogram = p.stats(worker).*which;
    const auto& bounds = plane::Histogram::bounds_s;
    std::vector<std::uint64_t> counts;
    for (std::size_t i = 0; i <= bounds.size(); ++i) counts.push_back(histogram.count(i));
    return {{bounds.begin(), bounds.end()}, counts, histogram.sum_s()};
}

std::optional<double> round_trip(const plane::PeerStats& stats) {
    const double ms = stats.round_trip_ms.get();
    if (ms < 0) return std::nullopt;
    return ms;
}

struct Sealer {
    Sealer(unsigned number, const nb::bytes& key, const nb::bytes& salt) : sealer{profile(number), view(key), view(salt)} {}

    nb::bytes rtp(const nb::bytes& packet, std::uint32_t roll_over) {
        const Bytes bytes = view(packet);
        const auto header = plane::rtp::header_size(bytes);
        if (!header) throw std::invalid_argument("not an RTP packet");
        std::vector<std::uint8_t> out(bytes.size() + plane::srtp::rtp_overhead);
        std::copy_n(bytes.begin(), *header, out.begin());
        const std::uint64_t index = std::uint64_t{roll_over} << 16 | plane::load16(bytes.data() + 2);
        const std::size_t size = sealer.rtp(index, *header, bytes.subspan(*header), out);
        return to_bytes({out.data(), size});
    }

    nb::bytes rtcp(const nb::bytes& packet) {
        std::vector<std::uint8_t> out(packet.size() + plane::srtp::rtcp_overhead);
        return to_bytes({out.data(), sealer.rtcp(view(packet), out)});
    }

    plane::srtp::Sealer sealer;
};

struct Opener {
    Opener(unsigned number, const nb::bytes& key, const nb::bytes& salt) : opener{profile(number), view(key), view(salt)} {}

    std::optional<nb::bytes> rtp(const nb::bytes& packet) {
        std::vector<std::uint8_t> copy(view(packet).begin(), view(packet).end());
        const auto opened = opener.rtp(copy);
        if (!opened) return std::nullopt;
        return to_bytes({copy.data(), opened->size});
    }

    std::optional<nb::bytes> rtcp(const nb::bytes& packet) {
        std::vector<std::uint8_t> copy(view(packet).begin(), view(packet).end());
        const auto size = opener.rtcp(copy);
        if (!size) return std::nullopt;
        return to_bytes({copy.data(), *size});
    }

    plane::srtp::Opener opener;
};

}  // namespace

NB_MODULE(_native, m) {
    // At its end the interpreter does not free all that servers still hold; who stops one by Control-C need not read of it.
    nb::set_leak_warnings(false);
    m.doc() = "The packet plane (C++): sockets, ICE-lite, SRTP, forwarding. See native/src/plane.hpp.";

    nb::register_exception_translator(
        [](const std::exception_ptr& error, void*) {
            try {
                std::rethrow_exception(error);
            } catch (const std::system_error& system) {
                PyErr_SetString(PyExc_OSError, system.what());
            }
        });

    m.attr("DATAGRAM") = static_cast<int>(plane::EventKind::datagram);
    m.attr("ICE_CONNECTED") = static_cast<int>(plane::EventKind::ice_connected);
    m.attr("MEDIA") = static_cast<int>(plane::EventKind::media);
    m.attr("CONSENT_EXPIRED") = static_cast<int>(plane::EventKind::consent_expired);
    m.attr("CONSENT_LATE") = static_cast<int>(plane::EventKind::consent_late);
    m.attr("CONSENT_BACK") = static_cast<int>(plane::EventKind::consent_back);
    m.attr("DECK_STARVED") = static_cast<int>(plane::EventKind::deck_starved);
    m.attr("DECK_RESUMED") = static_cast<int>(plane::EventKind::deck_resumed);
    m.attr("DECK_ENDED") = static_cast<int>(plane::EventKind::deck_ended);
    m.attr("EFFECT_ENDED") = static_cast<int>(plane::EventKind::effect_ended);
    m.attr("VOICE") = static_cast<int>(plane::EventKind::voice);
    m.attr("LOSS") = static_cast<int>(plane::EventKind::loss);
    m.def("counter_meanings", &counter_meanings, nb::sig("def counter_meanings() -> dict[str, str]"), "What each of Plane.counters() means, by name.");

    nb::class_<plane::SlotConfig>(m, "Slot", "One outgoing audio stream of a listener: an audio m-line of its offer.")
        .def(
            "__init__",
            [](plane::SlotConfig* self, std::uint32_t ssrc, std::uint8_t payload_type, std::string mid, std::uint8_t mid_id,
               std::uint8_t level_id, std::uint8_t csrc_level_id, std::uint8_t red_payload_type, bool nack) {
                new (self) plane::SlotConfig{ssrc, payload_type, std::move(mid), mid_id, level_id, csrc_level_id, red_payload_type, nack};
            },
            nb::kw_only(), "ssrc"_a, "payload_type"_a, "mid"_a = "", "mid_id"_a = 0, "level_id"_a = 0, "csrc_level_id"_a = 0,
            "red_payload_type"_a = 0, "nack"_a = false,
            "mid_id, level_id (RFC 6464), csrc_level_id (RFC 6465): header extension ids that the listener offered, 0 when it "
            "did not. red_payload_type: of RED (RFC 2198), 0 when it was not negotiated. nack: whether lost packets may be asked for again (RFC 4585).");

    using plane::PeerStats;
    nb::class_<PeerStats>(m, "PeerStats", "A live view of one peer's counters; reading it costs the plane nothing.")
        .def_prop_ro("packets_received", [](const PeerStats& s) { return s.packets_received.get(); })
        .def_prop_ro("bytes_received", [](const PeerStats& s) { return s.bytes_received.get(); })
        .def_prop_ro("packets_sent", [](const PeerStats& s) { return s.packets_sent.get(); })
        .def_prop_ro("bytes_sent", [](const PeerStats& s) { return s.bytes_sent.get(); })
        .def_prop_ro("packets_nacked", [](const PeerStats& s) { return s.packets_nacked.get(); },
                     "Listener: packets that it asked for again.")
        .def_prop_ro("packets_retransmitted", [](const PeerStats& s) { return s.packets_retransmitted.get(); },
                     "Listener: packets sent to it again.")
        .def_prop_ro("packets_lost", [](const PeerStats& s) { return s.packets_lost.get(); },
                     "Publisher: of its stream, here; listener: as it reports, over all slots.")
        .def_prop_ro("fraction_lost", [](const PeerStats& s) { return s.fraction_lost.get(); }, "0..1, of the last interval.")
        .def_prop_ro("jitter_ms", [](const PeerStats& s) { return s.jitter_ms.get(); }, "RFC 3550 A.8.")
        .def_prop_ro("round_trip_ms", &round_trip)
        .def_prop_ro("level_dbov", [](const PeerStats& s) { return s.level_dbov.get(); }, "Publisher: -127..0, smoothed.")
        .def_prop_ro("speaking", [](const PeerStats& s) { return s.speaking.get(); })
        .def_prop_ro("silent", [](const PeerStats& s) { return s.silent.get(); },
                     "Publisher who is not muted: nothing has come of his microphone for 10 s.")
        .def_prop_ro("clipping", [](const PeerStats& s) { return s.clipping.get(); },
                     "Publisher who is mixed: his samples are cut at full scale.")
        .def_prop_ro("playout_delay_ms", [](const PeerStats& s) { return s.playout_delay_ms.get(); },
                     "Publisher who is mixed: how long his audio waits in the jitter buffer.")
        .def_prop_ro("playout_target_ms", [](const PeerStats& s) { return s.playout_target_ms.get(); },
                     "How long it should.")
        .def_prop_ro("lateness_ms", [](const PeerStats& s) { return s.lateness_ms.get(); },
                     "How much later than the fastest his packets come on average; playout_delay_ms counts from the fastest.")
        .def_prop_ro("accelerated_ms", [](const PeerStats& s) { return static_cast<double>(s.samples_taken.get()) / 48; },
                     "Audio taken out to play faster.")
        .def_prop_ro("decelerated_ms", [](const PeerStats& s) { return static_cast<double>(s.samples_put_in.get()) / 48; },
                     "Audio put in to play slower.")
        .def_prop_ro("frames_recovered", [](const PeerStats& s) { return s.frames_recovered.get(); }, "By in-band FEC.")
        .def_prop_ro("frames_from_red", [](const PeerStats& s) { return s.frames_from_red.get(); }, "By copies (RFC 2198).")
        .def_prop_ro("frames_from_nack", [](const PeerStats& s) { return s.frames_from_nack.get(); },
                     "Sent again in time (RFC 4585).")
        .def_prop_ro("packets_asked", [](const PeerStats& s) { return s.packets_asked.get(); },
                     "Publisher: packets that it was asked for again.")
        .def_prop_ro("frames_concealed", [](const PeerStats& s) { return s.frames_concealed.get(); })
        .def_prop_ro("packets_late", [](const PeerStats& s) { return s.packets_late.get(); }, "Too late to be mixed.")
        .def_prop_ro("tier", [](const PeerStats& s) { return s.tier.get(); },
                     "Listener of a mix, or with RED, by the loss that it reports: 0 clean, 1 lossy, 2 very lossy.")
        .def_prop_ro("over_tcp", [](const PeerStats& s) { return s.over_tcp.get(); }, "Whether the selected pair is.")
        .def_prop_ro("ssrc", [](const PeerStats& s) { return s.ssrc.get(); }, "Publisher's, 0 before its first packet.")
        .def_prop_ro("address", &PeerStats::address, "\"127.0.0.1:50000\" of the selected pair, \"\" before there is one.");

    using plane::Ring;
    nb::class_<Ring>(m, "Ring", "Audio from a decoder's process to a deck: shared memory of stereo frames at 48 kHz.")
        .def(nb::init<std::size_t>(), "frames"_a, "Room for so many frames, rounded up to a power of two. OSError when there is no memory.")
        .def_prop_ro("fd", &Ring::fd, "For the decoder's process. It is closed with the ring.")
        .def_prop_ro("buffered", &Ring::buffered, "Frames that wait to be played.")
        .def_prop_ro("finished", &Ring::finished, "The writer has said that there will be no more.")
        .def_prop_ro(
            "position",
            [](const Ring& r) {
                const auto [frames, then] = r.position();
                return std::pair{frames, std::chrono::nanoseconds{then.time_since_epoch()}.count()};
            },
            "(frames, ns): so many were in the room's mixes before this time of the monotonic clock.");
    using plane::RingWriter;
    nb::class_<RingWriter>(m, "RingWriter", "The decoder's end of a ring.")
        .def(nb::init<int>(), "fd"_a, "OSError or ValueError when it is not a ring. The descriptor stays the caller's.")
        .def_prop_ro("space", &RingWriter::space, "Frames that can be written now.")
        .def("write", [](RingWriter& w, const Frames& frames) { return w.write(view(frames, plane::ring_channels)); }, "frames"_a,
             nb::sig("def write(self, frames: numpy.typing.NDArray[numpy.float32]) -> int"),
             "[n, 2]; how many were taken. Waits for nothing.")
        .def("finish", &RingWriter::finish, "This was the end of the track.");
    nb::class_<plane::Clip>(m, "Clip", "Samples in memory, for effects.")
        .def(nb::new_(&make_clip), "samples"_a,
             "[n, 1 or 2] at 48 kHz, finite, n > 0: ValueError. They are copied.")
        .def_prop_ro("frames", &plane::Clip::frames);

    nb::class_<Plane>(m, "Plane", "All methods are called from one thread and wait for no worker.")
        .def(nb::new_(&make_plane), "binds"_a, nb::kw_only(), "tcp"_a = false,
             "One worker (a thread) for each entry: the addresses and ports that its sockets are bound to. Port 0 asks the "
             "kernel for one; further addresses of that worker get the same. OSError when one cannot be bound. tcp: it listens "
             "there for TCP (RFC 6544) too, where it can.")
        .def("start", &Plane::start)
        .def("stop", &Plane::stop, nb::call_guard<nb::gil_scoped_release>(), "Joins the workers; queued farewells are sent first.")
        .def_prop_ro("workers", &Plane::workers)
        .def("addresses", [](const Plane& p, unsigned worker) { return to_addresses(p.bound(worker)); }, "worker"_a,
             "What the worker's UDP sockets are bound to.")
        .def("tcp_addresses", [](const Plane& p, unsigned worker) { return to_addresses(p.tcp_bound(worker)); }, "worker"_a,
             "Those of them where it listens for TCP, too.")
        .def("tcp_failures", &Plane::tcp_failures, "worker"_a, "Where it does not, and why, in words.")
        .def_prop_ro("event_fd", &Plane::event_fd, "Readable when poll() has something; poll() clears it.")
        .def("poll", &poll, nb::sig("def poll(self) -> list[tuple[int, int, bytes]]"),
             "All events since the last call: (kind, peer, data); data is empty but for DATAGRAM.")
        .def(
            "set_kernels",
            [](Plane& p, std::uintptr_t mix, std::uintptr_t limit, std::uintptr_t levels, std::int32_t mono, std::int32_t stereo,
               std::int32_t limiter_delay) {
               p.set_kernels({reinterpret_cast<plane::Kernels::Mix>(mix), reinterpret_cast<plane::Kernels::Limit>(limit),
                               reinterpret_cast<plane::Kernels::Levels>(levels), mono, stereo, limiter_delay});
            },
            nb::kw_only(), "mix"_a, "limit"_a, "levels"_a, "limiter_state_mono"_a, "limiter_state_stereo"_a,
            "limiter_delay"_a,
            "Addresses of the mixing kernels (mediaserver/kernels), the floats of a limiter's state and the samples of its delay. They "
            "must stay valid until stop() has returned.")
        .def("set_stages", [](Plane& p, const std::vector<std::tuple<std::uintptr_t, int, int, int, int>>& table) { p.set_stages(stages(table)); },
             "stages"_a,
             "What set_chain() can name by number: of each its address, floats of state for 1 and for 2 channels, number of "
             "parameters, and for how many samples it sounds on. An address of 0 is the noise suppression of the plane's own. They must stay "
             "valid as the kernels must.")
        .def(
            "add_room",
            [](Plane& p, plane::RoomId room, unsigned home, bool stereo, std::uint32_t bitrate, unsigned ptime_ms, int complexity,
               bool music, bool passthrough, bool e2ee, float ducking) {
                p.add_room(room, home, room_config(stereo, bitrate, ptime_ms, complexity, music, passthrough, e2ee, ducking));
            },
            "room"_a, "home"_a, nb::kw_only(), "stereo"_a = false, "bitrate"_a = 48000, "ptime_ms"_a = 20, "complexity"_a = 5,
            "music"_a = false, "passthrough"_a = false, "e2ee"_a = false, "ducking"_a = 1.0F,
            "passthrough: one voice alone is not encoded again. ducking: the gain of music while somebody speaks. home: the worker that hears and mixes the room, and of those who join it to publish. The rest: how its mixes are encoded.")
        .def(
            "configure_room",
            [](Plane& p, plane::RoomId room, bool stereo, std::uint32_t bitrate, unsigned ptime_ms, int complexity, bool music,
               bool passthrough, bool e2ee, float ducking) {
                p.configure_room(room, room_config(stereo, bitrate, ptime_ms, complexity, music, passthrough, e2ee, ducking));
            },
            "room"_a, nb::kw_only(), "stereo"_a, "bitrate"_a, "ptime_ms"_a, "complexity"_a, "music"_a, "passthrough"_a, "e2ee"_a, "ducking"_a = 1.0F,
            "Other mix settings: encoders and decoders begin anew. ducking changes without that.")
        .def("remove_room", &Plane::remove_room, "room"_a, "Its peers must have been removed before.")
        .def(
            "set_column",
            [](Plane& p, plane::RoomId room, std::uint32_t csrc, float gain, float left, float right) {
                p.set_column(room, csrc, gain, {left, right});
            },
            "room"_a, "csrc"_a, "gain"_a, "left"_a = 1.0F, "right"_a = 1.0F,
             "The column of source `csrc` in the room's gain matrix: 0 is muted for everyone. A source without a column is "
             "not heard; the column outlives the publisher's connection. left, right: factors on the gain in a stereo mix.")
        .def("set_chain", &Plane::set_chain, "room"_a, "csrc"_a, "stages"_a,
             "What is done to a column before it is mixed: (number in the table of set_kernels(), parameters), in order.")
        .def(
            "add_player",
            [](Plane& p, plane::RoomId room, std::uint32_t csrc, float gain, float left, float right) {
                p.add_player(room, csrc, gain, {left, right});
            },
            "room"_a, "csrc"_a, "gain"_a, "left"_a = 1.0F, "right"_a = 1.0F, "A column of music, which decks fill.")
        .def(
            "add_tap",
            [](Plane& p, plane::RoomId room, std::uint32_t csrc, std::uint32_t player, float gain, float left, float right,
               std::size_t delay_samples) { p.add_tap(room, csrc, player, gain, {left, right}, delay_samples); },
            "room"_a, "csrc"_a, "player"_a, nb::kw_only(), "gain"_a, "left"_a = 1.0F, "right"_a = 1.0F, "delay_samples"_a,
            "A player's music once more in a column of its own, later: for those who hear singers sing to it.")
        .def("set_delay", &Plane::set_delay, "room"_a, "csrc"_a, "delay_samples"_a,
             "How much later a speaker or a tap is heard, at most a second; it glides there.")
        .def("add_deck", &Plane::add_deck, "room"_a, "csrc"_a, "deck"_a, "ring"_a, nb::kw_only(), "gain"_a, "fade_samples"_a,
             "A track for a player, played once the ring has half a second or all of it (DECK_RESUMED), and faded in.")
        .def(
            "fade_deck",
            [](Plane& p, plane::RoomId room, std::uint32_t csrc, plane::DeckId deck, float gain, std::size_t fade_samples,
               const std::string& name) { p.fade_deck(room, csrc, deck, gain, fade_samples, then(name)); },
            "room"_a, "csrc"_a, "deck"_a, nb::kw_only(), "gain"_a, "fade_samples"_a, "then"_a = "go on",
            "then: \"go on\", \"hold\" (pause) or \"remove\". One that is held goes on.")
        .def(
            "start_effect",
            [](Plane& p, plane::RoomId room, std::uint32_t csrc, std::uint32_t effect, std::shared_ptr<plane::Clip> clip, float gain,
               float left, float right, bool repeat) { p.start_effect(room, csrc, effect, std::move(clip), gain, {left, right}, repeat); },
            "room"_a, "csrc"_a, "effect"_a, "clip"_a, nb::kw_only(), "gain"_a, "left"_a = 1.0F, "right"_a = 1.0F, "repeat"_a = false,
            "A column of its own, from the next tick until it has ended (EFFECT_ENDED, which names `effect`).")
        .def("stop_effect", &Plane::stop_effect, "room"_a, "csrc"_a, "Faded out over a frame.")
        .def("remove_column", &Plane::remove_column, "room"_a, "csrc"_a)
        .def(
            "add_row",
            [](Plane& p, plane::RoomId room, plane::RowId row, const std::vector<FactorOf>& cells,
               std::optional<plane::RowId> like, const std::vector<PlaceOf>& places) {
                p.add_row(room, row, to_cells(cells, places), like);
            },
            "room"_a, "row"_a, "cells"_a, "like"_a = nb::none(), "places"_a = nb::list(),
            "places: (csrc, left, right), where this row hears a column otherwise than the column itself says. A row of the gain matrix, for mixes: every column at its own gain, but for these cells (csrc, factor). like: the "
            "row from which this one is a change, so that those who move hear the gains move and no break.")
        .def(
            "set_row",
            [](Plane& p, plane::RoomId room, plane::RowId row, const std::vector<FactorOf>& cells, const std::vector<PlaceOf>& places) {
                p.set_row(room, row, to_cells(cells, places));
            },
            "room"_a, "row"_a, "cells"_a, "places"_a = nb::list(), "Other cells, for all who listen to the row; the gains move there.")
        .def("remove_row", &Plane::remove_row, "room"_a, "row"_a)
        .def(
            "add_publisher",
            [](Plane& p, plane::PeerId peer, plane::RoomId room, std::string ufrag, std::string pwd, std::uint32_t csrc,
               std::uint8_t payload_type, std::uint8_t level_id, std::uint32_t report_ssrc, std::uint8_t red_payload_type, bool nack) {
                return p.add_publisher(peer, room, {std::move(ufrag), std::move(pwd)}, csrc,
                                       {payload_type, red_payload_type, nack, level_id, report_ssrc});
            },
            "peer"_a, "room"_a, nb::kw_only(), "ufrag"_a, "pwd"_a, "csrc"_a, "payload_type"_a, "level_id"_a, "report_ssrc"_a,
            "red_payload_type"_a = 0, "nack"_a = false,
            "ufrag, pwd: our ICE credentials for this peer. csrc: the user's id in the room. level_id: id of the RFC 6464 "
            "extension, 0 when not negotiated (the plane then decodes for level). report_ssrc: ours in RTCP to the peer. "
            "red_payload_type: of redundant audio (RFC 2198), 0 when not negotiated. nack: whether lost packets may be asked for again.")
        .def(
            "add_listener",
            [](Plane& p, plane::PeerId peer, unsigned worker, plane::RoomId room, std::string ufrag, std::string pwd,
               std::uint32_t csrc, const std::vector<plane::SlotConfig>& slots, std::string cname, std::optional<plane::RowId> row) {
                return p.add_listener(peer, worker, room, {std::move(ufrag), std::move(pwd)}, csrc, slots, std::move(cname), row);
            },
            "peer"_a, "worker"_a, "room"_a, nb::kw_only(), "ufrag"_a, "pwd"_a, "csrc"_a, "slots"_a, "cname"_a, "row"_a = nb::none(),
            "csrc: the user's own id, whose stream it never gets back. Slots carry the loudest until set_sources(); with a row "
            "its only slot carries that row's mix.")
        .def("move_peer", &Plane::move_peer, "peer"_a, "room"_a, nb::kw_only(), "csrc"_a, "row"_a = nb::none(),
             "To another room, over the same connection and on the same worker; its streams go on. csrc: the user's id there. "
             "row: there, of a listener of a mix, and of nobody else; a listener of named speakers gets the loudest.")
        .def("set_listener_row", &Plane::set_listener_row, "peer"_a, "row"_a)
        .def("set_sources", &Plane::set_sources, "peer"_a, "csrcs"_a,
             "Named speakers for a listener's slots, in order; empty: the loudest.")
        .def(
            "restart_ice",
            [](Plane& p, plane::PeerId peer, std::string ufrag, std::string pwd) {
                p.restart_ice(peer, {std::move(ufrag), std::move(pwd)});
            },
            "peer"_a, "ufrag"_a, "pwd"_a, "New credentials; the old ones stay good until the first request with the new ones.")
        .def(
            "send", [](Plane& p, plane::PeerId peer, const std::vector<nb::bytes>& list) { p.send(peer, datagrams(list)); },
            "peer"_a, "datagrams"_a, nb::sig("def send(self, peer: int, datagrams: collections.abc.Sequence[bytes]) -> None"),
            "DTLS datagrams to the peer's address (within 3 × the bytes received, until keys are set).")
        .def(
            "set_keys",
            [](Plane& p, plane::PeerId peer, unsigned number, const nb::bytes& material) {
                p.set_keys(peer, profile(number), view(material));
            },
            "peer"_a, "profile"_a, "material"_a,
            "The handshake is complete. material: the exported keying material of RFC 5764 section 4.2.")
        .def("release_handshake", &Plane::release_handshake, "peer"_a, "DTLS datagrams of this peer are no longer events.")
        .def(
            "remove_peer",
            [](Plane& p, plane::PeerId peer, const std::vector<nb::bytes>& farewell) { p.remove_peer(peer, datagrams(farewell)); },
            "peer"_a, "farewell"_a,
            nb::sig("def remove_peer(self, peer: int, farewell: collections.abc.Sequence[bytes]) -> None"),
            "Sends RTCP BYE and these datagrams (close_notify), then forgets the peer.")
        .def(
            "unix_time_ns",
            [](const Plane& p, std::int64_t ns) { return p.unix_time(plane::Instant{std::chrono::nanoseconds{ns}}).count(); },
            "monotonic_ns"_a, "A time of the monotonic clock on the clock of the plane's RTCP sender reports, ns since 1970.")
        .def("counters", &counters, "worker"_a, nb::sig("def counters(self, worker: int) -> dict[str, int]"),
             "Counters and gauges of one worker, by name; counter_meanings() explains them.")
        .def("residence", &histogram_of<&plane::WorkerStats::residence>, "worker"_a,
             "How long forwarded packets stayed in the server: upper bounds in seconds, counts (one more, for the rest), sum.")
        .def("mix_residence", &histogram_of<&plane::WorkerStats::mix_residence>, "worker"_a,
             "From the time of a room's tick to the sending of its mix, per packet, in the form of residence().")
        .def("playout_wait", &histogram_of<&plane::WorkerStats::playout_wait>, "worker"_a,
             "How long what a tick mixes of a speaker has waited, in the form of residence().")
        .def("playout_target", &histogram_of<&plane::WorkerStats::playout_target>, "worker"_a,
             "How long the speaker's jitter buffer wanted it to wait, in the form of residence().")
        .def("tick_lateness", &histogram_of<&plane::WorkerStats::tick_lateness>, "worker"_a,
             "How long after its time a room's tick began, in the form of residence().")
        .def("tick_duration", &histogram_of<&plane::WorkerStats::tick_duration>, "worker"_a,
             "How long a room's tick took, in the form of residence().");

    nb::class_<Sealer>(m, "SrtpSealer", "Outgoing SRTP, for tests and tools.")
        .def(nb::init<unsigned, const nb::bytes&, const nb::bytes&>(), "profile"_a, "key"_a, "salt"_a)
        .def("rtp", &Sealer::rtp, "packet"_a, "roll_over"_a = 0)
        .def("rtcp", &Sealer::rtcp, "packet"_a);
    nb::class_<Opener>(m, "SrtpOpener", "Incoming SRTP, for tests and tools; None for what does not authenticate.")
        .def(nb::init<unsigned, const nb::bytes&, const nb::bytes&>(), "profile"_a, "key"_a, "salt"_a)
        .def("rtp", &Opener::rtp, "packet"_a)
        .def("rtcp", &Opener::rtcp, "packet"_a);
    load::bind(m);
}
