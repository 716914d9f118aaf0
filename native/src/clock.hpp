// Time is an argument everywhere; only the two edges read a clock: worker.cpp, and udp.cpp after a send.
#pragma once

#include <chrono>

namespace plane {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = Clock::duration;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

}  // namespace plane
