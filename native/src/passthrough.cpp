#include "passthrough.hpp"

#include <opus/opus.h>

#include <algorithm>
#include <new>

#include "opus.hpp"

namespace plane {

void OwnPackets::packet(std::int64_t begin, std::uint32_t samples, Bytes payload, std::uint8_t level) noexcept {
    Piece& piece = push(begin, samples);
    piece.level = level;
    piece.payload.assign(payload.begin(), payload.end());
}

void OwnPackets::pause(std::int64_t begin, std::uint32_t samples) noexcept {
    // Pauses in a row are one, so that a long one does not push out everything else; but it stays countable.
    constexpr std::uint32_t longest = 1U << 20;
    if (count_ > 0 && is_pause(last()) && last().samples < longest) {
        pieces_[(first_ + count_ - 1) % capacity].samples += samples;
        return;
    }
    Piece& piece = push(begin, samples);
    piece.level = 127;
    piece.payload.clear();
}

void OwnPackets::made_up(std::int64_t begin, std::uint32_t samples) noexcept {
    push(begin, samples);
    spoil_last();
}

void OwnPackets::spoil_last() noexcept {
    Piece& piece = pieces_[(first_ + count_ - 1) % capacity];
    piece.made_up = true;
    piece.payload.clear();
}

bool OwnPackets::plain_since(std::int64_t begin) const noexcept {
    if (begin < plain_from_) return false;
    for (std::size_t i = 0; i < count_; ++i) {
        if ((*this)[i].made_up && (*this)[i].end() > begin) return false;
    }
    return true;
}

void OwnPackets::moved(std::int64_t from, std::int64_t by) noexcept {
    while (count_ > 0 && (*this)[0].begin < from) {
        first_ = (first_ + 1) % capacity;
        --count_;
    }
    for (std::size_t i = 0; i < count_; ++i) pieces_[(first_ + i) % capacity].begin += by;
    plain_from_ = from + by;
}

void OwnPackets::begin_anew() noexcept {
    count_ = 0;
    plain_from_ = always;
}

bool OwnPackets::announced_pause() const noexcept {
    return count_ > 0 && (is_pause(last()) || (!last().made_up && opus::is_dtx(last().payload)));
}

std::optional<OwnPackets::Own> OwnPackets::find(std::int64_t begin, std::size_t samples, bool so_far) const noexcept {
    if (begin < plain_from_) return std::nullopt;
    const std::int64_t end = begin + static_cast<std::int64_t>(samples);
    Own own;
    std::int64_t covered = begin;
    bool paused = false;
    for (std::size_t i = 0; i < count_; ++i) {
        const Piece& piece = (*this)[i];
        if (piece.end() <= begin || piece.begin >= end) continue;
        if (piece.made_up) return std::nullopt;
        if (piece.payload.empty()) {
            paused = true;
            continue;
        }
        if (piece.begin != covered || piece.end() > end || own.count == max_packets) return std::nullopt;
        covered = piece.end();
        own.packets[own.count++] = piece.payload;
        own.level = std::min(own.level, piece.level);
    }
    const bool whole = covered == end || (so_far && covered == last().end());
    if (own.count > 0 && (paused || !whole)) return std::nullopt;
    return own;
}

OwnPackets::Piece& OwnPackets::push(std::int64_t begin, std::uint32_t samples) noexcept {
    if (count_ == capacity) drop_first();
    Piece& piece = pieces_[(first_ + count_++) % capacity];
    piece.begin = begin;
    piece.samples = samples;
    piece.made_up = false;
    return piece;
}

void OwnPackets::drop_first() noexcept {
    plain_from_ = (*this)[0].end();
    first_ = (first_ + 1) % capacity;
    --count_;
}

OpusMode::OpusMode(std::uint8_t toc) noexcept : voice_{(toc & 0x80) == 0}, stereo_{(toc & 0x04) != 0} {
    // Configurations: 0-7 SILK below wideband, 8-11 SILK, 12-15 hybrid, 16-19 CELT in narrowband.
    const unsigned configuration = toc >> 3;
    wide_ = configuration >= 8 && (configuration < 16 || configuration > 19);
}

Merger::Merger() : repacketizer_{opus_repacketizer_create()} {
    if (!repacketizer_) throw std::bad_alloc{};
}

void Merger::Destroy::operator()(OpusRepacketizer* repacketizer) const noexcept { opus_repacketizer_destroy(repacketizer); }

std::size_t Merger::merge(std::span<const Bytes> packets, MutableBytes out) noexcept {
    opus_repacketizer_init(repacketizer_.get());
    for (const Bytes packet : packets) {
        if (opus_repacketizer_cat(repacketizer_.get(), packet.data(), static_cast<opus_int32>(packet.size())) != OPUS_OK) return 0;
    }
    const opus_int32 size = opus_repacketizer_out(repacketizer_.get(), out.data(), static_cast<opus_int32>(out.size()));
    return size > 0 ? static_cast<std::size_t>(size) : 0;
}

}  // namespace plane
