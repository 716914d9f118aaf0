// What is wrong with how a publisher's sound is taken: his microphone gives nothing, or too much.
#pragma once

#include <cstdint>
#include <span>

#include "clock.hpp"

namespace plane {

class Capture {
public:
    // Below the last bit of 16-bit audio. A microphone in the quietest room hisses above it, even behind a browser's noise
    // suppression; one that is switched off, or the wrong one, does not. Higher warns who just listens.
    static constexpr double silent_dbov = -96.0;
    // For so long, while packets come at least every `longest_gap` (in DTX they come every 400 ms).
    static constexpr Duration silent_after = seconds{10};
    static constexpr Duration longest_gap = seconds{2};

    // So many packets with samples at full scale, none further than `clipping_window` from the last, are clipping; without
    // one for `clipping_hold` it is over. Fewer would warn of a single shout, and a shorter hold at each of them.
    static constexpr unsigned clipping_packets = 5;
    static constexpr Duration clipping_window = seconds{1};
    static constexpr Duration clipping_hold = seconds{5};
    // Coding moves what was cut at full scale by some hundredths; a peak that only touches it has fewer samples there.
    static constexpr float full_scale = 0.98F;
    static constexpr unsigned full_scale_samples = 8;

    // Whether a packet's samples were cut.
    static bool is_clipped(std::span<const float> samples) noexcept;

    // The level of a packet that others may hear, dBov.
    void hear(double dbov, Instant now) noexcept;
    // They may not: he is muted, and silence is what is expected.
    void mute() noexcept { silent_ = counting_ = false; }
    // So many packets were found clipped.
    void clip(std::uint64_t packets, Instant now) noexcept;
    void tick(Instant now) noexcept;

    bool silent() const noexcept { return silent_; }
    bool clipping() const noexcept { return clipping_; }

private:
    bool silent_ = false, counting_ = false, clipping_ = false;
    Instant silent_since_{}, last_packet_{}, last_clipped_{};
    std::uint64_t clipped_ = 0;
};

}  // namespace plane
