// Redundant audio: views stay inside the payload, in order, and do not overlap.

#include "fuzz.hpp"
#include "red.hpp"

using namespace plane;

std::vector<std::vector<std::uint8_t>> seeds() {
    return {{111, 1, 2, 3},
            {0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 1, 2},
            {0x80 | 111, 0x1E, 0x00, 0x01, 0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 2, 2, 3, 3, 3}};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto packet = red::parse({data, size}, 111);
    if (!packet) return 0;
    FUZZ_REQUIRE(packet->copy_count <= red::max_copies);
    FUZZ_REQUIRE(!packet->primary.empty() && packet->primary.data() + packet->primary.size() == data + size);
    const std::uint8_t* end = packet->primary.data();
    unsigned distance = 0;
    for (std::size_t i = 0; i < packet->copy_count; ++i) {
        const red::Copy& copy = packet->copies[i];
        FUZZ_REQUIRE(copy.before > 0 && copy.before < 1 << 14);
        FUZZ_REQUIRE(copy.distance > distance && copy.distance <= red::max_blocks);
        FUZZ_REQUIRE(!copy.payload.empty() && copy.payload.data() > data && copy.payload.data() + copy.payload.size() <= end);
        end = copy.payload.data();
        distance = copy.distance;
    }
    return 0;
}
