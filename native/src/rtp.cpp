#include "rtp.hpp"

#include <algorithm>

namespace plane::rtp {
namespace {

constexpr std::uint8_t version = 2;
constexpr std::uint8_t padding_bit = 0x20;
constexpr std::uint8_t extension_bit = 0x10;
constexpr std::uint8_t marker_bit = 0x80;

constexpr std::uint16_t one_byte_profile = 0xBEDE;
constexpr std::uint16_t two_byte_profile = 0x1000;  // the low four bits are the application's, RFC 8285 section 4.3
constexpr std::uint16_t two_byte_mask = 0xFFF0;
constexpr std::uint8_t one_byte_stop_id = 15;
constexpr std::size_t extension_header_size = 4;

std::optional<Bytes> find_one_byte(Bytes body, std::uint8_t id) noexcept {
    for (std::size_t offset = 0; offset < body.size();) {
        const std::uint8_t head = body[offset++];
        if (head == 0) continue;  // padding
        // Section 4.2: id 15 ends the list, and so does an id 0 that claims a length.
        if (head >> 4 == 0 || head >> 4 == one_byte_stop_id) return std::nullopt;
        const std::size_t length = (head & 0x0FU) + 1;
        if (length > body.size() - offset) return std::nullopt;
        if (head >> 4 == id) return body.subspan(offset, length);
        offset += length;
    }
    return std::nullopt;
}

std::optional<Bytes> find_two_byte(Bytes body, std::uint8_t id) noexcept {
    for (std::size_t offset = 0; offset < body.size();) {
        const std::uint8_t element_id = body[offset++];
        if (element_id == 0) continue;  // padding is one byte here, too
        if (offset == body.size()) return std::nullopt;
        const std::size_t length = body[offset++];
        if (length > body.size() - offset) return std::nullopt;
        if (element_id == id) return body.subspan(offset, length);
        offset += length;
    }
    return std::nullopt;
}

bool fits_one_byte(const Element& element) noexcept {
    return element.id < one_byte_stop_id && !element.data.empty() && element.data.size() <= 16;
}

}  // namespace

std::optional<std::size_t> header_size(Bytes packet) noexcept {
    if (packet.size() < fixed_header_size || packet[0] >> 6 != version) return std::nullopt;
    std::size_t size = fixed_header_size + std::size_t{4} * (packet[0] & 0x0FU);
    if (packet[0] & extension_bit) {
        if (packet.size() < size + extension_header_size) return std::nullopt;
        size += extension_header_size + std::size_t{4} * load16(&packet[size + 2]);
    }
    if (packet.size() < size) return std::nullopt;
    return size;
}

std::optional<Packet> parse(Bytes packet) noexcept {
    const std::optional<std::size_t> header = header_size(packet);
    if (!header) return std::nullopt;

    Packet result;
    result.marker = (packet[1] & marker_bit) != 0;
    result.payload_type = packet[1] & 0x7F;
    result.sequence = load16(&packet[2]);
    result.timestamp = load32(&packet[4]);
    result.ssrc = load32(&packet[8]);
    result.csrc_count = packet[0] & 0x0F;
    result.csrcs = packet.data() + fixed_header_size;
    if (packet[0] & extension_bit) {
        const std::size_t start = fixed_header_size + std::size_t{4} * result.csrc_count;
        result.extension_profile = load16(&packet[start]);
        result.extension = packet.subspan(start + extension_header_size, *header - start - extension_header_size);
    }
    result.payload = packet.subspan(*header);
    if (packet[0] & padding_bit) {
        // RFC 3550 section 5.1: the last byte counts the padding, itself included.
        if (result.payload.empty()) return std::nullopt;
        const std::size_t padding = result.payload.back();
        if (padding == 0 || padding > result.payload.size()) return std::nullopt;
        result.payload = result.payload.first(result.payload.size() - padding);
    }
    return result;
}

std::optional<Bytes> extension(const Packet& packet, std::uint8_t id) noexcept {
    if (id == 0) return std::nullopt;
    if (packet.extension_profile == one_byte_profile) return find_one_byte(packet.extension, id);
    if ((packet.extension_profile & two_byte_mask) == two_byte_profile) return find_two_byte(packet.extension, id);
    return std::nullopt;
}

std::optional<AudioLevel> audio_level(const Packet& packet, std::uint8_t id) noexcept {
    const std::optional<Bytes> data = extension(packet, id);
    if (!data || data->size() != 1) return std::nullopt;
    const std::uint8_t byte = data->front();
    return AudioLevel{.voice = (byte & 0x80) != 0, .level = static_cast<std::uint8_t>(byte & 0x7F)};
}

std::size_t write_header(MutableBytes out, const Header& header, std::span<const std::uint32_t> csrcs,
                         std::span<const Element> elements) noexcept {
    if (csrcs.size() > max_csrcs) return 0;
    const bool one_byte = std::all_of(elements.begin(), elements.end(), fits_one_byte);
    std::size_t body = 0;
    for (const Element& element : elements) {
        if (element.id == 0 || element.data.size() > 255) return 0;
        body += (one_byte ? 1 : 2) + element.data.size();
    }
    const std::size_t words = (body + 3) / 4;
    const std::size_t csrcs_end = fixed_header_size + 4 * csrcs.size();
    const std::size_t size = elements.empty() ? csrcs_end : csrcs_end + extension_header_size + 4 * words;
    if (words > 0xFFFF || out.size() < size) return 0;

    out[0] = static_cast<std::uint8_t>(version << 6 | (elements.empty() ? 0 : extension_bit) | csrcs.size());
    out[1] = static_cast<std::uint8_t>((header.marker ? marker_bit : 0) | (header.payload_type & 0x7F));
    store16(&out[2], header.sequence);
    store32(&out[4], header.timestamp);
    store32(&out[8], header.ssrc);
    std::uint8_t* p = out.data() + fixed_header_size;
    for (std::uint32_t csrc : csrcs) {
        store32(p, csrc);
        p += 4;
    }
    if (elements.empty()) return size;

    store16(p, one_byte ? one_byte_profile : two_byte_profile);
    store16(p + 2, static_cast<std::uint16_t>(words));
    p += extension_header_size;
    for (const Element& element : elements) {
        if (one_byte) {
            *p++ = static_cast<std::uint8_t>(std::size_t{element.id} << 4 | (element.data.size() - 1));
        } else {
            *p++ = element.id;
            *p++ = static_cast<std::uint8_t>(element.data.size());
        }
        p = std::copy(element.data.begin(), element.data.end(), p);
    }
    std::fill(p, out.data() + size, std::uint8_t{0});
    return size;
}

}  // namespace plane::rtp
