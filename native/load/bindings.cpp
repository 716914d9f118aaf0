// Python bindings of the load generator: conversions only. Methods that wait for the loop let go of the interpreter.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "generator.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace load {

namespace {

using plane::Bytes;

Bytes view(const nb::bytes& bytes) { return {reinterpret_cast<const std::uint8_t*>(bytes.c_str()), bytes.size()}; }

std::shared_ptr<Sound> make_sound(const std::vector<std::pair<nb::bytes, unsigned>>& frames,
                                  const std::optional<std::tuple<unsigned, std::size_t, std::uint32_t>>& chirp) {
    auto sound = std::make_shared<Sound>();
    for (const auto& [payload, level] : frames) {
        if (level > 127) throw std::invalid_argument("a level is 0 to 127");
        sound->frames.push_back({{view(payload).begin(), view(payload).end()}, static_cast<std::uint8_t>(level)});
    }
    if (chirp) {
        const auto& [kind, frame, sample] = *chirp;
        if (kind >= chirp_kinds || frame >= frames.size() || sample >= 960) throw std::invalid_argument("the sound has no such chirp");
        sound->chirp = Sound::Chirp{kind, frame, sample};
    }
    return sound;
}

PathConfig path(double loss, double burst, double delay_ms, double jitter_ms, double duplicate) {
    const auto time = [](double ms) { return std::chrono::duration_cast<plane::Duration>(std::chrono::duration<double, std::milli>{ms}); };
    if (!(loss >= 0 && loss <= 1 && duplicate >= 0 && duplicate <= 1 && burst >= 0 && burst <= 1000)) {
        throw std::invalid_argument("shares are 0 to 1, bursts up to 1,000 packets");
    }
    if (!(delay_ms >= 0 && delay_ms <= 10'000 && jitter_ms >= 0 && jitter_ms <= 10'000)) throw std::invalid_argument("a path takes up to 10 s");
    return {loss, burst, time(delay_ms), time(jitter_ms), duplicate};
}

AgentConfig agent(const std::pair<std::string, std::string>& local, const std::pair<std::string, std::string>& remote,
                  const std::vector<std::pair<std::string, std::uint16_t>>& candidates, std::uint64_t seed) {
    AgentConfig config{local.first, local.second, remote.first, remote.second, {}, seed};
    for (const auto& [address, port] : candidates) {
        const auto endpoint = plane::Endpoint::from_text(address, port);
        if (!endpoint) throw std::invalid_argument("not an IP address: " + address);
        config.candidates.push_back(*endpoint);
    }
    return config;
}

plane::srtp::Profile profile(unsigned number) {
    using plane::srtp::Profile;
    for (Profile known : {Profile::aes128_cm_sha1_80, Profile::aead_aes_128_gcm, Profile::aead_aes_256_gcm}) {
        if (static_cast<unsigned>(known) == number) return known;
    }
    throw std::invalid_argument("unknown SRTP profile");
}

nb::dict to_dict(const Tally& tally) {
    nb::dict dict;
#define LOAD_ENTRY(name) dict[#name] = tally.name
    LOAD_ENTRY(packets);
    LOAD_ENTRY(bytes);
    LOAD_ENTRY(lost);
    LOAD_ENTRY(duplicates);
    LOAD_ENTRY(reordered);
    LOAD_ENTRY(restarts);
    LOAD_ENTRY(gaps);
    LOAD_ENTRY(undecryptable);
    LOAD_ENTRY(malformed);
    LOAD_ENTRY(marked);
    LOAD_ENTRY(missing);
    LOAD_ENTRY(repeated);
    LOAD_ENTRY(disordered);
    LOAD_ENTRY(foreign);
    LOAD_ENTRY(corrupt);
    LOAD_ENTRY(unmarked);
    LOAD_ENTRY(modelled_lost);
    LOAD_ENTRY(modelled_missing);
    LOAD_ENTRY(unexplained_chirps);
    LOAD_ENTRY(windows);
    LOAD_ENTRY(own_windows);
    LOAD_ENTRY(foreign_windows);
#undef LOAD_ENTRY
    return dict;
}

nb::dict to_dict(const Latencies& latencies) {
    nb::dict dict;
    dict["count"] = latencies.count();
    dict["p50_us"] = latencies.percentile_us(0.5);
    dict["p90_us"] = latencies.percentile_us(0.9);
    dict["p99_us"] = latencies.percentile_us(0.99);
    dict["p999_us"] = latencies.percentile_us(0.999);
    dict["max_us"] = latencies.max_us();
    return dict;
}

nb::dict snapshot(Generator& generator) {
    Snapshot now;
    {
        const nb::gil_scoped_release released;
        now = generator.snapshot();
    }
    nb::dict dict;
    dict["tally"] = to_dict(now.tally);
    dict["delay"] = to_dict(now.measured.times.delay);
    dict["delay_as_read"] = to_dict(now.measured.times.delay_as_read);
    dict["mouth_to_ear"] = to_dict(now.measured.times.mouth_to_ear.delays);
    dict["queue"] = to_dict(now.measured.queue);
    dict["lateness"] = to_dict(now.measured.lateness);
    dict["datagrams_sent"] = now.measured.datagrams_sent;
    dict["datagrams_received"] = now.measured.datagrams_received;
    dict["packets_sent"] = now.measured.packets_sent;
    dict["packets_received"] = now.measured.packets_received;
    dict["packets_skipped"] = now.measured.packets_skipped;
    dict["connected"] = now.measured.connected;
    dict["chirps_said"] = now.measured.chirps_said;
    dict["modelled_lost_up"] = now.measured.modelled_lost_up;
    dict["modelled_lost_down"] = now.measured.modelled_lost_down;
    dict["modelled_twice_up"] = now.measured.modelled_twice_up;
    dict["modelled_twice_down"] = now.measured.modelled_twice_down;
    dict["modelled_overflow"] = now.measured.modelled_overflow;
    dict["silent"] = now.silent;
    dict["send_failures"] = now.send_failures;
    dict["events_dropped"] = now.events_dropped;
    dict["cpu_s"] = now.cpu_s;
    return dict;
}

std::int64_t nanoseconds_of(plane::Instant instant) { return instant.time_since_epoch() / plane::nanoseconds{1}; }

nb::dict outcome(Generator& generator, ClientId client) {
    const Outcome result = generator.outcome(client);
    nb::dict dict;
    dict["listener"] = result.listener;
    dict["connected"] = result.connected;
    dict["first_ns"] = nanoseconds_of(result.first);
    dict["last_ns"] = nanoseconds_of(result.last);
    dict["packets"] = result.packets;
    dict["tally"] = to_dict(result.tally);
    return dict;
}

nb::list poll(Generator& generator) {
    nb::list list;
    for (const Event& event : generator.poll()) {
        list.append(nb::make_tuple(static_cast<int>(event.what), event.client, nb::bytes{event.data.data(), event.data.size()}));
    }
    return list;
}

using Pair = std::pair<std::string, std::string>;
using Candidates = std::vector<std::pair<std::string, std::uint16_t>>;

}  // namespace

