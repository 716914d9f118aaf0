// Python bindings: conversions only. Methods that may wait let go of the interpreter.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <system_error>

#include "plane.hpp"

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
        list.append(nb::make_tuple(static_cast<int>(event.kind), event.peer, to_bytes(event.data)));
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
                              bool e2ee) {
    return {{{stereo ? 2U : 1U, bitrate, complexity, music}, ptime_ms, passthrough}, e2ee};
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
    m.attr("ADDRESS_CHANGED") = static_cast<int>(plane::EventKind::address_changed);
    m.attr("MEDIA") = static_cast<int>(plane::EventKind::media);
    m.attr("CONSENT_EXPIRED") = static_cast<int>(plane::EventKind::consent_expired);
    m.attr("CONSENT_LATE") = static_cast<int>(plane::EventKind::consent_late);
    m.attr("CONSENT_BACK") = static_cast<int>(plane::EventKind::consent_back);
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
        .def_prop_ro("playout_delay_ms", [](const PeerStats& s) { return s.playout_delay_ms.get(); },
                     "Publisher who is mixed: how long his audio waits in the jitter buffer.")
        .def_prop_ro("playout_target_ms", [](const PeerStats& s) { return s.playout_target_ms.get(); },
                     "How long it should.")
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
                     "Listener of a mix, by the loss that it reports: 0 clean, 1 lossy, 2 very lossy.")
        .def_prop_ro("ssrc", [](const PeerStats& s) { return s.ssrc.get(); }, "Publisher's, 0 before its first packet.")
        .def_prop_ro("address", &PeerStats::address, "\"127.0.0.1:50000\" of the selected pair, \"\" before there is one.");

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
            "Addresses of the mixing kernels (mediaserver/kernels.py), the floats of a limiter's state and the samples of its delay. They "
            "must stay valid until stop() has returned.")
        .def(
            "add_room",
            [](Plane& p, plane::RoomId room, unsigned home, bool stereo, std::uint32_t bitrate, unsigned ptime_ms, int complexity,
               bool music, bool passthrough, bool e2ee) {
                p.add_room(room, home, room_config(stereo, bitrate, ptime_ms, complexity, music, passthrough, e2ee));
            },
            "room"_a, "home"_a, nb::kw_only(), "stereo"_a = false, "bitrate"_a = 48000, "ptime_ms"_a = 20, "complexity"_a = 5,
            "music"_a = false, "passthrough"_a = false, "e2ee"_a = false,
            "home: the worker that hears and mixes the room, and of those who join it to publish. The rest: how its mixes are encoded; "
            "passthrough: one voice alone is not encoded again.")
        .def(
            "configure_room",
            [](Plane& p, plane::RoomId room, bool stereo, std::uint32_t bitrate, unsigned ptime_ms, int complexity, bool music,
               bool passthrough, bool e2ee) {
                p.configure_room(room, room_config(stereo, bitrate, ptime_ms, complexity, music, passthrough, e2ee));
            },
            "room"_a, nb::kw_only(), "stereo"_a, "bitrate"_a, "ptime_ms"_a, "complexity"_a, "music"_a, "passthrough"_a, "e2ee"_a,
            "Other mix settings: encoders and decoders begin anew.")
        .def("remove_room", &Plane::remove_room, "room"_a, "Its peers must have been removed before.")
        .def("set_column", &Plane::set_column, "room"_a, "csrc"_a, "gain"_a,
             "The column of source `csrc` in the room's gain matrix: 0 is muted for everyone. A source without a column is "
             "not heard; the column outlives the publisher's connection.")
        .def("remove_column", &Plane::remove_column, "room"_a, "csrc"_a)
        .def(
            "add_row",
            [](Plane& p, plane::RoomId room, plane::RowId row, const std::vector<std::pair<std::uint32_t, float>>& cells,
               std::optional<plane::RowId> like) {
                std::vector<plane::Cell> list;
                for (const auto& [csrc, gain] : cells) list.push_back({csrc, gain});
                p.add_row(room, row, std::move(list), like);
            },
            "room"_a, "row"_a, "cells"_a, "like"_a = nb::none(),
            "A row of the gain matrix, for mixes: every column at its own gain, but for these cells (csrc, factor). like: the "
            "row from which this one is a change, so that those who move hear the gains move and no break.")
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
        .def("counters", &counters, "worker"_a, nb::sig("def counters(self, worker: int) -> dict[str, int]"),
             "Counters and gauges of one worker, by name; counter_meanings() explains them.")
        .def("residence", &histogram_of<&plane::WorkerStats::residence>, "worker"_a,
             "How long forwarded packets stayed in the server: upper bounds in seconds, counts (one more, for the rest), sum.")
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
}
