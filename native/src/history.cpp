#include "history.hpp"

#include <algorithm>

namespace plane {

void History::record(const Packet& packet, const Position& position) noexcept {
    Entry& entry = entries_[position.index % max_packets];
    // One that comes very late does not take the place of a newer one.
    const bool late = entry.position.run == position.run && entry.position.index > position.index;
    if (late || position.run == 0 || packet.payload_size > max_datagram) return;
    // A payload lies in one piece: what is left at the end is passed over.
    const std::size_t left = max_bytes - written_ % max_bytes;
    if (packet.payload_size > left) written_ += left;
    entry.position = position;
    entry.at = written_;
    entry.size = packet.payload_size;
    entry.level = packet.level;
    entry.red_frames = packet.red_frames;
    entry.csrc_count = packet.csrc_count;
    std::copy_n(packet.csrcs.begin(), packet.csrc_count, entry.csrcs.begin());
    std::copy_n(packet.csrc_levels.begin(), packet.csrc_count, entry.csrc_levels.begin());
    const Bytes payload = packet.payload();
    std::copy(payload.begin(), payload.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(written_ % max_bytes));
    written_ += packet.payload_size;
}

bool History::recall(std::uint32_t run, std::uint64_t index, Packet& into) const noexcept {
    const Entry& entry = entries_[index % max_packets];
    if (run == 0 || entry.position.run != run || entry.position.index != index || written_ - entry.at > max_bytes) return false;
    into.position = entry.position;
    into.level = entry.level;
    into.red_frames = entry.red_frames;
    into.csrc_count = entry.csrc_count;
    std::copy_n(entry.csrcs.begin(), entry.csrc_count, into.csrcs.begin());
    std::copy_n(entry.csrc_levels.begin(), entry.csrc_count, into.csrc_levels.begin());
    into.payload_offset = 0;
    into.payload_size = entry.size;
    into.size = entry.size;
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(entry.at % max_bytes), entry.size, into.bytes.begin());
    return true;
}

}  // namespace plane