void bind(nb::module_& m) {
    m.attr("LOAD_DATAGRAM") = static_cast<int>(Happened::datagram);
    m.attr("LOAD_ICE_CONNECTED") = static_cast<int>(Happened::ice_connected);
    m.attr("LOAD_ICE_FAILED") = static_cast<int>(Happened::ice_failed);
    m.attr("LOAD_GOODBYE") = static_cast<int>(Happened::goodbye);

    nb::class_<Sound>(m, "LoadSound", "What speakers repeat.")
        .def(nb::new_(&make_sound), "frames"_a, "chirp"_a = nb::none(),
             "frames: Opus packets of one frame of 20 ms each, and their levels (RFC 6464: 0 to 127, -dBov). chirp: its kind, and the "
             "frame and sample of its middle.");
    nb::class_<PathConfig>(m, "LoadPath", "A network as a model.")
        .def(nb::new_([](double loss, double burst, double delay_ms, double jitter_ms, double duplicate) {
                 return std::make_shared<PathConfig>(path(loss, burst, delay_ms, jitter_ms, duplicate));
             }),
             nb::kw_only(), "loss"_a = 0.0, "burst"_a = 1.0, "delay_ms"_a = 0.0, "jitter_ms"_a = 0.0, "duplicate"_a = 0.0,
             "loss, duplicate: shares of datagrams, 0 to 1. burst: the mean number lost in a row. jitter_ms: evenly spread, the order is "
             "kept. ValueError for what no network is.");

    nb::class_<Generator>(m, "LoadGenerator", "WebRTC clients, one socket each, moved by one thread; one other thread calls.")
        .def(
            "__init__",
            [](Generator* self, const std::string& bind, const PathConfig* up, const PathConfig* down, std::uint64_t seed) {
                new (self) Generator{bind, up ? *up : PathConfig{}, down ? *down : PathConfig{}, seed};
            },
            "bind"_a, "up"_a.none() = nb::none(), "down"_a.none() = nb::none(), "seed"_a = 0,
            "bind: the address of the clients' sockets. up, down: the network between each of them and the server.")
        .def("start", &Generator::start)
        .def("stop", &Generator::stop, nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("event_fd", &Generator::event_fd, "Readable when poll() has something; poll() clears it.")
        .def("poll", &poll, nb::sig("def poll(self) -> list[tuple[int, int, bytes]]"),
             "All events since the last call: (kind, client, data); data is empty but for LOAD_DATAGRAM.")
        .def(
            "add_speaker",
            [](Generator& g, const Pair& local, const Pair& remote, const Candidates& candidates, std::uint64_t seed, std::uint32_t run,
               std::uint32_t room, std::uint32_t speaker, std::uint8_t payload_type, std::uint8_t level_id, std::uint32_t ssrc,
               const std::string& cname, std::shared_ptr<Sound> sound, std::uint64_t first_frame, double spurt_frames,
               double silence_frames, double phase_ms) {
                SpeakingConfig speaking{run, room, speaker, payload_type, level_id, ssrc, {spurt_frames, silence_frames, seed}, first_frame,
                                        std::chrono::duration_cast<plane::Duration>(std::chrono::duration<double, std::milli>{phase_ms}),
                                        std::move(sound)};
                return g.add({agent(local, remote, candidates, seed), ssrc, cname, std::move(speaking), {}});
            },
            nb::kw_only(), "local"_a, "remote"_a, "candidates"_a, "seed"_a, "run"_a, "room"_a, "speaker"_a, "payload_type"_a, "level_id"_a,
            "ssrc"_a, "cname"_a, "sound"_a, "first_frame"_a = 0, "spurt_frames"_a = 0.0, "silence_frames"_a = 0.0, "phase_ms"_a = 0.0,
            "local, remote: ICE ufrag and password. run, room, speaker: what its packets are marked with. level_id: of the RFC 6464 "
            "extension, 0 when not negotiated. spurt_frames, silence_frames: means, in frames of 20 ms; without silence it always talks. "
            "Returns the client's number. OSError when there is no socket for it, ValueError when something cannot be used.")
        .def(
            "add_listener",
            [](Generator& g, const Pair& local, const Pair& remote, const Candidates& candidates, std::uint64_t seed, std::uint32_t run,
               std::uint32_t room, std::uint32_t report_ssrc, const std::string& cname, bool forwarded, bool constant, bool ear,
               std::uint32_t own_tones, bool chirps) {
                return g.add({agent(local, remote, candidates, seed), report_ssrc, cname, {},
                              HearingConfig{run, room, forwarded, constant, ear, own_tones, chirps}});
            },
            nb::kw_only(), "local"_a, "remote"_a, "candidates"_a, "seed"_a, "run"_a, "room"_a, "report_ssrc"_a, "cname"_a, "forwarded"_a,
            "constant"_a, "ear"_a = false, "own_tones"_a = 0, "chirps"_a = false,
            "forwarded: payloads come as they were sent, else mixed. constant: somebody talks at all times. ear: what comes is decoded, "
            "and tones are looked for in it that own_tones (bit k: tone k) does not have; with chirps, chirps.")
        .def(
            "send", [](Generator& g, ClientId client, const nb::bytes& datagram) { g.send(client, view(datagram)); }, "client"_a,
            "datagram"_a, "Of DTLS, to the selected candidate.")
        .def(
            "set_keys",
            [](Generator& g, ClientId client, unsigned number, const nb::bytes& material, bool we_are_client) {
                if (!g.set_keys(client, profile(number), view(material), we_are_client)) {
                    throw std::invalid_argument("the keying material has another size");
                }
            },
            "client"_a, "profile"_a, "material"_a, "we_are_client"_a = true,
            "The handshake is complete. material: the exported keying material of RFC 5764 section 4.2.")
        .def("leave", &Generator::leave, "client"_a, "Says goodbye (RTCP BYE) and closes its socket; its outcome stays.")
        .def("hush", &Generator::hush, "All speakers fall silent.")
        .def("snapshot", &snapshot, nb::sig("def snapshot(self) -> dict[str, typing.Any]"), "All counters and percentiles, of all clients.")
        .def("mouth_to_ear_us", [](Generator& g) { return g.snapshot().measured.times.mouth_to_ear.kept_us; },
             "Of each chirp that was heard, up to 65,536: how long before it had been spoken.")
        .def("outcome", &outcome, "client"_a, nb::sig("def outcome(self, client: int) -> dict[str, typing.Any]"),
             "What one client sent, or received and found. IndexError for a number that no client has.");
    m.def("load_tone_hz", &tone_hz, "tone"_a, "Of the tones by which an ear knows speakers in a mix.");
    m.attr("LOAD_TONES") = tones;
    m.def("load_chirp", [](unsigned kind) { return kind < chirp_kinds ? chirp(kind) : throw std::invalid_argument("no such chirp"); }, "kind"_a,
          "The samples of a chirp at 48 kHz, full scale 1.0; kind: 0 to LOAD_CHIRPS - 1.");
    m.attr("LOAD_CHIRPS") = chirp_kinds;
}

}  // namespace load
