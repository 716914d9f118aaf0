// Audio from a decoder in another process to a tick: stereo float frames at 48 kHz in shared memory, one writer, one reader;
// neither waits. The writer is not trusted: whatever it does to the memory, the reader stays within the ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "clock.hpp"

namespace plane {

// Frames of two samples, left and right.
constexpr std::size_t ring_channels = 2;
// 87 s. More is memory that nobody needs: sources are read a few seconds ahead.
constexpr std::size_t max_ring_frames = std::size_t{1} << 22;

// Memory that both processes have: a header, then the frames.
class RingMemory {
public:
    struct Header {
        std::uint64_t capacity;                          // frames, a power of two
        alignas(64) std::atomic<std::uint64_t> written;  // frames, since the beginning
        std::atomic<std::uint32_t> finished;             // nothing more will be written
        alignas(64) std::atomic<std::uint64_t> read;
    };
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

    // std::system_error when the memory cannot be had, std::invalid_argument when it is not a ring.
    static RingMemory create(std::size_t frames);
    static RingMemory open(int fd);
    RingMemory(RingMemory&& other) noexcept;
    RingMemory& operator=(RingMemory&&) = delete;
    ~RingMemory();

    int fd() const noexcept { return fd_; }
    Header& header() const noexcept { return *static_cast<Header*>(memory_); }
    std::size_t capacity() const noexcept { return capacity_; }
    // At most `wanted` frames from number `from` on that lie in one piece.
    std::span<float> piece(std::uint64_t from, std::size_t wanted) const noexcept;

private:
    RingMemory(int fd, void* memory, std::size_t size, std::size_t capacity) noexcept
        : fd_{fd}, memory_{memory}, size_{size}, capacity_{capacity} {}

    int fd_;
    void* memory_;
    std::size_t size_;
    std::size_t capacity_;
};

// The reader's end, which made it. The worker reads; the control thread looks.
class Ring {
public:
    // frames: rounded up to a power of two.
    explicit Ring(std::size_t frames) : memory_{RingMemory::create(frames)} {}

    // For the other process; its memory cannot be made shorter.
    int fd() const noexcept { return memory_.fd(); }

    // Frames that can be read, and whether there will be more.
    std::size_t buffered() const noexcept;
    bool finished() const noexcept { return memory_.header().finished.load(std::memory_order_acquire) != 0; }

    // Reader: takes as many frames as `out` has room for and are there; how many.
    std::size_t read(std::span<float> out) noexcept;

    // Reader: `played` frames were in the mixes before this time.
    void note_position(std::uint64_t played, Instant then) noexcept;
    std::pair<std::uint64_t, Instant> position() const noexcept;

private:
    RingMemory memory_;
    std::uint64_t read_ = 0;
    // A sequence lock (odd: it is being written), so that both belong together.
    std::atomic<std::uint32_t> version_{0};
    std::atomic<std::uint64_t> played_{0};
    std::atomic<Instant::rep> then_{0};
};

// The writer's end, in the decoder's process.
class RingWriter {
public:
    explicit RingWriter(int fd) : memory_{RingMemory::open(fd)} {}

    std::size_t space() const noexcept;
    // Interleaved frames; how many were taken.
    std::size_t write(std::span<const float> frames) noexcept;
    void finish() noexcept { memory_.header().finished.store(1, std::memory_order_release); }

private:
    RingMemory memory_;
};

}  // namespace plane
