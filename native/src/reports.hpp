// RTCP of one peer: what it reports is read into its statistics, and what it is owed is written (RFC 3550 section 6).
#pragma once

#include "peer.hpp"

namespace plane {

// NTP time (seconds since 1900, 32.32) of an instant, by the offset that the worker took once at start.
class NtpClock {
public:
    NtpClock(Instant now, std::chrono::system_clock::time_point wall) noexcept;
    std::uint64_t at(Instant instant) const noexcept;
    // Since 1970.
    nanoseconds unix_time(Instant instant) const noexcept;

private:
    std::uint64_t ntp_ns_at_epoch_;  // of Instant{}
};

// An opened compound packet; nothing when it is malformed. What it says of goodbyes and lost packets is the caller's to act on.
std::optional<rtcp::Reports> read_reports(Peer& peer, Bytes compound, Instant now, const NtpClock& ntp) noexcept;

// Receiver report for a publisher, sender reports for a listener's slots; each with its CNAME. 0: nothing to say yet.
std::size_t write_reports(Peer& peer, MutableBytes out, Instant now, const NtpClock& ntp) noexcept;

// What a publisher is asked for again, as a compound of its own. 0: nothing now.
std::size_t write_questions(Peer& peer, MutableBytes out, Instant now) noexcept;

// BYE for every stream of ours.
std::size_t write_goodbye(const Peer& peer, MutableBytes out) noexcept;

}  // namespace plane
