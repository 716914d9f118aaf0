// RTCP (RFC 3550 section 6), compound and reduced-size (RFC 5506), with the receiver reference time of XR (RFC 3611) and the
// generic NACK (RFC 4585).
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "bytes.hpp"

namespace plane::rtcp {

struct ReportBlock {
    std::uint32_t ssrc = 0;              // the stream that is reported on
    std::uint8_t fraction_lost = 0;      // 1/256
    std::int32_t cumulative_lost = 0;    // 24 bits, signed
    std::uint32_t highest_sequence = 0;  // extended by cycles
    std::uint32_t jitter = 0;            // RTP time units
    std::uint32_t last_sr = 0;           // middle 32 bits of the NTP time of the last SR; 0 when none
    std::uint32_t delay_since_last_sr = 0;  // 1/65536 s
};

struct SenderInfo {
    std::uint64_t ntp = 0;  // 32.32 fixed point seconds
    std::uint32_t rtp_timestamp = 0;
    std::uint32_t packets = 0;
    std::uint32_t octets = 0;
};

// RFC 3611 section 4.5: the answer to a receiver reference time block.
struct Dlrr {
    std::uint32_t ssrc = 0;
    std::uint32_t last_rr = 0;
    std::uint32_t delay_since_last_rr = 0;
};

// RFC 4585 section 6.2.1: packets of a stream that did not come. Bit k of `following` is sequence + 1 + k.
struct Nack {
    std::uint32_t ssrc = 0;
    std::uint16_t sequence = 0;
    std::uint16_t following = 0;
};

constexpr std::size_t max_blocks = 31;
// 32 tell of 544 packets. More cannot be worth sending again.
constexpr std::size_t max_nacks = 32;

// All that a datagram of RTCP says to us. Fixed size: a peer cannot make it grow; surplus blocks are dropped.
struct Reports {
    std::uint32_t sender_ssrc = 0;  // SSRC of the first packet
    std::optional<SenderInfo> sender;
    std::array<ReportBlock, max_blocks> blocks{};
    std::size_t block_count = 0;
    std::array<Dlrr, 4> dlrrs{};
    std::size_t dlrr_count = 0;
    std::array<Nack, max_nacks> nacks{};
    std::size_t nack_count = 0;
    std::optional<std::uint64_t> reference_time;  // XR receiver reference time, NTP 32.32
    bool bye = false;
};

// Nothing when any length does not fit. Packets of unknown type are passed over.
std::optional<Reports> parse(Bytes compound) noexcept;

// Each appends one packet to `out` and returns its size, 0 when it does not fit.
std::size_t write_sender_report(MutableBytes out, std::uint32_t ssrc, const SenderInfo&, std::span<const ReportBlock>) noexcept;
std::size_t write_receiver_report(MutableBytes out, std::uint32_t ssrc, std::span<const ReportBlock>) noexcept;
std::size_t write_cname(MutableBytes out, std::uint32_t ssrc, std::string_view cname) noexcept;
std::size_t write_reference_time(MutableBytes out, std::uint32_t ssrc, std::uint64_t ntp) noexcept;
// A generic NACK of at most max_nacks entries: packets of stream `media` that did not come, in order.
std::size_t write_nack(MutableBytes out, std::uint32_t ssrc, std::uint32_t media, std::span<const std::uint16_t> sequences) noexcept;
std::size_t write_bye(MutableBytes out, std::uint32_t ssrc, std::string_view reason) noexcept;

}  // namespace plane::rtcp
