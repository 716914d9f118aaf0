#include "endpoint.hpp"

#include <arpa/inet.h>

#include <array>

namespace plane {

std::optional<Endpoint> Endpoint::from_text(const std::string& address, std::uint16_t port) {
    Endpoint result;
    if (inet_pton(AF_INET, address.c_str(), &result.storage_.v4.sin_addr) == 1) {
        result.storage_.v4.sin_family = AF_INET;
        result.storage_.v4.sin_port = htons(port);
        return result;
    }
    if (inet_pton(AF_INET6, address.c_str(), &result.storage_.v6.sin6_addr) == 1) {
        result.storage_.v6.sin6_family = AF_INET6;
        result.storage_.v6.sin6_port = htons(port);
        return result;
    }
    return std::nullopt;
}

Bytes Endpoint::address() const noexcept {
    if (is_ipv6()) return {reinterpret_cast<const std::uint8_t*>(&storage_.v6.sin6_addr), 16};
    return {reinterpret_cast<const std::uint8_t*>(&storage_.v4.sin_addr), 4};
}

std::string Endpoint::address_text() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(storage_.any.sa_family, address().data(), text.data(), text.size());
    return text.data();
}

std::string Endpoint::text() const {
    std::string result = address_text();
    if (is_ipv6()) {
        result.insert(result.begin(), '[');
        result.push_back(']');
    }
    return result.append(1, ':').append(std::to_string(port()));
}

bool Endpoint::operator==(const Endpoint& other) const noexcept {
    if (storage_.any.sa_family != other.storage_.any.sa_family || port() != other.port() || tcp_ != other.tcp_) return false;
    return std::memcmp(address().data(), other.address().data(), address().size()) == 0;
}

std::size_t Endpoint::hash() const noexcept {
    // FNV-1a over address and port. Addresses enter the table only after an authenticated STUN request,
    // so a stranger cannot pick colliding ones.
    std::uint64_t h = 14695981039346656037U;
    for (std::uint8_t byte : address()) h = (h ^ byte) * 1099511628211U;
    return (h ^ port() ^ (tcp_ ? 0x10000U : 0U)) * 1099511628211U;
}

}  // namespace plane
