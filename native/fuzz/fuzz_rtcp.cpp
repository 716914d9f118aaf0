// RTCP: fixed-size reports stay within their limits, and what is read can be written and read again.

#include <string>

#include "fuzz.hpp"
#include "rtcp.hpp"

using namespace plane;
using namespace plane::rtcp;

namespace {

bool same(const ReportBlock& a, const ReportBlock& b) {
    return a.ssrc == b.ssrc && a.fraction_lost == b.fraction_lost && a.cumulative_lost == b.cumulative_lost &&
           a.highest_sequence == b.highest_sequence && a.jitter == b.jitter && a.last_sr == b.last_sr &&
           a.delay_since_last_sr == b.delay_since_last_sr;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> seeds() {
    const ReportBlock blocks[2] = {{.ssrc = 1, .cumulative_lost = -1}, {.ssrc = 2, .fraction_lost = 255}};
    std::vector<std::uint8_t> out(600);
    std::size_t size = write_sender_report(out, 7, {.ntp = 1, .rtp_timestamp = 2, .packets = 3, .octets = 4}, blocks);
    size += write_cname(MutableBytes{out}.subspan(size), 7, "someone");
    size += write_reference_time(MutableBytes{out}.subspan(size), 7, 99);
    size += write_bye(MutableBytes{out}.subspan(size), 7, "gone");
    std::vector<std::uint8_t> compound(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
    std::vector<std::uint8_t> reduced(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(write_receiver_report(out, 7, blocks)));
    // XR: two DLRR sub-blocks and a block of another kind.
    const std::vector<std::uint8_t> extended{0x80, 207, 0, 10, 0, 0, 0, 7, 5, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0,
                                             0,    3,   0, 0,  0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 7, 0, 0, 1, 1, 2, 3, 4};
    // A receiver report with four bytes of padding.
    const std::vector<std::uint8_t> padded{0xA0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4};
    // A generic NACK of three packets and of nine, and feedback of another format.
    const std::vector<std::uint8_t> lost{0x81, 205, 0, 4, 0, 0, 0, 7, 0, 0, 0, 1, 0, 9, 0, 3, 0xFF, 0xFF, 0x80, 0xFE,
                                         0x8F, 205, 0, 3, 0, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4};
    return {compound, reduced, extended, padded, lost};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto reports = parse({data, size});
    if (!reports) return 0;
    FUZZ_REQUIRE(size >= 4 && size % 4 == 0);
    FUZZ_REQUIRE(reports->block_count <= reports->blocks.size());
    FUZZ_REQUIRE(reports->dlrr_count <= reports->dlrrs.size());
    FUZZ_REQUIRE(reports->nack_count <= reports->nacks.size());
    FUZZ_REQUIRE(reports->block_count * 24 + reports->dlrr_count * 12 + reports->nack_count * 4 < size);

    const std::span<const ReportBlock> blocks(reports->blocks.data(), reports->block_count);
    for (const ReportBlock& block : blocks)
        FUZZ_REQUIRE(block.cumulative_lost >= -0x800000 && block.cumulative_lost <= 0x7FFFFF);

    const std::string text(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 255));
    std::vector<std::uint8_t> out(2000);
    std::size_t written = reports->sender ? write_sender_report(out, reports->sender_ssrc, *reports->sender, blocks)
                                          : write_receiver_report(out, reports->sender_ssrc, blocks);
    FUZZ_REQUIRE(written != 0);
    const std::size_t report_size = written;
    written += write_cname(MutableBytes{out}.subspan(written), reports->sender_ssrc, text);
    if (reports->reference_time)
        written += write_reference_time(MutableBytes{out}.subspan(written), reports->sender_ssrc, *reports->reference_time);
    if (reports->bye) written += write_bye(MutableBytes{out}.subspan(written), reports->sender_ssrc, text);

    const auto again = parse(Bytes{out}.first(written));
    FUZZ_REQUIRE(again);
    FUZZ_REQUIRE(again->sender_ssrc == reports->sender_ssrc && again->bye == reports->bye);
    FUZZ_REQUIRE(again->reference_time == reports->reference_time);
    FUZZ_REQUIRE(again->block_count == reports->block_count);
    for (std::size_t i = 0; i < blocks.size(); ++i) FUZZ_REQUIRE(same(again->blocks[i], blocks[i]));
    FUZZ_REQUIRE(again->sender.has_value() == reports->sender.has_value());
    if (again->sender) {
        FUZZ_REQUIRE(again->sender->ntp == reports->sender->ntp);
        FUZZ_REQUIRE(again->sender->rtp_timestamp == reports->sender->rtp_timestamp);
        FUZZ_REQUIRE(again->sender->packets == reports->sender->packets);
        FUZZ_REQUIRE(again->sender->octets == reports->sender->octets);
    }
    // No prefix of a report is one.
    for (std::size_t cut = 0; cut < report_size; ++cut) FUZZ_REQUIRE(!parse(Bytes{out}.first(cut)));
    return 0;
}
