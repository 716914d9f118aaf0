// RTP: views stay inside the packet, and what is read can be written and read again.

#include <algorithm>
#include <array>

#include "fuzz.hpp"
#include "rtp.hpp"

using namespace plane;
using namespace plane::rtp;

namespace {

void require_inside(Bytes view, Bytes packet) {
    if (view.empty()) return;
    FUZZ_REQUIRE(view.data() >= packet.data());
    FUZZ_REQUIRE(view.data() + view.size() <= packet.data() + packet.size());
}

}  // namespace

std::vector<std::vector<std::uint8_t>> seeds() {
    const std::uint8_t level[] = {0xA7};
    const std::uint8_t mid[] = {'0'};
    const std::uint8_t name[] = "a name that needs the two-byte form";
    const std::uint32_t csrcs[] = {1, 2};
    const Element one_byte[] = {{.id = 1, .data = level}, {.id = 4, .data = mid}};
    const Element two_byte[] = {{.id = 1, .data = level}, {.id = 200, .data = name}, {.id = 3, .data = {}}};
    const Header header{.marker = true, .payload_type = 111, .sequence = 1, .timestamp = 960, .ssrc = 7};
    std::vector<std::vector<std::uint8_t>> result;
    for (std::span<const Element> elements : {std::span<const Element>{}, {one_byte}, {two_byte}}) {
        std::vector<std::uint8_t> packet(300, 0x04);  // four bytes of padding, where the bit says so
        packet.resize(write_header(packet, header, csrcs, elements) + 40);
        result.push_back(packet);
        packet[0] |= 0x20;
        result.push_back(packet);
    }
    return result;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input{data, size};
    const auto header = header_size(input);
    const auto packet = parse(input);
    if (!packet) return 0;
    FUZZ_REQUIRE(header);
    require_inside(packet->extension, input);
    require_inside(packet->payload, input);
    FUZZ_REQUIRE(packet->payload.size() <= size - *header);
    FUZZ_REQUIRE(packet->csrcs == data + fixed_header_size);

    std::vector<Element> elements;
    for (unsigned id = 0; id < 256; ++id) {
        const auto value = extension(*packet, static_cast<std::uint8_t>(id));
        const auto level = audio_level(*packet, static_cast<std::uint8_t>(id));
        FUZZ_REQUIRE(level.has_value() == (value && value->size() == 1));
        if (!value) continue;
        require_inside(*value, packet->extension);
        elements.push_back({.id = static_cast<std::uint8_t>(id), .data = *value});
    }
    std::array<std::uint32_t, max_csrcs> csrcs{};
    for (std::size_t i = 0; i < packet->csrc_count; ++i) csrcs[i] = load32(packet->csrcs + 4 * i);

    const Header copy{.marker = packet->marker,
                      .payload_type = packet->payload_type,
                      .sequence = packet->sequence,
                      .timestamp = packet->timestamp,
                      .ssrc = packet->ssrc};
    // Written without its padding and duplicates, a header is never longer than it came.
    std::vector<std::uint8_t> out(*header);
    const std::size_t written = write_header(out, copy, std::span(csrcs).first(packet->csrc_count), elements);
    FUZZ_REQUIRE(written != 0);
    const auto again = parse(Bytes{out}.first(written));
    FUZZ_REQUIRE(again);
    FUZZ_REQUIRE(again->payload.empty());
    FUZZ_REQUIRE(again->marker == packet->marker && again->payload_type == packet->payload_type);
    FUZZ_REQUIRE(again->sequence == packet->sequence && again->timestamp == packet->timestamp);
    FUZZ_REQUIRE(again->ssrc == packet->ssrc && again->csrc_count == packet->csrc_count);
    FUZZ_REQUIRE(std::equal(again->csrcs, again->csrcs + 4 * again->csrc_count, packet->csrcs));
    for (const Element& element : elements) {
        const auto value = extension(*again, element.id);
        FUZZ_REQUIRE(value && std::ranges::equal(*value, element.data));
    }
    return 0;
}
