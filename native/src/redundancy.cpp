#include "redundancy.hpp"

#include <algorithm>

#include "opus.hpp"

namespace plane::red {

namespace {

// Section 3: a block's header has one bit that says that another follows, 7 of payload type, 14 of timestamp offset and 10 of
// length; the last block's has the payload type alone.
constexpr std::size_t header_size = 4;
constexpr std::uint8_t follows = 0x80;
constexpr std::uint32_t max_offset = (1U << 14) - 1;
constexpr std::size_t max_length = (1U << 10) - 1;

}  // namespace

bool write(Packet& out, const Recent& recent, unsigned frames, const Packet& primary, std::uint32_t timestamp) noexcept {
    std::array<const Recent::Frame*, max_frames> chosen{};
    std::size_t count = 0;
    std::size_t size = 1 + primary.payload_size;
    // The latest are worth most, so they are chosen first.
    for (std::size_t i = max_frames; i-- > 0 && count < frames;) {
        const Recent::Frame& frame = recent.frames()[i];
        if (!frame.packet || opus::is_dtx(frame.packet->payload())) break;
        const std::uint32_t offset = timestamp - frame.timestamp;
        const std::size_t length = frame.packet->payload_size;
        if (offset == 0 || offset > max_offset || length > max_length || size + header_size + length > max_size) break;
        size += header_size + length;
        chosen[count++] = &frame;
    }
    if (count == 0) return false;
    std::uint8_t* at = out.bytes.data();
    for (std::size_t i = count; i-- > 0; at += header_size) {
        const std::uint32_t offset = timestamp - chosen[i]->timestamp;
        store32(at, std::uint32_t{follows | usual_payload_type} << 24 | offset << 10 | chosen[i]->packet->payload_size);
    }
    *at++ = usual_payload_type;
    const auto append = [&](Bytes payload) { at = std::copy(payload.begin(), payload.end(), at); };
    for (std::size_t i = count; i-- > 0;) append(chosen[i]->packet->payload());
    append(primary.payload());
    out.payload_offset = 0;
    out.payload_size = static_cast<std::uint16_t>(size);
    out.red_frames = static_cast<std::uint8_t>(count);
    return true;
}

MutableBytes rewrite(MutableBytes out, Bytes payload, unsigned frames, std::uint8_t payload_type) noexcept {
    const MutableBytes copy = out.first(std::min(out.size(), payload.size()));
    std::copy_n(payload.begin(), copy.size(), copy.begin());
    for (std::size_t i = 0; i <= frames && i * header_size < copy.size(); ++i) {
        copy[i * header_size] = static_cast<std::uint8_t>((copy[i * header_size] & follows) | payload_type);
    }
    return copy;
}

}  // namespace plane::red
