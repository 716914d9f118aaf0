#include "rtcp.hpp"

#include <algorithm>

namespace plane::rtcp {
namespace {

constexpr std::uint8_t version = 2;
constexpr std::uint8_t padding_bit = 0x20;
constexpr std::size_t header_size = 4;
constexpr std::size_t sender_info_size = 20;
constexpr std::size_t report_block_size = 24;
constexpr std::size_t dlrr_size = 12;
constexpr std::size_t reference_time_size = 8;
constexpr std::size_t max_text = 255;  // CNAME and BYE reason have one byte of length

enum PacketType : std::uint8_t { sender_report = 200, receiver_report = 201, sdes = 202, goodbye = 203, transport_feedback = 205, xr = 207 };
enum XrBlock : std::uint8_t { receiver_reference_time = 4, dlrr = 5 };
constexpr std::uint8_t sdes_cname = 1;

ReportBlock read_block(const std::uint8_t* p) noexcept {
    ReportBlock block;
    block.ssrc = load32(p);
    block.fraction_lost = p[4];
    // The sign bit of the 24 is brought to the top and shifted back down.
    block.cumulative_lost = static_cast<std::int32_t>(load24(p + 5) << 8) >> 8;
    block.highest_sequence = load32(p + 8);
    block.jitter = load32(p + 12);
    block.last_sr = load32(p + 16);
    block.delay_since_last_sr = load32(p + 20);
    return block;
}

void write_block(std::uint8_t* p, const ReportBlock& block) noexcept {
    // RFC 3550 appendix A.3: a loss beyond 24 bits stays at the limit rather than wrapping into a gain.
    const std::int32_t lost = std::clamp(block.cumulative_lost, -0x800000, 0x7FFFFF);
    store32(p, block.ssrc);
    p[4] = block.fraction_lost;
    store24(p + 5, static_cast<std::uint32_t>(lost));
    store32(p + 8, block.highest_sequence);
    store32(p + 12, block.jitter);
    store32(p + 16, block.last_sr);
    store32(p + 20, block.delay_since_last_sr);
}

bool take_report(Reports& reports, Bytes body, std::size_t count, bool from_sender) noexcept {
    std::size_t offset = 4;
    if (from_sender) {
        if (body.size() < offset + sender_info_size) return false;
        const std::uint8_t* p = body.data() + offset;
        reports.sender = SenderInfo{
            .ntp = load64(p), .rtp_timestamp = load32(p + 8), .packets = load32(p + 12), .octets = load32(p + 16)};
        offset += sender_info_size;
    }
    // What follows the blocks is a profile's extension (RFC 3550 section 6.4.3), of no use to us.
    if (body.size() < offset + count * report_block_size) return false;
    for (std::size_t i = 0; i < count && reports.block_count < reports.blocks.size(); ++i)
        reports.blocks[reports.block_count++] = read_block(body.data() + offset + i * report_block_size);
    return true;
}

bool take_extended(Reports& reports, Bytes body) noexcept {
    for (std::size_t offset = 4; offset < body.size();) {
        // The body is made of words, so a block's own header always fits.
        const std::uint8_t type = body[offset];
        const std::size_t size = std::size_t{4} * load16(&body[offset + 2]);
        offset += header_size;
        if (size > body.size() - offset) return false;
        const std::uint8_t* p = body.data() + offset;
        if (type == receiver_reference_time) {
            if (size != reference_time_size) return false;
            reports.reference_time = load64(p);
        } else if (type == dlrr) {
            if (size % dlrr_size != 0) return false;
            for (std::size_t at = 0; at < size && reports.dlrr_count < reports.dlrrs.size(); at += dlrr_size)
                reports.dlrrs[reports.dlrr_count++] = {
                    .ssrc = load32(p + at), .last_rr = load32(p + at + 4), .delay_since_last_rr = load32(p + at + 8)};
        }
        offset += size;
    }
    return true;
}

constexpr std::size_t generic_nack = 1;  // RFC 4585 section 6.2.1: the format, where other packets have their count
constexpr std::size_t nack_size = 4;

bool take_nacks(Reports& reports, Bytes body) noexcept {
    // Who asks, whose packets, then at least one entry.
    if (body.size() < 8 + nack_size) return false;
    const std::uint32_t ssrc = load32(&body[4]);
    for (std::size_t at = 8; at < body.size() && reports.nack_count < reports.nacks.size(); at += nack_size)
        reports.nacks[reports.nack_count++] = {.ssrc = ssrc, .sequence = load16(&body[at]), .following = load16(&body[at + 2])};
    return true;
}

// One packet's body, without its header and padding.
bool take_packet(Reports& reports, std::uint8_t type, std::size_t count, Bytes body) noexcept {
    switch (type) {
    case sender_report:
    case receiver_report:
        return body.size() >= 4 && take_report(reports, body, count, type == sender_report);
    case goodbye: {
        reports.bye = true;
        const std::size_t sources = count * 4;
        if (body.size() < sources) return false;
        return body.size() == sources || body[sources] < body.size() - sources;
    }
    case transport_feedback:
        return body.size() >= 8 && (count != generic_nack || take_nacks(reports, body));
    case xr:
        return body.size() >= 4 && take_extended(reports, body);
    default:
        return true;
    }
}

// Writes the common header of a packet of `size` bytes, when it fits.
bool begin(MutableBytes out, std::size_t size, std::size_t count, PacketType type, std::uint32_t ssrc) noexcept {
    if (out.size() < size) return false;
    out[0] = static_cast<std::uint8_t>(version << 6 | count);
    out[1] = type;
    store16(&out[2], static_cast<std::uint16_t>(size / 4 - 1));
    store32(&out[4], ssrc);
    return true;
}

constexpr std::size_t padded(std::size_t size) noexcept { return (size + 3) & ~std::size_t{3}; }

}  // namespace

std::optional<Reports> parse(Bytes compound) noexcept {
    if (compound.empty()) return std::nullopt;
    Reports reports;
    for (std::size_t offset = 0; offset < compound.size();) {
        const Bytes rest = compound.subspan(offset);
        if (rest.size() < header_size || rest[0] >> 6 != version) return std::nullopt;
        const std::size_t size = header_size + std::size_t{4} * load16(&rest[2]);
        if (size > rest.size()) return std::nullopt;
        Bytes body = rest.subspan(header_size, size - header_size);
        if (rest[0] & padding_bit) {
            // RFC 3550 section 6.4.1: only the last packet may be padded, in whole words, counted by the last byte.
            if (size != rest.size() || body.empty()) return std::nullopt;
            const std::size_t padding = body.back();
            if (padding == 0 || padding % 4 != 0 || padding > body.size()) return std::nullopt;
            body = body.first(body.size() - padding);
        }
        if (offset == 0 && body.size() >= 4) reports.sender_ssrc = load32(body.data());
        if (!take_packet(reports, rest[1], rest[0] & 0x1F, body)) return std::nullopt;
        offset += size;
    }
    return reports;
}

std::size_t write_sender_report(MutableBytes out, std::uint32_t ssrc, const SenderInfo& info,
                                std::span<const ReportBlock> blocks) noexcept {
    const std::size_t start = header_size + 4 + sender_info_size;
    const std::size_t size = start + blocks.size() * report_block_size;
    if (blocks.size() > max_blocks || !begin(out, size, blocks.size(), sender_report, ssrc)) return 0;
    store64(&out[8], info.ntp);
    store32(&out[16], info.rtp_timestamp);
    store32(&out[20], info.packets);
    store32(&out[24], info.octets);
    for (std::size_t i = 0; i < blocks.size(); ++i) write_block(&out[start + i * report_block_size], blocks[i]);
    return size;
}

std::size_t write_receiver_report(MutableBytes out, std::uint32_t ssrc, std::span<const ReportBlock> blocks) noexcept {
    const std::size_t start = header_size + 4;
    const std::size_t size = start + blocks.size() * report_block_size;
    if (blocks.size() > max_blocks || !begin(out, size, blocks.size(), receiver_report, ssrc)) return 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) write_block(&out[start + i * report_block_size], blocks[i]);
    return size;
}

