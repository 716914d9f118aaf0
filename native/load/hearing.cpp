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
    windows += more.windows, own_windows += more.own_windows, foreign_windows += more.foreign_windows;
    return *this;
}

Hearing::Hearing(const HearingConfig& config) : config_{config} {
    if (config.ear) ear_ = std::make_unique<Ear>(config.own_tones);
}

bool Hearing::is_duplicate(std::uint32_t ssrc, std::uint16_t sequence) const noexcept {
    for (const Stream& stream : streams_) {
        if (stream.ssrc == ssrc) return stream.sequence.has(stream.sequence.extend(sequence));
    }
    return false;
}

void Hearing::packet(Instant now, Bytes rtp_packet, Latencies& delay) {
    const auto rtp = rtp::parse(rtp_packet);
    if (!rtp) {
        ++tally_.malformed;
        return;
    }
    Stream* stream = find(rtp->ssrc);
    if (!stream) {
        if (streams_.size() == max_streams) {
            ++tally_.malformed;
            return;
        }
        stream = &streams_.emplace_back();
        stream->ssrc = rtp->ssrc;
    }
    const auto verdict = stream->sequence.record(stream->sequence.extend(rtp->sequence));
    if (verdict == Sequence::Verdict::duplicate) {
        ++tally_.duplicates;
        return;
    }
    if (rtp->payload.empty()) return;  // keeps the path open, and has a number: no audio
    ++tally_.packets;
    tally_.bytes += rtp->payload.size();
    if (verdict == Sequence::Verdict::late) ++tally_.reordered;
    if (verdict == Sequence::Verdict::restart) ++tally_.restarts;
    if (verdict != Sequence::Verdict::late) time(*stream, now, rtp->timestamp);
    if (first_ == Instant{}) first_ = now;
    last_ = now;

    if (const auto mark = read_marked(rtp->payload)) {
        marked(now, *mark, delay);
    } else if (config_.forwarded) {
        ++tally_.unmarked;
    }
    if (!ear_) return;
    // What is late would be decoded out of order; in front of it there is a hole.
    if (verdict != Sequence::Verdict::next) ear_->interrupt();
    if (verdict == Sequence::Verdict::late) return;
    const Ear::Heard heard = ear_->hear(rtp->payload);
    tally_.windows += heard.windows, tally_.own_windows += heard.own, tally_.foreign_windows += heard.foreign;
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

void Hearing::marked(Instant now, const Marked& mark, Latencies& delay) {
    // What is damaged may say anything; and no packet of ours came before it was due.
    if (!mark.intact || mark.marker.due > now || mark.marker.due < Instant{}) {
        ++tally_.corrupt;
        return;
    }
    if (mark.marker.run != config_.run || mark.marker.room != config_.room) {
        ++tally_.foreign;
        return;
    }
    ++tally_.marked;
    delay.record(now - mark.marker.due);
    // One who is mixed at times is heard by his own packets only now and then.
    if (!config_.forwarded) return;
    auto voice = std::find_if(voices_.begin(), voices_.end(), [&](const Voice& v) { return v.speaker == mark.marker.speaker; });
    if (voice == voices_.end()) {
        if (voices_.size() == max_speakers) return;
        voice = voices_.insert(voices_.end(), Voice{mark.marker.speaker, {}});
    }
    const auto verdict = voice->sequence.record((std::uint64_t{1} << 32) + mark.marker.number);
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
        const std::uint64_t received = sequence.received() - stream.received_before;
        stream.expected_before = sequence.expected();
        stream.received_before = sequence.received();
        rtcp::ReportBlock& block = blocks[count++];
        block = {};
        block.ssrc = stream.ssrc;
        block.fraction_lost = expected > received ? static_cast<std::uint8_t>((expected - received) * 255 / expected) : std::uint8_t{0};
        block.cumulative_lost = static_cast<std::int32_t>(std::min<std::uint64_t>(sequence.lost(), 0x7FFFFF));
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
    for (const Voice& voice : voices_) result.missing += voice.sequence.lost();
    return result;
}

Hearing::Stream* Hearing::find(std::uint32_t ssrc) noexcept {
    for (Stream& stream : streams_) {
        if (stream.ssrc == ssrc) return &stream;
    }
    return nullptr;
}

}  // namespace load
