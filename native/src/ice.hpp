// ICE-lite for one peer (RFC 8445): credentials, the addresses that have proved they know them, the nominated one,
// consent (RFC 7675), and how much may be sent to an address before its owner has answered.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "clock.hpp"
#include "endpoint.hpp"
#include "stun.hpp"

namespace plane {

// RFC 7675 section 5.1. Longer leaves a vanished user in his seat; shorter drops users in a tunnel.
constexpr Duration consent_lifetime = seconds{30};
// Browsers check every 2.5 to 5 s. Lower would call one lost request a bad network; higher tells of it later.
constexpr Duration consent_late_after = seconds{7};
// After an RTCP BYE: browsers check consent every 2.5 to 5 s, so who still does has only stopped a stream.
constexpr Duration consent_after_goodbye = seconds{8};
// RFC 8445 and RFC 9000 section 8.1 use the same bound: less would stall handshakes, more would amplify.
constexpr std::uint64_t amplification_limit = 3;

struct IceCredentials {
    std::string ufrag;
    std::string password;
};

// An address from which the peer sent an authenticated request. socket: what of ours it reached, the index of a UDP
// socket or the number of a TCP connection.
struct Path {
    Endpoint remote;
    std::uint16_t socket = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t bytes_sent = 0;
    Instant last_request{};
};

class IceLite {
public:
    // Wi-Fi, mobile and a VPN, each IPv4 and IPv6, and two to spare. The one unused for longest makes room.
    static constexpr std::size_t max_paths = 8;

    IceLite(IceCredentials credentials, Instant now) : last_request_{now}, consent_until_{now + consent_lifetime}, current_{std::move(credentials)} {}

    struct Outcome {
        std::string_view password;         // authenticates the answer; empty: the request is not authentic
        Path* path = nullptr;
        bool selected_changed = false;
        std::string retired_ufrag;         // of the credentials that this request, the first after a restart, ended
        std::optional<Path> evicted;       // this address no longer belongs to the peer
    };

    // An authenticated request makes or renews its path, and consent; one that nominates selects the path.
    Outcome request(Instant now, const Endpoint& from, std::uint16_t socket, Bytes datagram, const stun::Request&);

    // New credentials. The old stay good until the first request with the new: audio goes on over the old path.
    // Returns the ufrag of an earlier restart that was never used, "" when there is none.
    std::string restart(IceCredentials credentials);

    const IceCredentials& current() const noexcept { return current_; }
    const std::optional<IceCredentials>& previous() const noexcept { return previous_; }

    Path* find(const Endpoint& remote) noexcept;
    // The path is no more, as when its connection was closed. Until another is nominated, the one that asked last serves.
    void forget(const Endpoint& remote) noexcept;
    // Where to send: the nominated path, before that the one that asked last; null when there is none.
    Path* selected() noexcept;
    bool nominated() const noexcept { return selected_ >= 0; }

    // Counts `bytes` against the path's allowance and says whether they may go. Free once the handshake is complete.
    bool allow(Path& path, std::size_t bytes) noexcept;
    // The handshake was answered from this peer's address: return routability is proved (RFC 8827 section 5.3).
    void prove() noexcept { proved_ = true; }

    bool consent_expired(Instant now) const noexcept { return now > consent_until_; }
    // Since the last authenticated request, over whichever path.
    bool consent_late(Instant now) const noexcept { return now - last_request_ >= consent_late_after; }
    // When these two will be so, if no request comes.
    Instant consent_late_at() const noexcept { return last_request_ + consent_late_after; }
    Instant consent_until() const noexcept { return consent_until_; }
    void goodbye(Instant now) noexcept { consent_until_ = std::min(consent_until_, now + consent_after_goodbye); }
    std::span<const Path> paths() const noexcept { return {paths_.data(), path_count_}; }

private:
    Path& admit(const Endpoint& from, std::uint16_t socket, Outcome& outcome);

    // What each packet needs lies at the front.
    int selected_ = -1;
    bool proved_ = false;
    std::size_t path_count_ = 0;
    std::array<Path, max_paths> paths_;
    Instant last_request_;
    Instant consent_until_;
    IceCredentials current_;
    std::optional<IceCredentials> previous_;
};

}  // namespace plane
