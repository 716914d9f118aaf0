// Counters that one worker writes and anybody reads: relaxed atomics without read-modify-write, so counting costs a move.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "clock.hpp"

namespace plane {

template <class T>
class Gauge {
public:
    void set(T value) noexcept { value_.store(value, std::memory_order_relaxed); }
    T get() const noexcept { return value_.load(std::memory_order_relaxed); }
    void add(T value) noexcept { set(get() + value); }

private:
    std::atomic<T> value_{};
};

using Counter = Gauge<std::uint64_t>;

// Log-linear histogram of durations: bounds 10 µs · {1, 2, 5} · 10^k up to 1 s.
class Histogram {
public:
    static constexpr std::array<double, 16> bounds_s{10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3,
                                                     5e-3,  10e-3, 20e-3, 50e-3,  100e-3, 200e-3, 500e-3, 1.0};

    void record(Duration value, std::uint64_t times = 1) noexcept {
        const double value_s = std::chrono::duration<double>(value).count();
        std::size_t bucket = 0;
        while (bucket < bounds_s.size() && value_s > bounds_s[bucket]) ++bucket;
        counts_[bucket].add(times);
        sum_s_.set(sum_s_.get() + value_s * static_cast<double>(times));
    }

    std::uint64_t count(std::size_t bucket) const noexcept { return counts_[bucket].get(); }
    double sum_s() const noexcept { return sum_s_.get(); }

private:
    std::array<Counter, bounds_s.size() + 1> counts_;
    Gauge<double> sum_s_;
};

// Written by the peer's worker; a publisher's level and playout by his room's home, which may be another.
struct PeerStats {
    Counter packets_received, bytes_received;  // authenticated SRTP, with headers
    Counter packets_sent, bytes_sent;
    Counter packets_nacked, packets_retransmitted;  // listener: asked for again, and sent again
    Gauge<std::int64_t> packets_lost;  // publisher: of its stream, here; listener: as it reports, all slots
    Gauge<double> fraction_lost;       // 0..1
    Gauge<double> jitter_ms;
    Gauge<double> round_trip_ms{};     // negative: not known
    Gauge<double> level_dbov;          // publisher: -127..0, smoothed
    Gauge<bool> speaking;
    Gauge<bool> silent, clipping;      // publisher: his microphone gives nothing, or too much
    Gauge<std::uint32_t> ssrc;
    Gauge<bool> over_tcp;              // the selected pair is
    Gauge<std::uint32_t> tier;         // listener of a mix, or with RED: 0 clean, 1 lossy, 2 very lossy
    // Of a publisher who is mixed: how long his audio waits in the jitter buffer, and how long it should; frames made up.
    Gauge<double> playout_delay_ms, playout_target_ms;
    Gauge<double> lateness_ms;         // of his packets on average, after the fastest
    Counter frames_recovered, frames_from_red, frames_from_nack, frames_concealed, packets_late;
    // Of a publisher, between his worker and his room's home. When the sample of timestamp 0 is heard, in samples of our
    // clock mod 2^32, with bit 32 set; 0: nothing plays. How long he takes to answer a NACK; negative: he is asked for nothing.
    // How long after one he is sent the next for the same packet.
    Counter playhead;
    Gauge<double> answer_ms{}, question_ms{};
    Counter packets_asked;
    Counter samples_taken, samples_put_in;  // to play faster and slower

    PeerStats() noexcept {
        round_trip_ms.set(-1.0);
        level_dbov.set(-127.0);
        answer_ms.set(-1.0);
    }

