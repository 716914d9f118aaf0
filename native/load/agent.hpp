// A full ICE agent of one component that made the offer, so that it is controlling (RFC 8445): it checks the candidates of the
// answer, nominates the first that works, and keeps consent fresh (RFC 7675). Without sockets and clock.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "clock.hpp"
#include "endpoint.hpp"
#include "random.hpp"
#include "stun.hpp"

namespace load {

struct AgentConfig {
    std::string local_ufrag, local_password;
    std::string remote_ufrag, remote_password;
    std::vector<plane::Endpoint> candidates;  // the peer's, best first
    std::uint64_t seed = 0;
};

class Agent {
public:
    // Candidates that are tried. More would let an answer make a thousand peers send a hundred checks each.
    static constexpr std::size_t max_candidates = 8;
    static constexpr plane::Duration pace = plane::milliseconds{50};         // between new checks, RFC 8445 section 14.2
    static constexpr plane::Duration first_timeout = plane::milliseconds{250};  // doubles with each repetition
    static constexpr plane::Duration give_up = plane::seconds{10};
    static constexpr plane::Duration consent_lifetime = plane::seconds{30};  // RFC 7675 section 5.1

    Agent(AgentConfig config, plane::Instant now);

    // When advance() has something to do.
    plane::Instant due() const noexcept { return due_; }

    struct Output {
        std::size_t size = 0;  // of what was written; 0: nothing to send
        plane::Endpoint to;
    };
    // One check that is due, 128 bytes are enough. To be called until it gives none.
    Output advance(plane::Instant now, plane::MutableBytes out);
    // A STUN datagram: an answer to a check, or a check of the peer's (full agents send them), which is answered.
    Output receive(plane::Instant now, const plane::Endpoint& from, plane::Bytes datagram, plane::MutableBytes out);

    // The nominated candidate, once there is one.
    const std::optional<plane::Endpoint>& selected() const noexcept { return selected_; }
    // No candidate answered in time, or consent has expired: nothing is to be sent any more.
    bool failed() const noexcept { return failed_; }

private:
    struct Check {
        plane::Endpoint to;
        plane::stun::Transaction transaction{};
        plane::Instant due{};
        plane::Duration timeout = first_timeout;
        bool sent = false;
    };
    Output send(Check& check, plane::Instant now, plane::MutableBytes out, bool nominate);
    void plan() noexcept;

    AgentConfig config_;
    Random random_;
    std::vector<Check> checks_;
    std::optional<std::size_t> nominating_;  // the check that succeeded
    std::optional<plane::Endpoint> selected_;
    plane::Instant give_up_, consent_until_{};
    plane::Instant due_;
    bool failed_ = false;
};

}  // namespace load
