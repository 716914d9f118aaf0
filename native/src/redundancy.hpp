// RED for listeners (RFC 2198): each packet has the frames before it again. Made once for all who get it; only the payload type
// inside is each listener's own.
#pragma once

#include <array>

#include "packet.hpp"

namespace plane::red {

constexpr std::size_t max_frames = 2;      // before the packet's own
// The payload type of Opus that is written for all; a listener who negotiated another gets a copy with his.
constexpr std::uint8_t usual_payload_type = 111;
// Of the whole payload. A packet stays below 1,280 bytes, which every path takes; frames that do not fit are left out.
constexpr std::size_t max_size = 1100;

// What was sent last, oldest first. Holds the packets of two frames.
class Recent {
public:
    struct Frame {
        PacketRef packet;          // plain
        std::uint32_t timestamp = 0;
    };
    void add(PacketRef packet, std::uint32_t timestamp) noexcept {
        frames_[0] = std::move(frames_[1]);
        frames_[1] = {std::move(packet), timestamp};
    }
    const std::array<Frame, max_frames>& frames() const noexcept { return frames_; }

private:
    std::array<Frame, max_frames> frames_;
};

// Puts into `out` the last `frames` of the recent and then `primary`, whose timestamp this is, and says in it that it is RED.
// False when there is nothing to add: the primary is then sent as it is. Its header fields are the caller's.
bool write(Packet& out, const Recent& recent, unsigned frames, const Packet& primary, std::uint32_t timestamp) noexcept;

// A copy of a RED payload for somebody whose Opus has another payload type. Returns it.
MutableBytes rewrite(MutableBytes out, Bytes payload, unsigned frames, std::uint8_t payload_type) noexcept;

}  // namespace plane::red
