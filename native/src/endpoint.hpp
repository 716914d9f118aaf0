// A transport address: IPv4 or IPv6, a port, and UDP or TCP, which number their ports apart. Ready for the kernel and for a hash table.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "bytes.hpp"

namespace plane {

class Endpoint {
public:
    Endpoint() noexcept { std::memset(&storage_, 0, sizeof storage_); }

    // From a numeric address ("127.0.0.1", "::1"); nothing when it is not one.
    static std::optional<Endpoint> from_text(const std::string& address, std::uint16_t port);

    bool valid() const noexcept { return storage_.any.sa_family != AF_UNSPEC; }
    bool is_tcp() const noexcept { return tcp_; }
    // The same address and port of TCP.
    Endpoint over_tcp() const noexcept {
        Endpoint result = *this;
        result.tcp_ = true;
        return result;
    }
    bool is_ipv6() const noexcept { return storage_.any.sa_family == AF_INET6; }
    std::uint16_t port() const noexcept { return ntohs(storage_.v4.sin_port); }
    // The address alone, in network order: 4 or 16 bytes.
    Bytes address() const noexcept;
    std::string address_text() const;
    // With the port, as in a URL: "127.0.0.1:50000", "[::1]:50000".
    std::string text() const;

    const sockaddr* raw() const noexcept { return &storage_.any; }
    sockaddr* raw() noexcept { return &storage_.any; }
    socklen_t raw_size() const noexcept { return is_ipv6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
    static constexpr socklen_t capacity = sizeof(sockaddr_in6);

    bool operator==(const Endpoint& other) const noexcept;
    std::size_t hash() const noexcept;

private:
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
    } storage_;
    bool tcp_ = false;
};

struct EndpointHash {
    std::size_t operator()(const Endpoint& endpoint) const noexcept { return endpoint.hash(); }
};

}  // namespace plane
