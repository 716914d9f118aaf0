#include "marker.hpp"

#include <algorithm>

namespace load {

using namespace plane;

namespace {

constexpr std::uint32_t magic = 0x4C4F4144;  // "LOAD"
constexpr std::size_t marker_size = marker_overhead - 2;
constexpr std::uint8_t one_padded_frame = 0x41;  // frame count byte: padding, one frame
constexpr std::size_t front = 3;                 // TOC, frame count, length of padding

// FNV-1a of all in front of the sum.
std::uint32_t checksum(Bytes bytes) noexcept {
    std::uint32_t hash = 2166136261U;
    for (std::uint8_t byte : bytes) hash = (hash ^ byte) * 16777619U;
    return hash;
}

}  // namespace

std::size_t write_marked(MutableBytes out, Bytes frame, const Marker& marker) noexcept {
    if (frame.empty() || (frame[0] & 3) != 0) return 0;
    const std::size_t size = frame.size() + marker_overhead;
    if (out.size() < size) return 0;
    out[0] = frame[0] | 3;
    out[1] = one_padded_frame;
    out[2] = marker_size;
    std::copy(frame.begin() + 1, frame.end(), out.begin() + front);
    std::uint8_t* at = out.data() + size - marker_size;
    store32(at, magic);
    store32(at + 4, marker.run);
    store32(at + 8, marker.room);
    store32(at + 12, marker.speaker);
    store32(at + 16, marker.number);
    store64(at + 20, static_cast<std::uint64_t>(marker.due.time_since_epoch().count()));
    store32(at + 28, checksum(out.first(size - 4)));
    return size;
}

std::optional<Marked> read_marked(Bytes payload) noexcept {
    if (payload.size() < front + marker_size || (payload[0] & 3) != 3) return std::nullopt;
    if (payload[1] != one_padded_frame || payload[2] != marker_size) return std::nullopt;
    const std::uint8_t* at = payload.data() + payload.size() - marker_size;
    if (load32(at) != magic) return std::nullopt;
    const auto due = static_cast<Duration::rep>(load64(at + 20));
    return Marked{{load32(at + 4), load32(at + 8), load32(at + 12), load32(at + 16), Instant{Duration{due}}},
                  load32(at + 28) == checksum(payload.first(payload.size() - 4))};
}

}  // namespace load
