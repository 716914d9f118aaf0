#include "hearing.hpp"

#include <algorithm>
#include <cmath>

namespace load {

using namespace plane;

Tally& Tally::operator+=(const Tally& more) noexcept {
    packets += more.packets, bytes += more.bytes, lost += more.lost, duplicates += more.duplicates;
    reordered += more.reordered, restarts += more.restarts, gaps += more.gaps;
    undecryptable += more.undecryptable, malformed += more.malformed;
    marked += more.marked, missing += more.missing, repeated += more.repeated, disordered += more.disordered;
    foreign += more.foreign, corrupt += more.corrupt, unmarked += more.unmarked;
    modelled_lost += more.modelled_lost, modelled_missing += more.modelled_missing;
    unexplained_chirps += more.unexplained_chirps;
    windows += more.windows, own_windows += more.own_windows, foreign_windows += more.foreign_windows;
    return *this;
}

Hearing::Hearing(const HearingConfig& config) : config_{config} {
    if (config.ear && config.chirps && config.board) {
        chirps_ = std::make_unique<ChirpEar>(config.board);
    } else if (config.ear) {
        ear_ = std::make_unique<Ear>(config.own_tones);
    }
}

bool Hearing::is_duplicate(std::uint32_t ssrc, std::uint16_t sequence) const noexcept {
    for (const Stream& stream : streams_) {
        if (stream.ssrc == ssrc) return stream.sequence.has(stream.sequence.extend(sequence));
    }
    return false;
}

std::optional<Hearing::Placed> Hearing::place(Bytes rtp_packet) {
    const auto rtp = rtp::parse(rtp_packet);
    if (!rtp) {
        ++tally_.malformed;
        return std::nullopt;
    }
    Stream* stream = find(rtp->ssrc);
    if (!stream) {
        if (streams_.size() == max_streams) {
            ++tally_.malformed;
            return std::nullopt;
        }
        stream = &streams_.emplace_back();
        stream->ssrc = rtp->ssrc;
    }
    const auto verdict = stream->sequence.record(stream->sequence.extend(rtp->sequence));
    if (verdict == Sequence::Verdict::duplicate) {
        ++tally_.duplicates;
        return std::nullopt;
    }
    return Placed{*rtp, *stream, verdict};
}

void Hearing::packet(Instant now, Bytes rtp_packet, Times& times, Duration waited) {
    const auto placed = place(rtp_packet);
    // Without a payload it keeps the path open, and has a number: no audio.
    if (!placed || placed->rtp.payload.empty()) return;
    const auto& [rtp, stream, verdict] = *placed;
    ++tally_.packets;
    tally_.bytes += rtp.payload.size();
    if (verdict == Sequence::Verdict::late) ++tally_.reordered;
    if (verdict == Sequence::Verdict::restart) ++tally_.restarts;
    if (verdict != Sequence::Verdict::late) time(stream, now, rtp.timestamp);
    if (first_ == Instant{}) first_ = now;
    last_ = now;

    if (const auto mark = read_marked(rtp.payload)) {
        marked(now, *mark, &times, waited);
    } else if (config_.forwarded) {
        ++tally_.unmarked;
    }
    // What is late would be decoded out of order; in front of it there is a hole.
    if (verdict != Sequence::Verdict::next) interrupt();
    if (verdict == Sequence::Verdict::late) return;
    if (chirps_) chirps_->hear(now, rtp.payload, times.mouth_to_ear);
    if (!ear_) return;
    const Ear::Heard heard = ear_->hear(rtp.payload);
    tally_.windows += heard.windows, tally_.own_windows += heard.own, tally_.foreign_windows += heard.foreign;
}

void Hearing::lose(Instant now, Bytes rtp_packet) {
    const auto placed = place(rtp_packet);
    if (!placed) return;
    ++tally_.modelled_lost;
    ++placed->stream.modelled_lost;
    // What follows is behind a hole, which is not the server's.
    interrupt();
    if (placed->rtp.payload.empty() || placed->verdict == Sequence::Verdict::late) return;
    time(placed->stream, now, placed->rtp.timestamp);
    if (const auto mark = read_marked(placed->rtp.payload)) marked(now, *mark, nullptr, {});
}

void Hearing::interrupt() {
    if (ear_) ear_->interrupt();
    if (chirps_) chirps_->interrupt();
}

void Hearing::time(Stream& stream, Instant now, std::uint32_t timestamp) noexcept {
    const double arrival = std::chrono::duration<double>(now.time_since_epoch()).count() * opus::sample_rate;
    const double transit = std::fmod(arrival, 4294967296.0) - timestamp;
    if (stream.last != Instant{}) {
        // A jump of either clock by 2^32 is no jitter.
        const double change = std::abs(std::remainder(transit - stream.transit, 4294967296.0));
        stream.jitter += (change - stream.jitter) / 16;
        // Who was silent has moved his timestamp on as well; then a gap is one only where somebody must talk.
        const double said_s = distance32(timestamp, stream.timestamp) / double{opus::sample_rate};
        const bool due = config_.constant || said_s < std::chrono::duration<double>(gap).count();
        if (now - stream.last > gap && due) ++tally_.gaps;
    }
    stream.transit = transit;
    stream.timestamp = timestamp;
    stream.last = now;
}

// times: nothing when the network model lost it; then only its place among the speaker's packets counts.
void Hearing::marked(Instant now, const Marked& mark, Times* times, Duration waited) {
    // What is damaged may say anything; and no packet of ours came before it was due.
    const bool possible = mark.intact && mark.marker.due <= now && mark.marker.due >= Instant{};
    const bool ours = possible && mark.marker.run == config_.run && mark.marker.room == config_.room;
    if (times) {
        ++(!possible ? tally_.corrupt : !ours ? tally_.foreign : tally_.marked);
        if (ours) {
            times->delay.record(now - mark.marker.due);
            times->delay_as_read.record(now + waited - mark.marker.due);
        }
    }
    // One who is mixed at times is heard by his own packets only now and then.
    if (!ours || !config_.forwarded) return;
    auto voice = std::find_if(voices_.begin(), voices_.end(), [&](const Voice& v) { return v.speaker == mark.marker.speaker; });
    if (voice == voices_.end()) {
        if (voices_.size() == max_speakers) return;
        voice = voices_.insert(voices_.end(), Voice{mark.marker.speaker, {}, mark.marker.number});
    }
    const auto verdict = voice->sequence.record((std::uint64_t{1} << 32) + mark.marker.number);
    if (!times) return;
    if (verdict == Sequence::Verdict::duplicate) ++tally_.repeated;
    if (verdict == Sequence::Verdict::late) ++tally_.disordered;
}

void Hearing::sender_report(Instant now, std::uint32_t ssrc, const rtcp::SenderInfo& info) noexcept {
    if (Stream* stream = find(ssrc)) {
        stream->last_sr = static_cast<std::uint32_t>(info.ntp >> 16);
        stream->last_sr_at = now;
    }
}

std::size_t Hearing::report(Instant now, std::array<rtcp::ReportBlock, max_streams>& blocks) noexcept {
    std::size_t count = 0;
    for (Stream& stream : streams_) {
        const Sequence& sequence = stream.sequence;
        const std::uint64_t expected = sequence.expected() - stream.expected_before;
        // To the server it is a loss like any other.
        const std::uint64_t heard = sequence.received() - stream.modelled_lost;
        const std::uint64_t received = heard - stream.received_before;
        stream.expected_before = sequence.expected();
        stream.received_before = heard;
        rtcp::ReportBlock& block = blocks[count++];
        block = {};
        block.ssrc = stream.ssrc;
        block.fraction_lost = expected > received ? static_cast<std::uint8_t>((expected - received) * 255 / expected) : std::uint8_t{0};
        block.cumulative_lost = static_cast<std::int32_t>(std::min<std::uint64_t>(sequence.lost() + stream.modelled_lost, 0x7FFFFF));
        block.highest_sequence = static_cast<std::uint32_t>(sequence.highest());
        block.jitter = static_cast<std::uint32_t>(std::min(stream.jitter, 4e9));
        block.last_sr = stream.last_sr;
        if (stream.last_sr != 0) {
            const double held = std::chrono::duration<double>(now - stream.last_sr_at).count() * 65536;
            block.delay_since_last_sr = static_cast<std::uint32_t>(std::min(held, 4e9));
        }
    }
    return count;
}

Tally Hearing::tally() const noexcept {
    Tally result = tally_;
    for (const Stream& stream : streams_) result.lost += stream.sequence.lost();
    for (const Voice& voice : voices_) {
        result.missing += voice.sequence.lost();
        const auto highest = static_cast<std::uint32_t>(voice.sequence.highest());
        if (config_.board) result.modelled_missing += config_.board->withheld_between(voice.speaker, voice.first, highest);
    }
    // What a speaker's network kept from the server is a hole in the stream that it forwards.
    result.missing -= std::min(result.missing, result.modelled_missing);
    result.lost -= std::min(result.lost, result.modelled_missing);
    if (chirps_) result.unexplained_chirps = chirps_->unexplained();
    return result;
}

Hearing::Stream* Hearing::find(std::uint32_t ssrc) noexcept {
    for (Stream& stream : streams_) {
        if (stream.ssrc == ssrc) return &stream;
    }
    return nullptr;
}

}  // namespace load
