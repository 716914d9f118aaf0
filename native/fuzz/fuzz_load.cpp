// What the load generator reads of a server: whatever comes, it is counted in bounded memory, and what it writes it can read.

#include <algorithm>
#include <vector>

#include "fuzz.hpp"
#include "hearing.hpp"
#include "stun.hpp"

using namespace plane;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input{data, size};

    if (const auto response = stun::parse_response(input)) {
        FUZZ_REQUIRE(response->integrity_offset == 0 || response->integrity_offset + 24 <= size);
        FUZZ_REQUIRE(response->error <= 955);
        FUZZ_REQUIRE(!stun::authentic(input, *response, ""));
        FUZZ_REQUIRE(!stun::parse_request(input));
    }

    // Packets of one byte of length each, cut from the input.
    load::Hearing hearing{{.run = 1, .room = 2, .ear = true, .own_tones = 1}};
    load::Times times;
    Instant now{seconds{1}};
    std::uint64_t packets = 0;
    for (std::size_t at = 0; at < size;) {
        const std::size_t length = std::min<std::size_t>(input[at], size - at - 1);
        hearing.packet(now, input.subspan(at + 1, length), times);
        at += 1 + length;
        now += milliseconds{20};
        ++packets;
    }
    const load::Tally tally = hearing.tally();
    FUZZ_REQUIRE(tally.packets + tally.malformed + tally.duplicates <= packets);
    FUZZ_REQUIRE(tally.marked + tally.unmarked + tally.foreign + tally.corrupt == tally.packets);
    std::array<rtcp::ReportBlock, load::Hearing::max_streams> blocks;
    FUZZ_REQUIRE(hearing.report(now, blocks) <= load::Hearing::max_streams);

    // The input as audio with a marker.
    std::vector<std::uint8_t> payload(size + load::marker_overhead);
    const load::Marker marker{1, 2, 3, 4, now};
    const std::size_t written = load::write_marked(payload, input, marker);
    FUZZ_REQUIRE(written == (size != 0 && (input[0] & 3) == 0 ? payload.size() : 0));
    if (written != 0) {
        const auto read = load::read_marked(payload);
        FUZZ_REQUIRE(read && read->marker == marker && read->intact);
    }
    return 0;
}

std::vector<std::vector<std::uint8_t>> seeds() {
    std::vector<std::uint8_t> response(128);
    response.resize(stun::write_success(response, {}, *Endpoint::from_text("192.0.2.1", 9), "password"));

    // Three packets of a room, and one that is numbered as the second.
    std::vector<std::uint8_t> stream;
    const std::vector<std::uint8_t> frame{0x78, 1, 2, 3};
    for (std::uint16_t number : {1, 2, 3, 2}) {
        std::array<std::uint8_t, 128> packet;
        std::array<std::uint8_t, 64> payload;
        const std::size_t marked = load::write_marked(payload, frame, {1, 2, 0, number, Instant{seconds{1}}});
        const std::size_t header = rtp::write_header(packet, {false, 111, number, number * 960U, 5}, {}, {});
        std::copy_n(payload.begin(), marked, packet.begin() + static_cast<std::ptrdiff_t>(header));
        stream.push_back(static_cast<std::uint8_t>(header + marked));
        stream.insert(stream.end(), packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header + marked));
    }
    return {response, stream, frame};
}
