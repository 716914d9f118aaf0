// What fills a column of the mix: a speaker's playout, a music player, an effect.
#pragma once

#include <span>

#include "clock.hpp"
#include "stats.hpp"

namespace plane {

class Playout;

class Sound {
public:
    virtual ~Sound() = default;

    // Fills interleaved samples of one tick's frame. False: silence.
    virtual bool pull(Instant now, std::span<float> out) noexcept = 0;
    // Nobody hears this tick.
    virtual void pass(Instant now) noexcept = 0;
    // It is heard from this tick on, and was not before. True: it begins by itself, so is not to be faded in.
    virtual bool begin() noexcept = 0;
    // It, if it is a speaker's: his packets may be sent as they are.
    virtual Playout* playout() noexcept { return nullptr; }
    // What was done since the last call, into the worker's statistics.
    virtual void count(WorkerStats& stats) noexcept = 0;
};

}  // namespace plane
