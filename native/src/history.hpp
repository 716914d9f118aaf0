// What a feed carried in the last second or so, that a packet which got lost can be made again. One for all its listeners;
// what each of them had of it is in the log of his slot (sent_log.hpp).
//
// It holds copies, not references: packets of a pool come back in the order in which they were taken, and those kept here
// would stand in the way of the next.
#pragma once

#include <array>
#include <memory>

#include "packet.hpp"

namespace plane {

class History {
public:
    // 64 packets are 1.28 s of 20 ms each. More would be asked for too late to be played.
    static constexpr std::size_t max_packets = 64;
    // Of payloads: 1 s at 128 kbit/s, 0.5 s at 256. More costs memory for each row that is heard.
    static constexpr std::size_t max_bytes = 16 * 1024;

    void record(const Packet& packet, const Position& position) noexcept;

    // The packet at this place: header fields, position and payload are put into `into`. False when it is not there any more.
    bool recall(std::uint32_t run, std::uint64_t index, Packet& into) const noexcept;

    void clear() noexcept { entries_ = {}; }

private:
    struct Entry {
        Position position;         // run 0: none
        std::uint64_t at = 0;      // of its payload in all bytes ever written
        std::uint16_t size = 0;
        std::uint8_t csrc_count = 0;
        std::uint8_t red_frames = 0;
        rtp::AudioLevel level;
        std::array<std::uint32_t, rtp::max_csrcs> csrcs;
        std::array<std::uint8_t, rtp::max_csrcs> csrc_levels;
    };

    std::array<Entry, max_packets> entries_{};  // a packet's place is its index modulo their number
    std::array<std::uint8_t, max_bytes> bytes_;
    std::uint64_t written_ = 0;
};

}  // namespace plane
