#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "framing.hpp"

using namespace plane;

namespace {

using Frame = std::vector<std::uint8_t>;

std::vector<std::uint8_t> framed(const std::vector<Frame>& packets) {
    std::vector<std::uint8_t> stream;
    for (const Frame& packet : packets) {
        stream.push_back(static_cast<std::uint8_t>(packet.size() >> 8));
        stream.push_back(static_cast<std::uint8_t>(packet.size()));
        stream.insert(stream.end(), packet.begin(), packet.end());
    }
    return stream;
}

}  // namespace

TEST_CASE("packets come out of a stream as they went in, however it is cut") {
    std::mt19937 random{7};
    for (int round = 0; round < 200; ++round) {
        std::vector<Frame> packets;
        for (int i = 0; i < 20; ++i) {
            const std::size_t sizes[] = {1, 2, 20, 160, max_datagram, random() % max_datagram + 1};
            packets.emplace_back(sizes[random() % 6], static_cast<std::uint8_t>(random()));
        }
        const auto stream = framed(packets);
        const std::size_t largest = round % 3 == 0 ? 1 : round % 3 == 1 ? 7 : 4096;
        Deframer deframer;
        std::vector<Frame> seen;
        for (Bytes rest{stream}; !rest.empty();) {
            const std::size_t size = std::min<std::size_t>(rest.size(), random() % largest + 1);
            REQUIRE(deframer.feed(rest.first(size), [&](Bytes packet) { seen.emplace_back(packet.begin(), packet.end()); }));
            rest = rest.subspan(size);
        }
        CHECK(seen == packets);
    }
}

TEST_CASE("empty frames mean nothing") {
    Deframer deframer;
    int seen = 0;
    const auto stream = framed({{}, {1}, {}, {}, {2}});
    CHECK(deframer.feed(stream, [&](Bytes) { ++seen; }));
    for (const std::uint8_t& byte : stream) CHECK(deframer.feed({&byte, 1}, [&](Bytes) { ++seen; }));
    CHECK(seen == 4);
}

TEST_CASE("a length beyond a packet's ends the stream, at whichever byte it is known") {
    std::vector<std::uint8_t> stream = framed({{1, 2, 3}});
    stream.push_back((max_datagram + 1) >> 8);
    stream.push_back((max_datagram + 1) & 0xff);
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        Deframer deframer;
        int seen = 0;
        const bool first = deframer.feed(Bytes{stream}.first(cut), [&](Bytes) { ++seen; });
        CHECK(first == (cut < stream.size()));
        if (first) CHECK_FALSE(deframer.feed(Bytes{stream}.subspan(cut), [&](Bytes) { ++seen; }));
        CHECK(seen == 1);
    }
}
