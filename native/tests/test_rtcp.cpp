#include <doctest/doctest.h>

#include <random>

#include "hex.hpp"
#include "rtcp.hpp"

using namespace plane;
using namespace plane::rtcp;

namespace {

// A compound as a browser sends it: SR with one block, SDES with a CNAME.
const std::vector<std::uint8_t> sample = from_hex(
    "81c8000c 11111111 e123456789abcdef 00bb8000 00000064 00002710"
    "22222222 40ffffff 0001abcd 0000001e 4567 89ab 00010000"
    "81ca0003 11111111 0104 6e616d65 0000");

std::vector<std::uint8_t> joined(std::initializer_list<std::vector<std::uint8_t>> parts) {
    std::vector<std::uint8_t> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

const std::vector<std::uint8_t> empty_rr = from_hex("80c90001 aaaaaaaa");

bool same(const ReportBlock& a, const ReportBlock& b) {
    return a.ssrc == b.ssrc && a.fraction_lost == b.fraction_lost && a.cumulative_lost == b.cumulative_lost &&
           a.highest_sequence == b.highest_sequence && a.jitter == b.jitter && a.last_sr == b.last_sr &&
           a.delay_since_last_sr == b.delay_since_last_sr;
}

}  // namespace

TEST_CASE("a sender report with its block is read from a compound") {
    const auto reports = parse(sample);
    REQUIRE(reports);
    CHECK(reports->sender_ssrc == 0x11111111);
    REQUIRE(reports->sender);
    CHECK(reports->sender->ntp == 0xe123456789abcdef);
    CHECK(reports->sender->rtp_timestamp == 0x00bb8000);
    CHECK(reports->sender->packets == 100);
    CHECK(reports->sender->octets == 10'000);
    REQUIRE(reports->block_count == 1);
    const ReportBlock& block = reports->blocks[0];
    CHECK(block.ssrc == 0x22222222);
    CHECK(block.fraction_lost == 64);
    CHECK(block.cumulative_lost == -1);
    CHECK(block.highest_sequence == 0x0001abcd);
    CHECK(block.jitter == 30);
    CHECK(block.last_sr == 0x456789ab);
    CHECK(block.delay_since_last_sr == 0x00010000);
    CHECK_FALSE(reports->bye);
    CHECK_FALSE(reports->reference_time);
    CHECK(reports->dlrr_count == 0);
}

TEST_CASE("a compound cut at any byte is refused unless the cut is between packets") {
    for (std::size_t size = 0; size <= sample.size(); ++size) {
        const std::vector<std::uint8_t> cut(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(parse(cut).has_value() == (size == 52 || size == sample.size()));
    }
}

TEST_CASE("reduced-size RTCP is read whatever packet it begins with") {
    const auto feedback = from_hex("81cd0003 aaaaaaaa bbbbbbbb 00010000");
    const auto reports = parse(feedback);
    REQUIRE(reports);
    CHECK(reports->sender_ssrc == 0xaaaaaaaa);
    CHECK(reports->block_count == 0);
    CHECK_FALSE(reports->bye);
}

TEST_CASE("packets of unknown type are passed over") {
    const auto reports = parse(joined({from_hex("9fff0002 cccccccc 01020304"), from_hex("80c00000"), empty_rr, sample}));
    REQUIRE(reports);
    CHECK(reports->sender_ssrc == 0xcccccccc);
    CHECK(reports->block_count == 1);
}

TEST_CASE("goodbye is heard, with sources, with a reason and with neither") {
    CHECK(parse(from_hex("80cb0000"))->bye);
    CHECK(parse(from_hex("81cb0001 aaaaaaaa"))->bye);
    CHECK(parse(from_hex("82cb0004 aaaaaaaa bbbbbbbb 05 6c65617665 0000"))->bye);
    CHECK(parse(joined({empty_rr, from_hex("81cb0001 aaaaaaaa")}))->bye);
    CHECK_FALSE(parse(empty_rr)->bye);
}

TEST_CASE("a goodbye whose sources or reason do not fit is refused") {
    CHECK_FALSE(parse(from_hex("82cb0001 aaaaaaaa")));
    CHECK_FALSE(parse(from_hex("9fcb0000")));
    CHECK_FALSE(parse(from_hex("81cb0002 aaaaaaaa 04 6c6561")));
    CHECK(parse(from_hex("81cb0002 aaaaaaaa 03 6c6561")));
}

TEST_CASE("report blocks that do not fit are refused") {
    CHECK_FALSE(parse(from_hex("80c90000")));
    CHECK_FALSE(parse(from_hex("81c90001 aaaaaaaa")));
    CHECK_FALSE(parse(from_hex("80c80001 aaaaaaaa")));
    CHECK_FALSE(parse(from_hex("81c80006 aaaaaaaa 0000000000000000 00000000 00000000 00000000")));
    CHECK(parse(from_hex("80c80006 aaaaaaaa 0000000000000000 00000000 00000000 00000000")));
}

TEST_CASE("a profile's extension behind the blocks is passed over") {
    CHECK(parse(from_hex("80c90003 aaaaaaaa 01020304 05060708"))->block_count == 0);
}

TEST_CASE("the extended reports for round trips are read") {
    const auto reports = parse(from_hex(
        "80cf000d aaaaaaaa"
        "04000002 0123456789abcdef"
        "05000006 bbbbbbbb 00000001 00000002 cccccccc 00000003 00000004"
        "07000001 ffffffff"));
    REQUIRE(reports);
    CHECK(reports->reference_time == 0x0123456789abcdef);
    REQUIRE(reports->dlrr_count == 2);
    CHECK(reports->dlrrs[0].ssrc == 0xbbbbbbbb);
    CHECK(reports->dlrrs[0].last_rr == 1);
    CHECK(reports->dlrrs[0].delay_since_last_rr == 2);
    CHECK(reports->dlrrs[1].ssrc == 0xcccccccc);
    CHECK(reports->dlrrs[1].last_rr == 3);
    CHECK(reports->dlrrs[1].delay_since_last_rr == 4);
}

TEST_CASE("extended reports whose blocks do not fit are refused") {
    CHECK_FALSE(parse(from_hex("80cf0000")));
    CHECK(parse(from_hex("80cf0001 aaaaaaaa")));
    CHECK_FALSE(parse(from_hex("80cf0002 aaaaaaaa 04000002")));
    CHECK_FALSE(parse(from_hex("80cf0003 aaaaaaaa 04000001 00000000")));
    CHECK_FALSE(parse(from_hex("80cf0003 aaaaaaaa 05000001 00000000")));
    CHECK_FALSE(parse(from_hex("80cf0003 aaaaaaaa 07000002 00000000")));
}

TEST_CASE("versions other than 2 are refused, in the first packet and in later ones") {
    for (const char* head : {"00c90001 aaaaaaaa", "40c90001 aaaaaaaa", "c0c90001 aaaaaaaa"}) {
        CHECK_FALSE(parse(from_hex(head)));
        CHECK_FALSE(parse(joined({empty_rr, from_hex(head)})));
    }
}

TEST_CASE("padding is allowed in the last packet only, in whole words") {
    const auto padded = from_hex("a0c90002 aaaaaaaa 00000004");
    CHECK(parse(padded));
    CHECK(parse(joined({empty_rr, padded})));
    CHECK_FALSE(parse(joined({padded, empty_rr})));
    CHECK_FALSE(parse(from_hex("a0c90002 aaaaaaaa 00000000")));
    CHECK_FALSE(parse(from_hex("a0c90002 aaaaaaaa 00000003")));
    CHECK_FALSE(parse(from_hex("a0c90002 aaaaaaaa 0000000c")));
    CHECK_FALSE(parse(from_hex("a0c90000")));
    // Padding is not content: here it covers the block that the count promises.
    CHECK_FALSE(parse(from_hex("a1c90007 aaaaaaaa 0000000000000000000000000000000000000000 00000018")));
}

TEST_CASE("blocks beyond the limit are dropped, not stored") {
    std::vector<ReportBlock> blocks(31);
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].ssrc = static_cast<std::uint32_t>(i);
    std::vector<std::uint8_t> out(2000);
    std::size_t size = write_receiver_report(out, 1, blocks);
    for (auto& block : blocks) block.ssrc += 100;
    size += write_receiver_report(MutableBytes{out}.subspan(size), 1, blocks);
    const auto reports = parse(Bytes{out}.first(size));
    REQUIRE(reports);
    CHECK(reports->block_count == max_blocks);
    CHECK(reports->blocks[30].ssrc == 30);

    std::vector<std::uint8_t> answers = from_hex("80cf0011 aaaaaaaa 0500000f");
    for (std::uint8_t i = 0; i < 5; ++i) {
        const std::uint8_t one[12] = {0, 0, 0, i};
        answers.insert(answers.end(), std::begin(one), std::end(one));
    }
    const auto extended = parse(answers);
    REQUIRE(extended);
    CHECK(extended->dlrr_count == 4);
    CHECK(extended->dlrrs[3].ssrc == 3);
}

TEST_CASE("cumulative loss stays at its 24-bit limits") {
    const std::pair<std::int32_t, std::int32_t> cases[] = {{0, 0},
                                                           {-1, -1},
                                                           {0x7FFFFF, 0x7FFFFF},
                                                           {0x800000, 0x7FFFFF},
                                                           {-0x800000, -0x800000},
                                                           {-0x800001, -0x800000},
                                                           {0x7FFFFFFF, 0x7FFFFF}};
    for (const auto& [lost, read] : cases) {
        std::array<std::uint8_t, 32> out{};
        ReportBlock block;
        block.cumulative_lost = lost;
        block.fraction_lost = 0xAB;
        REQUIRE(write_receiver_report(out, 1, {&block, 1}) == 32);
        CHECK(parse(out)->blocks[0].cumulative_lost == read);
        CHECK(parse(out)->blocks[0].fraction_lost == 0xAB);
    }
}

TEST_CASE("written reports are the sample's, byte for byte") {
    const auto reports = *parse(sample);
    std::vector<std::uint8_t> out(100);
    std::size_t size = write_sender_report(out, 0x11111111, *reports.sender, {reports.blocks.data(), 1});
    CHECK(size == 52);
    size += write_cname(MutableBytes{out}.subspan(size), 0x11111111, "name");
    CHECK(to_hex(Bytes{out}.first(size)) == to_hex(sample));
}

TEST_CASE("a CNAME ends with a zero byte and fills its word") {
    for (std::size_t length = 0; length <= 255; ++length) {
        const std::string cname(length, 'c');
        std::vector<std::uint8_t> out(300, 0xEE);
        const std::size_t size = write_cname(out, 7, cname);
        REQUIRE(size >= 10 + length + 1);
        CHECK(size % 4 == 0);
        CHECK(size <= 10 + length + 4);
        CHECK(load16(&out[2]) == size / 4 - 1);
        CHECK(out[9] == length);
        CHECK(std::string(out.begin() + 10, out.begin() + 10 + static_cast<std::ptrdiff_t>(length)) == cname);
        for (std::size_t i = 10 + length; i < size; ++i) CHECK(out[i] == 0);
        CHECK(parse(Bytes{out}.first(size)));
    }
    std::vector<std::uint8_t> out(600);
    CHECK(write_cname(out, 7, std::string(256, 'c')) == 0);
}

TEST_CASE("goodbye and reference time are written as RFC 3550 and RFC 3611 draw them") {
    std::array<std::uint8_t, 64> out{};
    CHECK(write_bye(out, 0xaabbccdd, "") == 8);
    CHECK(to_hex(Bytes{out}.first(8)) == "81cb0001aabbccdd");
    out.fill(0xEE);
    CHECK(write_bye(out, 0xaabbccdd, "kick") == 16);
    CHECK(to_hex(Bytes{out}.first(16)) == "81cb0003aabbccdd046b69636b000000");
    CHECK(write_reference_time(out, 0xaabbccdd, 0x0123456789abcdef) == 20);
    CHECK(to_hex(Bytes{out}.first(20)) == "80cf0004aabbccdd040000020123456789abcdef");
    std::vector<std::uint8_t> large(600);
    CHECK(write_bye(large, 1, std::string(255, 'r')) == 264);
    CHECK(write_bye(large, 1, std::string(256, 'r')) == 0);
}

TEST_CASE("a writer says 0 for every buffer that is too small and for more blocks than the count can say") {
    const std::vector<ReportBlock> two(2);
    for (std::size_t room = 0; room <= 100; ++room) {
        std::vector<std::uint8_t> exact(room);
        CHECK(write_sender_report(exact, 1, {}, two) == (room < 76 ? 0 : 76));
        CHECK(write_receiver_report(exact, 1, two) == (room < 56 ? 0 : 56));
        CHECK(write_cname(exact, 1, "name") == (room < 16 ? 0 : 16));
        CHECK(write_reference_time(exact, 1, 2) == (room < 20 ? 0 : 20));
        CHECK(write_bye(exact, 1, "r") == (room < 12 ? 0 : 12));
    }
    const std::vector<ReportBlock> many(32);
    std::vector<std::uint8_t> out(2000);
    CHECK(write_receiver_report(out, 1, many) == 0);
    CHECK(write_sender_report(out, 1, {}, many) == 0);
    CHECK(write_receiver_report(out, 1, std::span(many).first(31)) == 8 + 31 * 24);
}

TEST_CASE("random reports are read back as they were written") {
    std::mt19937_64 random(4);
    for (int round = 0; round < 5'000; ++round) {
        SenderInfo info{.ntp = random(),
                        .rtp_timestamp = static_cast<std::uint32_t>(random()),
                        .packets = static_cast<std::uint32_t>(random()),
                        .octets = static_cast<std::uint32_t>(random())};
        std::vector<ReportBlock> blocks(random() % 32);
        for (auto& block : blocks)
            block = {.ssrc = static_cast<std::uint32_t>(random()),
                     .fraction_lost = static_cast<std::uint8_t>(random()),
                     .cumulative_lost = static_cast<std::int32_t>(random() % 0x1000000) - 0x800000,
                     .highest_sequence = static_cast<std::uint32_t>(random()),
                     .jitter = static_cast<std::uint32_t>(random()),
                     .last_sr = static_cast<std::uint32_t>(random()),
                     .delay_since_last_sr = static_cast<std::uint32_t>(random())};
        const auto ssrc = static_cast<std::uint32_t>(random());
        const std::uint64_t ntp = random();
        std::vector<std::uint8_t> out(1500);
        std::size_t size = write_sender_report(out, ssrc, info, blocks);
        size += write_cname(MutableBytes{out}.subspan(size), ssrc, "someone");
        size += write_reference_time(MutableBytes{out}.subspan(size), ssrc, ntp);
        const auto reports = parse(Bytes{out}.first(size));
        REQUIRE(reports);
        CHECK(reports->sender_ssrc == ssrc);
        CHECK(reports->sender->ntp == info.ntp);
        CHECK(reports->sender->rtp_timestamp == info.rtp_timestamp);
        CHECK(reports->sender->packets == info.packets);
        CHECK(reports->sender->octets == info.octets);
        REQUIRE(reports->block_count == blocks.size());
        for (std::size_t i = 0; i < blocks.size(); ++i) CHECK(same(reports->blocks[i], blocks[i]));
        CHECK(reports->reference_time == ntp);
    }
}

TEST_CASE("a compound with changed bytes gives nothing or reports within the limits") {
    std::mt19937 random(5);
    const auto extended = from_hex("80cf0006 aaaaaaaa 05000003 bbbbbbbb 00000001 00000002 07000000");
    const auto base = joined({sample, extended, from_hex("82cb0004 aaaaaaaa bbbbbbbb 05 6c65617665 0000")});
    REQUIRE(parse(base));
    std::size_t refused = 0;
    for (int round = 0; round < 50'000; ++round) {
        auto changed = base;
        for (unsigned n = 1 + random() % 3; n > 0; --n) changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
        if (random() % 2 == 0) changed.resize(1 + random() % changed.size());
        const auto reports = parse(changed);
        if (!reports) {
            ++refused;
            continue;
        }
        CHECK(reports->block_count <= max_blocks);
        CHECK(reports->dlrr_count <= 4);
    }
    CHECK(refused > 1'000);
}

TEST_CASE("a generic NACK names its stream and what is lost of it") {
    const auto reports = parse(joined({empty_rr, from_hex("81cd0004 aaaaaaaa 00000bb8 ffff8001 00050000")}));
    REQUIRE(reports);
    REQUIRE(reports->nack_count == 2);
    CHECK(reports->nacks[0].ssrc == 3000);
    CHECK(reports->nacks[0].sequence == 0xffff);
    CHECK(reports->nacks[0].following == 0x8001);
    CHECK(reports->nacks[1].sequence == 5);
    CHECK(reports->nacks[1].following == 0);
}

TEST_CASE("feedback of another format is passed over, a NACK without an entry is malformed") {
    const auto other = parse(from_hex("8fcd0003 aaaaaaaa 00000bb8 ffff8001"));
    REQUIRE(other);
    CHECK(other->nack_count == 0);
    CHECK_FALSE(parse(from_hex("81cd0002 aaaaaaaa 00000bb8")));
    CHECK_FALSE(parse(from_hex("81cd0001 aaaaaaaa")));
}

TEST_CASE("more NACKs than anybody can use are dropped") {
    std::vector<std::uint8_t> many = from_hex("81cd0042 aaaaaaaa 00000bb8");
    for (std::uint8_t i = 0; i < 64; ++i) many.insert(many.end(), {0, i, 0, 0});
    const auto reports = parse(many);
    REQUIRE(reports);
    CHECK(reports->nack_count == max_nacks);
    CHECK(reports->nacks[max_nacks - 1].sequence == max_nacks - 1);
}

TEST_CASE("a generic NACK that is written is read again, near sequence numbers in one entry") {
    std::array<std::uint8_t, 64> out;
    const std::array<std::uint16_t, 5> sequences{65534, 65535, 14, 15, 900};
    const std::size_t size = rtcp::write_nack(out, 7, 5, sequences);
    CHECK(size == 12 + 3 * 4);
    const auto reports = rtcp::parse(Bytes{out}.first(size));
    REQUIRE(reports);
    REQUIRE(reports->nack_count == 3);
    CHECK(reports->nacks[0].ssrc == 5);
    CHECK(reports->nacks[0].sequence == 65534);
    CHECK(reports->nacks[0].following == (1 | 1 << 15));
    CHECK(reports->nacks[1].sequence == 15);
    CHECK(reports->nacks[2].sequence == 900);
    CHECK(rtcp::write_nack(out, 7, 5, {}) == 0);
    CHECK(rtcp::write_nack(std::span{out}.first(15), 7, 5, sequences) == 0);
}
