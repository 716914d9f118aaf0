// The only file with sockets: datagrams in and out in batches.
#pragma once

#include <sys/uio.h>

#include <array>
#include <memory>

#include "endpoint.hpp"
#include "packet.hpp"
#include "stats.hpp"

namespace plane {

// Datagrams per system call. More saves little (the call costs 0.1 µs per datagram at 64) and delays the first.
constexpr std::size_t receive_batch = 64;
constexpr std::size_t send_batch = 64;
// Grows fourfold with each batch of a pass: two system calls more for a fan-out to thousands.
constexpr std::size_t first_batch = 4;

struct Received {
    PacketRef packet;   // bytes[0, size) filled, arrival set by the caller
    Endpoint from;
};

class UdpSocket {
public:
    // Binds, or throws std::system_error naming the address. Port 0 lets the kernel choose.
    explicit UdpSocket(const Endpoint& bind);
    ~UdpSocket();
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;

    int fd() const noexcept { return fd_; }
    const Endpoint& bound() const noexcept { return bound_; }

    // Up to receive_batch datagrams; those longer than max_datagram are left out. Returns how many of `into` are filled.
    // Every PacketRef in `into` must be set and unshared.
    std::size_t receive(std::array<Received, receive_batch>& into) noexcept;

    // Space for one outgoing datagram of at most max_datagram bytes; flushes first when the batch is full. The first batches of a
    // pass are small: who is served first waits for a few to be sealed, not for 64.
    MutableBytes reserve(WorkerStats& stats) noexcept;
    // Queues what was written to the reserved space. since: when that began which ends with its sending, for the histogram; null for
    // what is our own.
    void commit(std::size_t size, const Endpoint& to, Instant since = {}, Histogram* histogram = nullptr) noexcept;
    void flush(WorkerStats& stats) noexcept;
    // The last of a pass.
    void finish(WorkerStats& stats) noexcept {
        flush(stats);
        batch_ = first_batch;
    }
    bool has_unsent() const noexcept { return count_ != 0; }

private:
    struct Outgoing {
        Endpoint to;
        iovec data;
        Instant since;
        Histogram* histogram;
    };

    int fd_ = -1;
    Endpoint bound_;
    // Datagrams lie one behind the other, so that a batch of small ones stays in the first-level cache.
    std::unique_ptr<std::uint8_t[]> arena_;
    std::size_t arena_used_ = 0;
    std::array<Outgoing, send_batch> outgoing_;
    std::size_t count_ = 0;
    std::size_t batch_ = first_batch;
};

}  // namespace plane
