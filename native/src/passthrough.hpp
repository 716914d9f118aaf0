// One voice alone is not encoded again: what a speaker's audio was made of, packet by packet, so that a mix of him alone can
// send those packets themselves, and whether listeners can hear them in place of the mix.
//
// A mix follows the samples it is made of by the limiter's delay and the encoder's: at the tick that pulls the samples from S
// on, its listeners get what was at S - lag. So a packet stands for the mix if it begins exactly there; the Playout sees to that
// (its alignment). It has been there for most of a tick then, and what is behind it as well, so that the mix can take over at
// once with samples that go on where the packet ends.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bytes.hpp"

struct OpusRepacketizer;

namespace plane {

// What a Playout's samples were made of, of late. Places are counted in samples since it began.
class OwnPackets {
public:
    // More packets than a mix of 60 ms needs to take over from ones of 10 ms.
    static constexpr std::size_t capacity = 48;

    struct Piece {
        std::int64_t begin = 0;
        std::uint32_t samples = 0;
        std::uint8_t level = 127;           // -dBov
        bool made_up = false;               // no packet stands for it
        std::vector<std::uint8_t> payload;  // else empty: a pause
        std::int64_t end() const noexcept { return begin + samples; }
    };

    // Each goes on where the last piece ended.
    void packet(std::int64_t begin, std::uint32_t samples, Bytes payload, std::uint8_t level) noexcept;
    void pause(std::int64_t begin, std::uint32_t samples) noexcept;
    void made_up(std::int64_t begin, std::uint32_t samples) noexcept;
    // What the last packet was to stand for it does not.
    void spoil_last() noexcept;
    // What began at `from` or later has moved by this much; what is before was changed.
    void moved(std::int64_t from, std::int64_t by) noexcept;
    // Silence, and nothing before it.
    void begin_anew() noexcept;

    // Whether everything from there on is packets and pauses.
    bool plain_since(std::int64_t begin) const noexcept;
    // Whether it ends with a pause; with a packet that announces one (discontinuous transmission).
    bool pausing() const noexcept { return count_ == 0 ? plain_from_ == always : is_pause(last()); }
    bool announced_pause() const noexcept;

    // The packets that stand for the samples [begin, begin + samples): none, and a level of 127, when it is a pause. Nothing when
    // no packets do. so_far: what is still to come may be what is missing.
    static constexpr std::size_t max_packets = 6;
    struct Own {
        std::array<Bytes, max_packets> packets;  // valid until the next change
        std::size_t count = 0;
        std::uint8_t level = 127;                // of the loudest
    };
    std::optional<Own> find(std::int64_t begin, std::size_t samples, bool so_far) const noexcept;

    std::size_t size() const noexcept { return count_; }
    const Piece& operator[](std::size_t i) const noexcept { return pieces_[(first_ + i) % capacity]; }

private:
    static constexpr std::int64_t always = std::numeric_limits<std::int64_t>::min();
    static bool is_pause(const Piece& piece) noexcept { return piece.payload.empty() && !piece.made_up; }
    const Piece& last() const noexcept { return (*this)[count_ - 1]; }
    Piece& push(std::int64_t begin, std::uint32_t samples) noexcept;
    void drop_first() noexcept;

    std::array<Piece, capacity> pieces_;
    std::size_t first_ = 0, count_ = 0;
    std::int64_t plain_from_ = always;
};

// How an encoder codes, as far as decoders hear a change of it: Opus's mode for voice or the other, and channels.
class OpusMode {
public:
    OpusMode() noexcept = default;
    // Of a packet's first byte (RFC 6716 section 3.1).
    explicit OpusMode(std::uint8_t toc) noexcept;
    // Whether a decoder may go over between packets of the two. Narrow bands never match: voice mode has another sampling rate there.
    bool matches(const OpusMode& other) const noexcept {
        return wide_ && other.wide_ && voice_ == other.voice_ && stereo_ == other.stereo_;
    }

private:
    bool wide_ = false, voice_ = false, stereo_ = false;
};

// Makes one packet of several of the same configuration.
class Merger {
public:
    Merger();  // std::bad_alloc
    // Size of the packet; 0 when they do not fit together or into `out`, or are no Opus.
    std::size_t merge(std::span<const Bytes> packets, MutableBytes out) noexcept;

private:
    struct Destroy {
        void operator()(OpusRepacketizer* repacketizer) const noexcept;
    };
    std::unique_ptr<OpusRepacketizer, Destroy> repacketizer_;
};

}  // namespace plane
