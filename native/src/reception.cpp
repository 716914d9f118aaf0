#include "reception.hpp"

#include <algorithm>
#include <cmath>

#include "voice.hpp"

namespace plane {

Reception::Reception(ReceptionConfig config, std::shared_ptr<PeerStats> stats, WorkerStats& worker_stats)
    : config_{config}, stats_{std::move(stats)}, worker_stats_{worker_stats} {}

bool Reception::accept(Packet& packet, Bytes rtp_packet, Instant now) {
    const auto rtp = rtp::parse(rtp_packet);
    if (!rtp || rtp->payload.empty()) return false;
    red::Blocks audio{rtp->payload};
    if (config_.red_payload_type != 0 && rtp->payload_type == config_.red_payload_type) {
        const auto parsed = red::parse(rtp->payload, config_.payload_type);
        if (!parsed) return false;
        audio = *parsed;
    } else if (rtp->payload_type != config_.payload_type) {
        return false;
    }

    const std::uint64_t index = packet.position.index;
    if (received_ == 0) {
        restart(rtp->ssrc, index);
    } else if (rtp->ssrc != ssrc_) {
        if (now - last_arrival_ < ssrc_handover) return false;
        restart(rtp->ssrc, index);
    } else if (index > highest_index_ + max_jump) {
        begin_stretch();
    }

    packet.repeated = config_.nack && repeats_.arrived(index, rtp->timestamp, audio.copy_count, now);
    // To the sender it was lost, and the sender's own measures against loss go by that.
    if (!packet.repeated) ++received_;
    highest_index_ = std::max(highest_index_, index);
    first_index_ = std::min(first_index_, index);
    last_arrival_ = now;
    stats_->ssrc.set(ssrc_);
    if (!packet.repeated) measure_jitter(now, rtp->timestamp);

    const auto offset = [&](Bytes part) { return static_cast<std::uint16_t>(part.data() - packet.bytes.data()); };
    packet.payload_offset = offset(audio.primary);
    packet.payload_size = static_cast<std::uint16_t>(audio.primary.size());
    packet.copy_count = static_cast<std::uint8_t>(audio.copy_count);
    for (std::size_t i = 0; i < audio.copy_count; ++i) {
        const red::Copy& copy = audio.copies[i];
        packet.copies[i] = {offset(copy.payload), static_cast<std::uint16_t>(copy.payload.size()), copy.distance, copy.before};
    }
    packet.level = measure_level(*rtp, audio.primary);
    packet.position.run = stretch_;
    packet.position.timestamp = rtp->timestamp;
    packet.position.marker = rtp->marker;
    return true;
}

void Reception::restart(std::uint32_t ssrc, std::uint64_t index) noexcept {
    ssrc_ = ssrc;
    begin_stretch();
    first_index_ = highest_index_ = index;
    received_ = expected_before_ = received_before_ = 0;
    jitter_ = 0;
    has_transit_ = false;
    last_sr_ = 0;
}

void Reception::begin_stretch() noexcept {
    repeats_.reset();
    if (++stretch_ == 0) stretch_ = 1;
}

void Reception::measure_jitter(Instant now, std::uint32_t timestamp) noexcept {
    // RFC 3550 A.8, on a clock whose absolute value does not matter.
    const double arrival = std::chrono::duration<double>(now.time_since_epoch()).count() * opus::sample_rate;
    const double transit = std::fmod(arrival, 4294967296.0) - timestamp;
    if (has_transit_) {
        double difference = std::fabs(transit - last_transit_);
        if (difference > 2147483648.0) difference = 4294967296.0 - difference;  // the timestamp wrapped around
        jitter_ += (difference - jitter_) / 16;
    }
    has_transit_ = true;
    last_transit_ = transit;
    stats_->jitter_ms.set(jitter_ * 1000.0 / opus::sample_rate);
}

rtp::AudioLevel Reception::measure_level(const rtp::Packet& rtp, Bytes payload) {
    if (config_.level_id != 0) {
        if (const auto level = rtp::audio_level(rtp, config_.level_id)) return *level;
    }
    if (config_.opaque) return {false, 127};
    if (!meter_) meter_ = std::make_unique<opus::LevelMeter>();
    worker_stats_.level_decodes.add(1);
    const double dbov = meter_->measure(payload).value_or(-127.0);
    return {dbov > Voice::on_dbov, static_cast<std::uint8_t>(std::lround(-dbov))};
}

std::optional<Duration> Reception::round_trip() const noexcept {
    const double ms = stats_->round_trip_ms.get();
    if (ms < 0) return std::nullopt;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>{ms});
}

std::size_t Reception::ask(Instant now, std::array<std::uint64_t, Repeats::capacity>& out) noexcept {
    const auto way = round_trip();
    const std::uint64_t playhead = stats_->playhead.get();
    const Answers answers = repeats_.answers(way);
    stats_->question_ms.set(std::chrono::duration<double, std::milli>(answers.again).count());
    stats_->answer_ms.set(std::chrono::duration<double, std::milli>(answers.time).count());
    const auto heard = playhead == 0 ? std::nullopt : std::optional{static_cast<std::uint32_t>(playhead)};
    const std::size_t count = repeats_.ask(now, way, heard, out);
    stats_->packets_asked.add(count);
    worker_stats_.packets_asked.add(count);
    return count;
}

void Reception::sender_report(Instant now, const rtcp::SenderInfo& info) noexcept {
    last_sr_ = static_cast<std::uint32_t>(info.ntp >> 16);
    last_sr_arrival_ = now;
}

std::optional<rtcp::ReportBlock> Reception::report(Instant now) noexcept {
    if (received_ == 0) return std::nullopt;
    rtcp::ReportBlock block;
    const std::uint64_t expected = highest_index_ - first_index_ + 1;
    const auto lost = static_cast<std::int64_t>(expected) - static_cast<std::int64_t>(received_);
    const auto expected_now = static_cast<std::int64_t>(expected - expected_before_);
    const auto lost_now = expected_now - static_cast<std::int64_t>(received_ - received_before_);
    expected_before_ = expected;
    received_before_ = received_;
    const double fraction = expected_now > 0 && lost_now > 0 ? static_cast<double>(lost_now) / static_cast<double>(expected_now) : 0.0;
    stats_->packets_lost.set(lost);
    stats_->fraction_lost.set(fraction);

    block.ssrc = ssrc_;
    block.fraction_lost = static_cast<std::uint8_t>(std::min(255.0, fraction * 256));
    block.cumulative_lost = static_cast<std::int32_t>(std::clamp<std::int64_t>(lost, -0x800000, 0x7fffff));
    block.highest_sequence = static_cast<std::uint32_t>(highest_index_);
    block.jitter = static_cast<std::uint32_t>(jitter_);
    block.last_sr = last_sr_;
    if (last_sr_ != 0) {
        const double delay_s = std::chrono::duration<double>(now - last_sr_arrival_).count();
        block.delay_since_last_sr = static_cast<std::uint32_t>(std::min(delay_s * 65536, 4294967295.0));
    }
    return block;
}

}  // namespace plane
