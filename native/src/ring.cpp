#include "ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>

namespace plane {

namespace {

constexpr std::size_t frame_bytes = ring_channels * sizeof(float);
constexpr std::size_t header_bytes = 4096;  // frames begin on a page of their own
static_assert(sizeof(RingMemory::Header) <= header_bytes);

[[noreturn]] void fail(const char* what, int fd) {
    const int error = errno;
    if (fd >= 0) close(fd);
    throw std::system_error(error, std::generic_category(), what);
}

void* map(int fd, std::size_t size) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("mmap", fd);
    return memory;
}

}  // namespace

RingMemory RingMemory::create(std::size_t frames) {
    if (frames == 0 || frames > max_ring_frames) throw std::invalid_argument("a ring has 1 to 4,194,304 frames");
    const std::size_t capacity = std::bit_ceil(frames);
    const std::size_t size = header_bytes + capacity * frame_bytes;
    const int fd = memfd_create("audio-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0) fail("memfd_create", fd);
    // Or else the writer could take the memory away under the reader (SIGBUS).
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) fail("F_ADD_SEALS", fd);
    RingMemory memory{fd, map(fd, size), size, capacity};
    new (memory.memory_) Header{.capacity = capacity, .written{0}, .finished{0}, .read{0}};
    return memory;
}

RingMemory RingMemory::open(int given) {
    const int fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
    struct stat status {};
    if (fd < 0 || fstat(fd, &status) != 0) fail("ring", fd);
    const auto size = static_cast<std::size_t>(status.st_size);
    const std::size_t capacity = size < header_bytes ? 0 : (size - header_bytes) / frame_bytes;
    if (!std::has_single_bit(capacity) || size != header_bytes + capacity * frame_bytes) {
        close(fd);
        throw std::invalid_argument("this is not a ring");
    }
    return RingMemory{fd, map(fd, size), size, capacity};
}

RingMemory::RingMemory(RingMemory&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)}, memory_{std::exchange(other.memory_, nullptr)}, size_{other.size_}, capacity_{other.capacity_} {}

RingMemory::~RingMemory() {
    if (memory_) munmap(memory_, size_);
    if (fd_ >= 0) close(fd_);
}

std::span<float> RingMemory::piece(std::uint64_t from, std::size_t wanted) const noexcept {
    const std::size_t at = from & (capacity_ - 1);
    auto* const frames = reinterpret_cast<float*>(static_cast<char*>(memory_) + header_bytes);
    return {frames + at * ring_channels, std::min(wanted, capacity_ - at) * ring_channels};
}

std::size_t Ring::buffered() const noexcept {
    const std::uint64_t read = memory_.header().read.load(std::memory_order_relaxed);
    const std::uint64_t ahead = memory_.header().written.load(std::memory_order_acquire) - read;
    return ahead > memory_.capacity() ? 0 : static_cast<std::size_t>(ahead);
}

std::size_t Ring::read(std::span<float> out) noexcept {
    // Its own count, not the one in memory, which the writer might change.
    const std::uint64_t ahead = memory_.header().written.load(std::memory_order_acquire) - read_;
    const std::size_t there = ahead > memory_.capacity() ? 0 : static_cast<std::size_t>(ahead);
    const std::size_t taken = std::min(there, out.size() / ring_channels);
    for (std::size_t done = 0; done < taken;) {
        const std::span<float> piece = memory_.piece(read_ + done, taken - done);
        std::copy(piece.begin(), piece.end(), out.begin() + static_cast<std::ptrdiff_t>(done * ring_channels));
        done += piece.size() / ring_channels;
    }
    read_ += taken;
    memory_.header().read.store(read_, std::memory_order_release);
    return taken;
}

void Ring::note_position(std::uint64_t played, Instant then) noexcept {
    const std::uint32_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    // Who reads what is written now reads the odd version too. Not by fences, of which ThreadSanitizer knows nothing.
    played_.store(played, std::memory_order_release);
    then_.store(then.time_since_epoch().count(), std::memory_order_release);
    version_.store(version + 2, std::memory_order_release);
}

std::pair<std::uint64_t, Instant> Ring::position() const noexcept {
    while (true) {
        const std::uint32_t before = version_.load(std::memory_order_acquire);
        const std::pair position{played_.load(std::memory_order_acquire), Instant{Duration{then_.load(std::memory_order_acquire)}}};
        if (before % 2 == 0 && version_.load(std::memory_order_relaxed) == before) return position;
    }
}

std::size_t RingWriter::space() const noexcept {
    const RingMemory::Header& header = memory_.header();
    const std::uint64_t ahead = header.written.load(std::memory_order_relaxed) - header.read.load(std::memory_order_acquire);
    return ahead > memory_.capacity() ? 0 : memory_.capacity() - static_cast<std::size_t>(ahead);
}

std::size_t RingWriter::write(std::span<const float> frames) noexcept {
    RingMemory::Header& header = memory_.header();
    const std::uint64_t written = header.written.load(std::memory_order_relaxed);
    const std::size_t taken = std::min(space(), frames.size() / ring_channels);
    for (std::size_t done = 0; done < taken;) {
        const std::span<float> piece = memory_.piece(written + done, taken - done);
        std::copy_n(frames.begin() + static_cast<std::ptrdiff_t>(done * ring_channels), piece.size(), piece.begin());
        done += piece.size() / ring_channels;
    }
    header.written.store(written + taken, std::memory_order_release);
    return taken;
}

}  // namespace plane
