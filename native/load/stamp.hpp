// When the kernel got a datagram, on our clock. The kernel stamps by the time of day, which may be set; the difference is looked
// up now and then.
#pragma once

#include <sys/socket.h>

#include <optional>

#include "clock.hpp"

namespace load {

class Stamps {
public:
    static constexpr plane::Duration refresh = plane::seconds{1};
    // A stamp that is older was made before the time of day was set.
    static constexpr plane::Duration most = plane::seconds{10};
    // For one message's control data.
    static constexpr std::size_t control_size = 64;

    // Asks for stamps (SO_TIMESTAMPNS). False: the system gives none.
    static bool ask(int socket) noexcept;
    // What recvmsg gave with the datagram, which was read at `now`; `now` when it has no stamp, or one that cannot be.
    plane::Instant arrival(const msghdr& message, plane::Instant now) noexcept;

private:
    void look(plane::Instant now) noexcept;

    plane::Duration ahead_{};  // the time of day less our clock
    std::optional<plane::Instant> looked_;
};

}  // namespace load
