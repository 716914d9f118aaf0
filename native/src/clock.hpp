// Time is an argument everywhere; only worker.cpp reads a clock.
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
