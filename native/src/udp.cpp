#include "udp.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace plane {

namespace {

// Room for the bursts of a 20 ms tick: 4 MiB are 15,000 mix packets. Smaller drops them, larger hides overload.
constexpr int socket_buffer = 4 << 20;

void set_option(int fd, int level, int name, int value) noexcept { setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

UdpSocket::UdpSocket(const Endpoint& bind_to)
    : fd_{socket(bind_to.is_ipv6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)},
      arena_{std::make_unique<std::uint8_t[]>(send_batch * max_datagram)} {
    const auto fail = [&] {
        const int error = errno;
        if (fd_ >= 0) close(fd_);
        throw std::system_error(error, std::generic_category(),
                                "cannot bind UDP " + bind_to.address_text() + " port " + std::to_string(bind_to.port()));
    };
    if (fd_ < 0) fail();
    if (bind_to.is_ipv6()) set_option(fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // The FORCE variants pass rmem_max for root; the plain ones get what the system permits.
    set_option(fd_, SOL_SOCKET, SO_RCVBUF, socket_buffer);
    set_option(fd_, SOL_SOCKET, SO_SNDBUF, socket_buffer);
    set_option(fd_, SOL_SOCKET, SO_RCVBUFFORCE, socket_buffer);
    set_option(fd_, SOL_SOCKET, SO_SNDBUFFORCE, socket_buffer);
    // DSCP EF, as RFC 8837 asks for interactive audio.
    if (bind_to.is_ipv6()) {
        set_option(fd_, IPPROTO_IPV6, IPV6_TCLASS, 46 << 2);
    } else {
        set_option(fd_, IPPROTO_IP, IP_TOS, 46 << 2);
    }
    if (bind(fd_, bind_to.raw(), bind_to.raw_size()) != 0) fail();
    socklen_t size = Endpoint::capacity;
    if (getsockname(fd_, bound_.raw(), &size) != 0) fail();
}

UdpSocket::~UdpSocket() { close(fd_); }

std::size_t UdpSocket::receive(std::array<Received, receive_batch>& into) noexcept {
    std::array<mmsghdr, receive_batch> messages;
    std::array<iovec, receive_batch> vectors;
    for (std::size_t i = 0; i < receive_batch; ++i) {
        vectors[i] = {into[i].packet->bytes.data(), max_datagram};
        messages[i] = {};
        messages[i].msg_hdr.msg_name = into[i].from.raw();
        messages[i].msg_hdr.msg_namelen = Endpoint::capacity;
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int received = recvmmsg(fd_, messages.data(), receive_batch, 0, nullptr);
    if (received <= 0) return 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
        const bool cut = messages[i].msg_hdr.msg_flags & MSG_TRUNC;
        into[i].packet->size = cut ? 0 : static_cast<std::uint16_t>(messages[i].msg_len);
    }
    return static_cast<std::size_t>(received);
}

MutableBytes UdpSocket::reserve(WorkerStats& stats) noexcept {
    if (count_ == batch_) {
        flush(stats);
        batch_ = std::min(send_batch, 4 * batch_);
    }
    return {arena_.get() + arena_used_, max_datagram};
}

void UdpSocket::commit(std::size_t size, const Endpoint& to, Instant since, Histogram* histogram) noexcept {
    outgoing_[count_++] = {to, {arena_.get() + arena_used_, size}, since, histogram};
    arena_used_ += size;
}

void UdpSocket::flush(WorkerStats& stats) noexcept {
    if (count_ == 0) return;
    std::array<mmsghdr, send_batch> messages;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        messages[i].msg_hdr = {};
        messages[i].msg_hdr.msg_name = outgoing_[i].to.raw();
        messages[i].msg_hdr.msg_namelen = outgoing_[i].to.raw_size();
        messages[i].msg_hdr.msg_iov = &outgoing_[i].data;
        messages[i].msg_hdr.msg_iovlen = 1;
        bytes += outgoing_[i].data.iov_len;
    }
    std::size_t done = 0;
    std::size_t dropped = 0;
    while (done < count_) {
        const int sent = sendmmsg(fd_, messages.data() + done, static_cast<unsigned>(count_ - done), 0);
        if (sent > 0) {
            done += static_cast<std::size_t>(sent);
        } else if (errno != EINTR) {
            // The first unsent datagram is refused (full buffer, no route): audio that waits is worth nothing, so it
            // is dropped, and the rest gets its chance.
            bytes -= outgoing_[done].data.iov_len;
            ++done;
            ++dropped;
        }
    }
    stats.datagrams_sent.add(count_ - dropped);
    stats.bytes_sent.add(bytes);
    stats.dropped_send.add(dropped);
    // One look at the clock serves the batch; runs of one packet are counted at once.
    const Instant now = Clock::now();
    for (std::size_t i = 0; i < count_;) {
        std::size_t end = i + 1;
        const Outgoing& first = outgoing_[i];
        while (end < count_ && outgoing_[end].since == first.since && outgoing_[end].histogram == first.histogram) ++end;
        if (first.histogram) first.histogram->record(now - first.since, end - i);
        i = end;
    }
    count_ = 0;
    arena_used_ = 0;
}

}  // namespace plane
