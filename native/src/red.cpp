#include "red.hpp"

namespace plane::red {

std::optional<Blocks> parse(Bytes payload, std::uint8_t payload_type) noexcept {
    // Section 3: headers of 4 bytes (a bit that another follows, 7 of payload type, 14 of timestamp offset, 10 of length),
    // then one of 1 byte for the packet's own frame, then the blocks.
    struct Block {
        std::uint8_t type;
        std::uint32_t before;
        std::size_t size;
    };
    std::array<Block, max_blocks> blocks;
    std::size_t count = 0, at = 0;
    while (at < payload.size() && (payload[at] & 0x80) != 0) {
        if (count == max_blocks || payload.size() - at < 4) return std::nullopt;
        const std::uint32_t rest = load24(&payload[at + 1]);
        blocks[count++] = {static_cast<std::uint8_t>(payload[at] & 0x7F), rest >> 10, rest & 0x3FF};
        at += 4;
    }
    if (at == payload.size() || payload[at] != payload_type) return std::nullopt;
    ++at;

    Blocks packet;
    std::array<Bytes, max_blocks> bytes;
    for (std::size_t i = 0; i < count; ++i) {
        if (blocks[i].size > payload.size() - at) return std::nullopt;
        bytes[i] = payload.subspan(at, blocks[i].size);
        at += blocks[i].size;
    }
    packet.primary = payload.subspan(at);
    if (packet.primary.empty()) return std::nullopt;
    for (std::size_t i = count; i > 0 && packet.copy_count < max_copies; --i) {
        const Block& block = blocks[i - 1];
        if (block.type != payload_type || block.size == 0 || block.before == 0) continue;
        packet.copies[packet.copy_count++] = {block.before, static_cast<std::uint8_t>(count + 1 - i), bytes[i - 1]};
    }
    return packet;
}

}  // namespace plane::red