std::size_t write_cname(MutableBytes out, std::uint32_t ssrc, std::string_view cname) noexcept {
    // Section 6.5: the list of items ends with at least one zero byte and fills up its word with more.
    const std::size_t size = padded(header_size + 4 + 2 + cname.size() + 1);
    if (cname.size() > max_text || !begin(out, size, 1, sdes, ssrc)) return 0;
    out[8] = sdes_cname;
    out[9] = static_cast<std::uint8_t>(cname.size());
    const auto end = std::copy(cname.begin(), cname.end(), out.begin() + 10);
    std::fill(end, out.begin() + static_cast<std::ptrdiff_t>(size), std::uint8_t{0});
    return size;
}

std::size_t write_reference_time(MutableBytes out, std::uint32_t ssrc, std::uint64_t ntp) noexcept {
    const std::size_t size = header_size + 4 + header_size + reference_time_size;
    if (!begin(out, size, 0, xr, ssrc)) return 0;
    out[8] = receiver_reference_time;
    out[9] = 0;
    store16(&out[10], reference_time_size / 4);
    store64(&out[12], ntp);
    return size;
}

std::size_t write_nack(MutableBytes out, std::uint32_t ssrc, std::uint32_t media, std::span<const std::uint16_t> sequences) noexcept {
    std::array<Nack, max_nacks> entries;
    std::size_t count = 0;
    for (const std::uint16_t sequence : sequences) {
        const auto after = count == 0 ? 0U : static_cast<std::uint16_t>(sequence - entries[count - 1].sequence);
        if (count != 0 && after >= 1 && after <= 16) {
            entries[count - 1].following = static_cast<std::uint16_t>(entries[count - 1].following | 1U << (after - 1));
        } else if (count == max_nacks) {
            return 0;
        } else {
            entries[count++] = {media, sequence, 0};
        }
    }
    const std::size_t size = header_size + 8 + count * nack_size;
    if (count == 0 || !begin(out, size, generic_nack, transport_feedback, ssrc)) return 0;
    store32(&out[8], media);
    for (std::size_t i = 0; i < count; ++i) {
        store16(&out[12 + i * nack_size], entries[i].sequence);
        store16(&out[14 + i * nack_size], entries[i].following);
    }
    return size;
}

std::size_t write_bye(MutableBytes out, std::uint32_t ssrc, std::string_view reason) noexcept {
    const std::size_t text = reason.empty() ? 0 : 1 + reason.size();
    const std::size_t size = padded(header_size + 4 + text);
    if (reason.size() > max_text || !begin(out, size, 1, goodbye, ssrc)) return 0;
    if (reason.empty()) return size;
    out[8] = static_cast<std::uint8_t>(reason.size());
    const auto end = std::copy(reason.begin(), reason.end(), out.begin() + 9);
    std::fill(end, out.begin() + static_cast<std::ptrdiff_t>(size), std::uint8_t{0});
    return size;
}

}  // namespace plane::rtcp
