#include "stamp.hpp"

#include <time.h>

#include <cstring>

namespace load {

using namespace plane;

namespace {

Duration time_of_day() noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return seconds{now.tv_sec} + nanoseconds{now.tv_nsec};
}

}  // namespace

bool Stamps::ask(int socket) noexcept {
    const int on = 1;
    return setsockopt(socket, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0;
}

Instant Stamps::arrival(const msghdr& message, Instant now) noexcept {
    if (!looked_ || now - *looked_ > refresh) look(now);
    msghdr copy = message;
    for (cmsghdr* each = CMSG_FIRSTHDR(&copy); each; each = CMSG_NXTHDR(&copy, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SO_TIMESTAMPNS) continue;
        timespec stamp{};
        std::memcpy(&stamp, CMSG_DATA(each), sizeof stamp);
        const Instant arrival{seconds{stamp.tv_sec} + nanoseconds{stamp.tv_nsec} - ahead_};
        if (arrival <= now && now - arrival <= most) return arrival;
        looked_.reset();  // the time of day may have been set
    }
    return now;
}

void Stamps::look(Instant now) noexcept {
    looked_ = now;
    // Between the two looks the thread may be held up: the shortest of a few is right to the microsecond.
    Duration best = Duration::max();
    for (int i = 0; i < 5; ++i) {
        const Instant before = Clock::now();
        const Duration day = time_of_day();
        const Instant after = Clock::now();
        if (after - before >= best) continue;
        best = after - before;
        ahead_ = day - (before + best / 2).time_since_epoch();
    }
}

}  // namespace load
