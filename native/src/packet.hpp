// Received packets, shared by reference between the fan-outs of several workers and returned to their pool by the last.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "clock.hpp"
#include "red.hpp"
#include "rtp.hpp"

namespace plane {

constexpr std::size_t max_datagram = 1500;

// Where a packet stands in what it belongs to: a publisher's stream, or a row of the mixer.
struct Position {
    // A stretch without a break in sequence or timestamps; never 0 once known. Numbered by the Reception that took the
    // packet, until the Source puts the room's number in its place.
    std::uint32_t run = 0;
    std::uint64_t index = 0;           // extended sequence number within the run
    std::uint32_t timestamp = 0;
    bool marker = false;
    Instant time{};                    // when it came or was mixed
};

// One datagram that came in and, once opened, what forwarding needs to know of it; or one frame that was mixed here. Who
// has the only reference may write to it; from the first copy on it stays as it is.
struct Packet {
    std::atomic<std::uint32_t> references{0};
    std::uint16_t size = 0;            // bytes in use
    std::uint16_t payload_offset = 0;
    std::uint16_t payload_size = 0;
    std::uint8_t csrc_count = 0;
    std::uint8_t red_frames = 0;       // RFC 2198: frames before its own that the payload has, too; 0: plain Opus
    std::array<std::uint32_t, rtp::max_csrcs> csrcs;       // who is heard in it
    std::array<std::uint8_t, rtp::max_csrcs> csrc_levels;  // RFC 6465, -dBov of each
    rtp::AudioLevel level;
    Position position;
    bool repeated = false;             // a publisher's: it had been asked for again (NACK)
    // Copies of frames before its own that a publisher's packet carries (RFC 2198): where they are, the newest first.
    struct Copy {
        std::uint16_t offset = 0, size = 0;
        std::uint8_t distance = 0;     // frames
        std::uint32_t before = 0;      // timestamp units
    };
    std::uint8_t copy_count = 0;
    std::array<Copy, red::max_copies> copies;
    std::array<std::uint8_t, max_datagram> bytes;

    Bytes copy(const Copy& where) const noexcept { return Bytes{bytes}.subspan(where.offset, where.size); }
    // What is heard or sent on: without copies.
    Bytes payload() const noexcept { return Bytes{bytes}.subspan(payload_offset, payload_size); }
};

// Counted reference; copies may be dropped on any thread.
class PacketRef {
public:
    PacketRef() noexcept = default;
    explicit PacketRef(Packet* packet) noexcept : packet_{packet} {
        if (packet_) packet_->references.fetch_add(1, std::memory_order_relaxed);
    }
    PacketRef(const PacketRef& other) noexcept : PacketRef{other.packet_} {}
    PacketRef(PacketRef&& other) noexcept : packet_{std::exchange(other.packet_, nullptr)} {}
    PacketRef& operator=(PacketRef other) noexcept {
        std::swap(packet_, other.packet_);
        return *this;
    }
    ~PacketRef() {
        if (packet_) packet_->references.fetch_sub(1, std::memory_order_release);
    }

    Packet* operator->() const noexcept { return packet_; }
    Packet& operator*() const noexcept { return *packet_; }
    explicit operator bool() const noexcept { return packet_ != nullptr; }
    bool is_shared() const noexcept { return packet_->references.load(std::memory_order_acquire) > 1; }

private:
    Packet* packet_ = nullptr;
};

// Packets of one worker, in a ring: those taken first come back first, so the next is nearly always free.
class PacketPool {
public:
    // 4,096 packets hold 1.3 s of a room with 64 unmuted speakers; each costs 1.6 kB. Fewer would drop packets while a
    // fan-out to thousands of listeners is under way.
    explicit PacketPool(std::size_t size = 4096) : packets_{std::make_unique<Packet[]>(size)}, size_{size} {}

    // Nothing when all near the cursor are in use: the caller drops what it has. Those that wait in a worker's inbox lie one
    // behind the other and never move while it has little to do; so it looks farther than they reach (receive_batch).
    PacketRef take() noexcept {
        for (int attempt = 0; attempt < 256; ++attempt) {
            Packet& packet = packets_[next_];
            next_ = next_ + 1 == size_ ? 0 : next_ + 1;
            if (packet.references.load(std::memory_order_acquire) != 0) continue;
            packet.red_frames = 0;
            return PacketRef{&packet};
        }
        return {};
    }

private:
    std::unique_ptr<Packet[]> packets_;
    std::size_t size_;
    std::size_t next_ = 0;
};

}  // namespace plane