    // The address changes a few times in a call; a lock that only then is taken by the worker.
    void set_address(std::string text) {
        const std::lock_guard lock{address_mutex_};
        address_ = std::move(text);
    }
    std::string address() const {
        const std::lock_guard lock{address_mutex_};
        return address_;
    }

private:
    mutable std::mutex address_mutex_;
    std::string address_;
};

// name, meaning. One list makes the fields, the dictionary that Python reads, and the documentation.
#define PLANE_COUNTERS(X)                                                                              \
    X(datagrams_received, "UDP datagrams received")                                                    \
    X(bytes_received, "bytes of UDP and TCP payload received")                                         \
    X(datagrams_sent, "UDP datagrams sent")                                                            \
    X(bytes_sent, "bytes of UDP and TCP payload sent")                                                 \
    X(tcp_frames_received, "packets received over TCP")                                                \
    X(tcp_frames_sent, "packets sent over TCP")                                                        \
    X(tcp_refused, "TCP connections refused: too many, or no authenticated check in time")             \
    X(packets_forwarded, "RTP packets sent to listeners")                                              \
    X(rtp_received, "RTP packets that authenticated")                                                  \
    X(rtcp_received, "RTCP packets that authenticated")                                                \
    X(stun_requests, "STUN binding requests that authenticated")                                       \
    X(dropped_malformed, "datagrams that are neither STUN, DTLS nor RTP, or do not parse")             \
    X(dropped_stranger, "datagrams from an address that no authenticated request has named")           \
    X(dropped_unauthentic, "STUN with wrong credentials, SRTP that fails authentication or is a replay") \
    X(dropped_early, "SRTP before the handshake has given keys")                                       \
    X(dropped_muted, "RTP of a source that nobody may hear now")                                       \
    X(dropped_overload, "packets not forwarded because a queue or the packet pool was full")           \
    X(dropped_send, "datagrams that the kernel did not take, packets for a TCP peer that does not read") \
    X(dropped_amplification, "datagrams withheld from an address not proved yet")                      \
    X(dropped_handshake, "DTLS datagrams dropped because the event loop is behind")                    \
    X(ranking_changes, "changes of a room's order of speakers")                                        \
    X(packets_filled, "lost packets of speakers whose redundant copies went to listeners in their place") \
    X(packets_red, "RTP packets of speakers packed with those before them (RED), once for all in a tier and worker") \
    X(packets_mixed, "RTP packets of the mixer sent to listeners")                                     \
    X(packets_nacked, "RTP packets that listeners asked for again, by NACK")                           \
    X(packets_retransmitted, "RTP packets sent to listeners again, bit for bit")                       \
    X(frames_encoded, "mixed frames encoded: one for each distinct mix, tier and tick")                \
    X(frames_passed, "frames of mixes that were the packets of one speaker alone, not encoded again") \
    X(frames_red, "mixed frames packed with those before them (RED), encoded or passed")              \
    X(frames_primed, "frames encoded unheard, to warm an encoder for a mix that parts from another")   \
    X(sources_decoded, "sources decoded for mixing: one for each source that is heard, and tick")      \
    X(frames_recovered, "lost frames of speakers that in-band FEC brought back")                       \
    X(frames_from_red, "lost frames of speakers that redundant copies brought back (RFC 2198)")        \
    X(frames_from_nack, "lost frames of speakers that were sent again in time (RFC 4585)")             \
    X(packets_asked, "packets that speakers were asked for again")                                     \
    X(frames_concealed, "lost or late frames of speakers that were made up")                           \
    X(accelerated_ns, "audio of speakers taken out to play faster, nanoseconds")                       \
    X(decelerated_ns, "audio of speakers put in to play slower, nanoseconds")                          \
    X(level_decodes, "packets decoded because their sender gives no level")                            \
    X(room_ticks, "ticks of rooms")                                                                    \
    X(naps, "times that a silent worker waited 1 ms for more to do at once")                           \
    X(cpu_ns, "CPU time of the worker thread, nanoseconds")                                            \
    X(peers, "peers now")                                                                              \
    X(tcp_connections, "TCP connections now")                                                          \
    X(rooms, "rooms whose home this is, now")                                                          \
    X(mixes, "distinct mixes now")                                                                     \
    X(listeners_lossy, "listeners of mixes, or with RED, whose loss has them in the second tier, now")  \
    X(listeners_very_lossy, "listeners of mixes, or with RED, whose loss has them in the third tier, now")

struct WorkerStats {
#define PLANE_FIELD(name, meaning) Counter name;
    PLANE_COUNTERS(PLANE_FIELD)
#undef PLANE_FIELD
    Histogram residence;      // arrival of a publisher's packet to its send call, per forwarded packet
    Histogram mix_residence;  // time of a tick to the send call of its mix, per packet
    Histogram playout_wait;   // how long what a tick mixes of a speaker has waited: arrival on the fastest path to the tick
    Histogram playout_target; // how much of that the jitter buffer wanted
    Histogram tick_lateness;  // how long after its time a room's tick began
    Histogram tick_duration;  // from the beginning of a room's tick to its last encoded frame
};

}  // namespace plane
