// The deframer: whatever the stream and wherever it is cut, the packets are those of a reader that has all of it.

#include "framing.hpp"
#include "fuzz.hpp"

using namespace plane;

namespace {

struct Reading {
    bool good = true;
    std::vector<std::vector<std::uint8_t>> packets;
    bool operator==(const Reading&) const = default;
};

// The whole stream at hand.
Reading plainly(Bytes bytes) {
    Reading reading;
    while (bytes.size() >= frame_header) {
        const std::size_t size = load16(bytes.data());
        if (size > max_datagram) {
            reading.good = false;
            break;
        }
        if (bytes.size() < frame_header + size) break;
        if (size != 0) reading.packets.emplace_back(bytes.begin() + frame_header, bytes.begin() + frame_header + static_cast<std::ptrdiff_t>(size));
        bytes = bytes.subspan(frame_header + size);
    }
    return reading;
}

// In pieces of sizes that come from `cuts`.
Reading piecewise(Bytes bytes, std::uint32_t cuts) {
    Reading reading;
    Deframer deframer;
    while (!bytes.empty() && reading.good) {
        cuts = cuts * 1664525U + 1013904223U;
        const std::size_t size = std::min<std::size_t>(bytes.size(), (cuts >> 16) % (cuts & 0x8000 ? 4 : 700) + 1);
        reading.good = deframer.feed(bytes.first(size), [&](Bytes packet) {
            FUZZ_REQUIRE(!packet.empty() && packet.size() <= max_datagram);
            reading.packets.emplace_back(packet.begin(), packet.end());
        });
        bytes = bytes.subspan(size);
    }
    return reading;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> seeds() {
    std::vector<std::uint8_t> longest(frame_header + max_datagram, 0x80);
    store16(longest.data(), max_datagram);
    longest.insert(longest.begin(), 4, 0x55);
    // Four bytes say how it is cut.
    return {{1, 2, 3, 4, 0, 3, 1, 2, 3, 0, 0, 0, 1, 9}, {0, 0, 0, 0, 0, 0}, {9, 9, 9, 9, 0xff, 0xff, 1}, longest};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 4) return 0;
    const Bytes stream{data + 4, size - 4};
    FUZZ_REQUIRE(piecewise(stream, load32(data)) == plainly(stream));
    return 0;
}
