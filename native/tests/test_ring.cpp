// Rings between a decoder's process and a tick.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <system_error>
#include <vector>

#include "ring.hpp"

using namespace plane;

namespace {

std::vector<float> ramp(std::size_t frames, float from) {
    std::vector<float> samples(frames * ring_channels);
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = from + static_cast<float>(i);
    return samples;
}

}  // namespace

TEST_CASE("what is written is read, in order, however often it goes round") {
    Ring ring{64};
    RingWriter writer{ring.fd()};
    float written = 0, read = 0;
    for (std::size_t round = 0; round < 200; ++round) {
        const std::size_t frames = 1 + round * 7 % 40;
        const auto samples = ramp(frames, written);
        const std::size_t taken = writer.write(samples);
        CHECK(taken == std::min(frames, std::size_t{64} - (ring.buffered() - taken)));
        written += static_cast<float>(taken * ring_channels);
        std::vector<float> out((1 + round * 11 % 50) * ring_channels, -1);
        const std::size_t got = ring.read(out);
        for (std::size_t i = 0; i < got * ring_channels; ++i) CHECK(out[i] == read + static_cast<float>(i));
        read += static_cast<float>(got * ring_channels);
    }
    CHECK(read > 3000);
}

TEST_CASE("a full ring takes nothing, an empty one gives nothing, and the end is told") {
    Ring ring{16};
    RingWriter writer{ring.fd()};
    CHECK(writer.write(ramp(20, 0)) == 16);
    CHECK(writer.write(ramp(1, 0)) == 0);
    CHECK(writer.space() == 0);
    CHECK_FALSE(ring.finished());
    std::vector<float> out(40 * ring_channels);
    CHECK(ring.read(out) == 16);
    CHECK(ring.read(out) == 0);
    CHECK(writer.space() == 16);
    writer.finish();
    CHECK(ring.finished());
}

TEST_CASE("a writer that lies about what it wrote is not believed") {
    Ring ring{16};
    void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd(), 0);
    REQUIRE(memory != MAP_FAILED);
    auto& header = *static_cast<RingMemory::Header*>(memory);
    std::vector<float> out(64 * ring_channels);
    for (const std::uint64_t lie : {std::uint64_t{17}, std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 40}) {
        header.written.store(lie);
        CHECK(ring.read(out) == 0);
        CHECK(ring.buffered() == 0);
    }
    header.written.store(16);
    header.read.store(std::uint64_t{1} << 50);
    header.capacity = 1 << 20;
    CHECK(ring.read(out) == 16);
    munmap(memory, 4096);
}

TEST_CASE("the memory cannot be taken away from the reader") {
    Ring ring{16};
    CHECK(ftruncate(ring.fd(), 0) != 0);
}

TEST_CASE("what is not a ring is refused") {
    CHECK_THROWS_AS(RingWriter{-1}, std::system_error);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_THROWS_AS(RingWriter{null}, std::invalid_argument);
    close(null);
    CHECK_THROWS_AS(Ring{0}, std::invalid_argument);
    CHECK_THROWS_AS(Ring{max_ring_frames + 1}, std::invalid_argument);
}

TEST_CASE("the position is what was noted last") {
    Ring ring{16};
    CHECK(ring.position() == std::pair{std::uint64_t{0}, Instant{}});
    ring.note_position(960, Instant{seconds{5}});
    CHECK(ring.position() == std::pair{std::uint64_t{960}, Instant{seconds{5}}});
}
