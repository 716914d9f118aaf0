#include <doctest/doctest.h>

#include "reports.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};
const NtpClock ntp{start, std::chrono::system_clock::time_point{seconds{1'700'000'000}}};

Peer listener_peer() {
    Peer peer{1, 1, {"ufrag", "password"}, start};
    peer.listener = std::make_unique<Listener>();
    peer.listener->peer = &peer;
    peer.listener->cname = "room";
    peer.listener->slots.emplace_back(SlotConfig{.ssrc = 100}, std::uint16_t{0}, 0U);
    peer.listener->slots.emplace_back(SlotConfig{.ssrc = 200}, std::uint16_t{0}, 0U);
    return peer;
}

}  // namespace

TEST_CASE("the reports' clock is Unix time as well") {
    CHECK(ntp.unix_time(start + milliseconds{1500}) == nanoseconds{1'700'000'001'500'000'000});
    CHECK((ntp.at(start) >> 32) == std::uint64_t{3'908'988'800});
}

TEST_CASE("NTP time counts from 1900") {
    CHECK((ntp.at(start) >> 32) == 1'700'000'000ULL + 2'208'988'800ULL);
    CHECK((ntp.at(start + milliseconds{250}) & 0xffffffff) == 0x40000000);
}

TEST_CASE("a listener's report gives loss, jitter and round trip of its worst slot") {
    Peer peer = listener_peer();
    std::array<rtcp::ReportBlock, 3> blocks{};
    blocks[0] = {.ssrc = 100, .fraction_lost = 64, .cumulative_lost = 10, .jitter = 480};
    const auto sent = static_cast<std::uint32_t>(ntp.at(start) >> 16);
    blocks[1] = {.ssrc = 200, .fraction_lost = 0, .cumulative_lost = 1, .jitter = 960, .last_sr = sent, .delay_since_last_sr = 65536 / 2};
    blocks[2] = {.ssrc = 999, .fraction_lost = 255, .cumulative_lost = 1000};  // not ours
    std::array<std::uint8_t, 512> out;
    const std::size_t size = rtcp::write_receiver_report(out, 1, blocks);
    CHECK_FALSE(read_reports(peer, {out.data(), size}, start + milliseconds{600}, ntp)->bye);
    CHECK(peer.stats->fraction_lost.get() == doctest::Approx(0.25));
    CHECK(peer.stats->jitter_ms.get() == doctest::Approx(20));
    CHECK(peer.stats->packets_lost.get() == 11);
    CHECK(peer.stats->round_trip_ms.get() == doctest::Approx(100).epsilon(0.01));
}

TEST_CASE("a round trip that cannot be is not believed") {
    Peer peer = listener_peer();
    rtcp::ReportBlock block{.ssrc = 100, .last_sr = 12345, .delay_since_last_sr = 1};
    std::array<std::uint8_t, 512> out;
    const std::size_t size = rtcp::write_receiver_report(out, 1, {&block, 1});
    read_reports(peer, {out.data(), size}, start, ntp);
    CHECK(peer.stats->round_trip_ms.get() < 0);
}

TEST_CASE("sender reports are written for the slots that have sent") {
    Peer peer = listener_peer();
    std::array<std::uint8_t, 512> out;
    CHECK(write_reports(peer, out, start, ntp) == 0);
    Packet packet;
    packet.position.run = 1;
    packet.position.time = start;
    REQUIRE(peer.listener->slots[1].map(packet.position));
    peer.listener->slots[1].count(50);
    const std::size_t size = write_reports(peer, out, start, ntp);
    const auto reports = rtcp::parse({out.data(), size});
    REQUIRE(reports);
    CHECK(reports->sender_ssrc == 200);
    REQUIRE(reports->sender);
    CHECK(reports->sender->packets == 1);
    CHECK(reports->sender->octets == 50);
}

TEST_CASE("a publisher's round trip comes from the answer to our reference time") {
    WorkerStats worker_stats;
    Peer peer{1, 1, {"ufrag", "password"}, start};
    peer.reception = std::make_unique<Reception>(ReceptionConfig{.payload_type = 111, .level_id = 0, .report_ssrc = 9}, peer.stats, worker_stats);
    // XR with one DLRR block of one sub-block (RFC 3611 section 4.5).
    std::array<std::uint8_t, 24> xr{0x80, 207, 0, 5};
    store32(&xr[4], 5);
    xr[8] = 5;
    store16(&xr[10], 3);
    store32(&xr[12], 9);
    store32(&xr[16], static_cast<std::uint32_t>(ntp.at(start) >> 16));
    store32(&xr[20], 65536 / 10);
    CHECK_FALSE(read_reports(peer, xr, start + milliseconds{150}, ntp)->bye);
    CHECK(peer.stats->round_trip_ms.get() == doctest::Approx(50).epsilon(0.02));
}

TEST_CASE("goodbye names every stream, and is recognised") {
    Peer peer = listener_peer();
    std::array<std::uint8_t, 512> out;
    const std::size_t size = write_goodbye(peer, out);
    REQUIRE(size > 0);
    CHECK(read_reports(peer, {out.data(), size}, start, ntp)->bye);
}
