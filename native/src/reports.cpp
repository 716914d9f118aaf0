#include "reports.hpp"

#include <algorithm>

#include "opus.hpp"

namespace plane {

namespace {

constexpr std::uint64_t ntp_to_unix_s = 2'208'988'800;  // 1900 to 1970

// The round trip that a report block or DLRR tells: now less when we sent less how long the peer held it, RFC 3550 6.4.1.
void set_round_trip(PeerStats& stats, std::uint64_t ntp_now, std::uint32_t sent, std::uint32_t held) noexcept {
    if (sent == 0) return;
    const auto middle = static_cast<std::uint32_t>(ntp_now >> 16);
    const std::int32_t round_trip = distance32(middle - held, sent);
    // Negative by the peer's rounding, or nonsense beyond a minute.
    if (round_trip < -65 || round_trip > 60 * 65536) return;
    stats.round_trip_ms.set(std::max(0.0, round_trip * 1000.0 / 65536));
}

// What a listener says of its loss. Packets that it asked for again were lost, too, though it may not say so when it has
// got them since.
void read_loss(Listener& listener, Instant now, double fraction) noexcept {
    std::uint32_t all_packets = 0, all_asked = 0;
    for (const Slot& slot : listener.slots) {
        all_packets += slot.packets();
        all_asked += slot.asked();
    }
    const std::uint32_t packets = all_packets - listener.reported_packets;
    const double asked = all_asked - listener.reported_asked;
    const double lost = packets == 0 ? fraction : std::max(fraction, std::min(1.0, asked / packets));
    if (!listener.tier.report(now, lost, packets)) return;
    listener.reported_packets = all_packets;
    listener.reported_asked = all_asked;
}

void read_listener_blocks(Peer& peer, const rtcp::Reports& reports, Instant now, std::uint64_t ntp_now) noexcept {
    double fraction = 0;
    double jitter_ms = 0;
    std::int64_t lost = 0;
    bool any = false;
    for (std::size_t i = 0; i < reports.block_count; ++i) {
        const rtcp::ReportBlock& block = reports.blocks[i];
        const auto& slots = peer.listener->slots;
        if (std::none_of(slots.begin(), slots.end(), [&](const Slot& s) { return s.config().ssrc == block.ssrc; })) continue;
        any = true;
        fraction = std::max(fraction, block.fraction_lost / 256.0);
        jitter_ms = std::max(jitter_ms, block.jitter * 1000.0 / opus::sample_rate);
        lost += block.cumulative_lost;
        set_round_trip(*peer.stats, ntp_now, block.last_sr, block.delay_since_last_sr);
    }
    if (!any) return;
    if (peer.listener->has_tiers()) read_loss(*peer.listener, now, fraction);
    peer.stats->fraction_lost.set(fraction);
    peer.stats->jitter_ms.set(jitter_ms);
    peer.stats->packets_lost.set(lost);
}

// Appends one packet after the other; what does not fit ends the compound.
class Compound {
public:
    explicit Compound(MutableBytes out) : out_{out} {}
    MutableBytes rest() const noexcept { return out_.subspan(size_); }
    void add(std::size_t written) noexcept { size_ += written; }
    std::size_t size() const noexcept { return size_; }

private:
    MutableBytes out_;
    std::size_t size_ = 0;
};

constexpr std::string_view publisher_cname = "voicerooms";

}  // namespace

NtpClock::NtpClock(Instant now, std::chrono::system_clock::time_point wall) noexcept {
    const auto wall_ns = std::chrono::duration_cast<nanoseconds>(wall.time_since_epoch()).count();
    const auto now_ns = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
    ntp_ns_at_epoch_ = ntp_to_unix_s * 1'000'000'000 + static_cast<std::uint64_t>(wall_ns - now_ns);
}

std::uint64_t NtpClock::at(Instant instant) const noexcept {
    const auto since = std::chrono::duration_cast<nanoseconds>(instant.time_since_epoch()).count();
    const std::uint64_t ns = ntp_ns_at_epoch_ + static_cast<std::uint64_t>(since);
    const std::uint64_t fraction = ((ns % 1'000'000'000) << 32) / 1'000'000'000;
    return (ns / 1'000'000'000) << 32 | fraction;
}

nanoseconds NtpClock::unix_time(Instant instant) const noexcept {
    const auto since = std::chrono::duration_cast<nanoseconds>(instant.time_since_epoch()).count();
    return nanoseconds{static_cast<std::int64_t>(ntp_ns_at_epoch_ + static_cast<std::uint64_t>(since) - ntp_to_unix_s * 1'000'000'000)};
}

std::optional<rtcp::Reports> read_reports(Peer& peer, Bytes compound, Instant now, const NtpClock& ntp) noexcept {
    const auto reports = rtcp::parse(compound);
    if (!reports) return std::nullopt;
    if (peer.reception) {
        if (reports->sender && reports->sender_ssrc == peer.stats->ssrc.get()) peer.reception->sender_report(now, *reports->sender);
        for (std::size_t i = 0; i < reports->dlrr_count; ++i) {
            const rtcp::Dlrr& dlrr = reports->dlrrs[i];
            if (dlrr.ssrc != peer.reception->config().report_ssrc) continue;
            set_round_trip(*peer.stats, ntp.at(now), dlrr.last_rr, dlrr.delay_since_last_rr);
        }
    } else {
        read_listener_blocks(peer, *reports, now, ntp.at(now));
    }
    return reports;
}

std::size_t write_reports(Peer& peer, MutableBytes out, Instant now, const NtpClock& ntp) noexcept {
    Compound compound{out};
    const std::uint64_t ntp_now = ntp.at(now);
    if (peer.reception) {
        const auto block = peer.reception->report(now);
        if (!block) return 0;
        const std::uint32_t ssrc = peer.reception->config().report_ssrc;
        compound.add(rtcp::write_receiver_report(compound.rest(), ssrc, {&*block, 1}));
        compound.add(rtcp::write_cname(compound.rest(), ssrc, publisher_cname));
        compound.add(rtcp::write_reference_time(compound.rest(), ssrc, ntp_now));
        return compound.size();
    }
    for (const Slot& slot : peer.listener->slots) {
        const auto info = slot.sender_info(now, ntp_now);
        if (!info) continue;
        compound.add(rtcp::write_sender_report(compound.rest(), slot.config().ssrc, *info, {}));
        compound.add(rtcp::write_cname(compound.rest(), slot.config().ssrc, peer.listener->cname));
    }
    return compound.size();
}

std::size_t write_questions(Peer& peer, MutableBytes out, Instant now) noexcept {
    std::array<std::uint64_t, Repeats::capacity> indexes;
    const std::size_t count = peer.reception->ask(now, indexes);
    if (count == 0) return 0;
    std::array<std::uint16_t, Repeats::capacity> sequences;
    std::transform(indexes.begin(), indexes.begin() + count, sequences.begin(), [](std::uint64_t index) { return static_cast<std::uint16_t>(index); });
    Compound compound{out};
    const std::uint32_t ssrc = peer.reception->config().report_ssrc;
    // RFC 4585 section 3.1: the minimal compound that feedback may come in.
    compound.add(rtcp::write_receiver_report(compound.rest(), ssrc, {}));
    compound.add(rtcp::write_cname(compound.rest(), ssrc, publisher_cname));
    compound.add(rtcp::write_nack(compound.rest(), ssrc, peer.reception->ssrc(), {sequences.data(), count}));
    return compound.size();
}

std::size_t write_goodbye(const Peer& peer, MutableBytes out) noexcept {
    Compound compound{out};
    const auto say = [&](std::uint32_t ssrc, std::string_view cname) {
        // RFC 3550 section 6.1: a compound begins with a report.
        compound.add(rtcp::write_receiver_report(compound.rest(), ssrc, {}));
        compound.add(rtcp::write_cname(compound.rest(), ssrc, cname));
        compound.add(rtcp::write_bye(compound.rest(), ssrc, {}));
    };
    if (peer.reception) say(peer.reception->config().report_ssrc, publisher_cname);
    if (peer.listener) {
        for (const Slot& slot : peer.listener->slots) say(slot.config().ssrc, peer.listener->cname);
    }
    return compound.size();
}

}  // namespace plane
