// STUN for an ICE-lite agent: binding requests in, binding responses out (RFC 8489, RFC 8445 section 7.3). For the full agents
// of the load generator also the other way round.
//
// Nothing here allocates or throws; a datagram that is not a well-formed binding request parses to nothing.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "bytes.hpp"
#include "endpoint.hpp"

namespace plane::stun {

using Transaction = std::array<std::uint8_t, 12>;

// A binding request. Views point into the datagram.
struct Request {
    Transaction transaction{};
    std::string_view username;        // "ours:theirs", RFC 8445 section 7.2.2
    std::string_view local_ufrag;     // the part of the username before the colon: ours
    bool use_candidate = false;       // RFC 8445 section 7.1.2: nominates this pair
    bool controlled = false;          // carries ICE-CONTROLLED: a role conflict, since a lite agent is controlled
    std::uint32_t priority = 0;
    std::size_t integrity_offset = 0; // where the MESSAGE-INTEGRITY attribute starts; 0 when there is none
    std::uint16_t unknown_attribute = 0;  // first unknown comprehension-required attribute; 0 when there is none
};

enum class Error : std::uint16_t { bad_request = 400, unauthorized = 401, unknown_attribute = 420, role_conflict = 487 };

// A well-formed binding request with a correct FINGERPRINT and a USERNAME, or nothing.
// Attributes behind MESSAGE-INTEGRITY other than FINGERPRINT are ignored (RFC 8489 section 14.5).
std::optional<Request> parse_request(Bytes datagram) noexcept;

// Whether MESSAGE-INTEGRITY was made with `password` (constant-time comparison).
bool authentic(Bytes datagram, const Request& request, std::string_view password) noexcept;

// Both write MESSAGE-INTEGRITY (when password is not empty) and FINGERPRINT, return the size, 0 when `out` is
// too small. 128 bytes are always enough.
std::size_t write_success(MutableBytes out, const Transaction&, const Endpoint& mapped, std::string_view password) noexcept;
std::size_t write_error(MutableBytes out, const Request&, Error, std::string_view password) noexcept;

// A binding request as a full agent sends it: for the load generator, benchmarks and tests.
std::size_t write_request(MutableBytes out, const Transaction&, std::string_view username, std::string_view password,
                          std::uint32_t priority, bool use_candidate, std::uint64_t tie_breaker) noexcept;

// What answers such a request.
struct Response {
    Transaction transaction{};
    bool success = false;
    std::uint16_t error = 0;           // of a refusal: 487, RFC 8445 section 7.2.5.1; 0 when it does not say
    std::size_t integrity_offset = 0;  // as in Request
};

// A well-formed binding response with a correct FINGERPRINT, or nothing.
std::optional<Response> parse_response(Bytes datagram) noexcept;
bool authentic(Bytes datagram, const Response& response, std::string_view password) noexcept;

}  // namespace plane::stun
