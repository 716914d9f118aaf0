#include "slot.hpp"

#include <algorithm>
#include <array>

#include "history.hpp"
#include "opus.hpp"
#include "redundancy.hpp"

namespace plane {

namespace {

// A negative duration is none: a packet that came to another worker may have come before the last one that was sent.
std::uint32_t samples(Duration duration) noexcept {
    duration = std::max(duration, Duration::zero());
    return static_cast<std::uint32_t>(std::chrono::duration_cast<nanoseconds>(duration).count() * (opus::sample_rate / 1000) / 1'000'000);
}

// Two runs may overlap by a jitter's worth; a frame's length between them keeps timestamps rising.
constexpr std::uint32_t minimum_step = opus::sample_rate / 50;

}  // namespace

Slot::Slot(SlotConfig config, std::uint16_t first_index, std::uint32_t first_timestamp)
    : config_{std::move(config)}, next_index_{first_index}, last_timestamp_{first_timestamp} {
    if (config_.nack) log_ = std::make_unique<SentLog>();
}

std::optional<Slot::Mapped> Slot::map(const Position& position) noexcept {
    bool turned = false;
    if (position.run != run_) {
        const bool first = last_arrival_ == Instant{};
        const std::uint32_t step = first ? 0 : std::max(minimum_step, samples(position.time - last_arrival_));
        run_ = position.run;
        run_first_index_ = position.index;
        run_base_ = next_index_;
        timestamp_offset_ = last_timestamp_ + step - position.timestamp;
        turned = true;
        if (log_) log_->begin({run_base_, run_first_index_, feed, room, run_, timestamp_offset_});
    }
    if (position.index < run_first_index_) return std::nullopt;
    const Mapped mapped{run_base_ + (position.index - run_first_index_), position.timestamp + timestamp_offset_,
                        position.marker || turned};
    if (mapped.index >= next_index_) {
        next_index_ = mapped.index + 1;
        last_timestamp_ = mapped.timestamp;
        last_arrival_ = position.time;
    }
    return mapped;
}

std::optional<Slot::Sent> Slot::sent(std::uint16_t sequence) const noexcept {
    if (!log_) return std::nullopt;
    // The latest index with this sequence number. Before the first run there is none, so it never wraps below zero unseen.
    std::uint64_t index = (next_index_ & ~std::uint64_t{0xffff}) | sequence;
    if (index >= next_index_) {
        if (index < 0x10000) return std::nullopt;
        index -= 0x10000;
    }
    const SentLog::Run* run = next_index_ - index <= History::max_packets ? log_->find(index) : nullptr;
    if (!run) return std::nullopt;
    return Sent{index, *run};
}

Slot::Mapped Slot::map_again(const Sent& sent, const Position& position) noexcept {
    return {sent.index, position.timestamp + sent.run.timestamp_offset, position.marker || sent.index == sent.run.base};
}

std::size_t Slot::write_header(MutableBytes out, const Mapped& mapped, const Packet& packet) const noexcept {
    const std::uint8_t payload_type = packet.red_frames != 0 ? config_.red_payload_type : config_.payload_type;
    const rtp::Header header{mapped.marker, payload_type, static_cast<std::uint16_t>(mapped.index), mapped.timestamp, config_.ssrc};
    const std::uint8_t level = static_cast<std::uint8_t>((packet.level.voice ? 0x80 : 0) | (packet.level.level & 0x7f));
    std::array<rtp::Element, 3> elements;
    std::size_t count = 0;
    if (config_.mid_id != 0) {
        elements[count++] = {config_.mid_id, {reinterpret_cast<const std::uint8_t*>(config_.mid.data()), config_.mid.size()}};
    }
    if (config_.level_id != 0) elements[count++] = {config_.level_id, {&level, 1}};
    if (config_.csrc_level_id != 0 && packet.csrc_count > 0) {
        elements[count++] = {config_.csrc_level_id, {packet.csrc_levels.data(), packet.csrc_count}};
    }
    return rtp::write_header(out, header, {packet.csrcs.data(), packet.csrc_count}, {elements.data(), count});
}

Bytes Slot::payload(const Packet& packet, MutableBytes space) const noexcept {
    if (packet.red_frames == 0 || config_.payload_type == red::usual_payload_type) return packet.payload();
    return red::rewrite(space, packet.payload(), packet.red_frames, config_.payload_type);
}

std::optional<rtcp::SenderInfo> Slot::sender_info(Instant now, std::uint64_t ntp) const noexcept {
    if (packets_ == 0) return std::nullopt;
    return rtcp::SenderInfo{ntp, last_timestamp_ + samples(now - last_arrival_), packets_, static_cast<std::uint32_t>(octets_)};
}

}  // namespace plane
