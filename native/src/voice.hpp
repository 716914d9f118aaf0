// Whether one sender speaks, and how loud: the levels of its packets, smoothed, with hysteresis.
#pragma once

#include "clock.hpp"

namespace plane {

class Voice {
public:
    // Speaking starts above, ends below for `hangover`. RFC 6464 levels of quiet speech are about -50 dBov; room noise
    // behind a browser's noise suppression lies below -60.
    static constexpr double on_dbov = -50.0;
    static constexpr double off_dbov = -56.0;
    // Longer keeps a slot through the pauses between words; shorter frees it sooner for another.
    static constexpr Duration hangover = milliseconds{600};
    // Without a packet for so long the sender counts as silent (DTX, loss, a lost connection).
    static constexpr Duration silence_after = milliseconds{200};

    // What is quieter than `silence_dbov` is not mixed; a mix goes on for `sound_hold` after it, longer than any jitter
    // buffer waits. A higher threshold saves decoding microphones that only hiss, and cuts the softest sounds.
    static constexpr Duration sound_hold = milliseconds{500};
    double silence_dbov = -64.0;

    // One packet's level, dBov, -127..0.
    void hear(double dbov, Instant now) noexcept;
    // Packets may have stopped.
    void tick(Instant now) noexcept;

    // Without the hangover: what music makes way for goes on being heard through the pauses between words, not after them.
    static constexpr Duration just_now = milliseconds{250};
    bool speaks_just_now(Instant now) const noexcept { return speaking_ && now - last_loud_ <= just_now; }

    double level_dbov() const noexcept { return level_dbov_; }
    bool speaking() const noexcept { return speaking_; }
    // Worth mixing now.
    bool sounds(Instant now) const noexcept { return now - last_sound_ <= sound_hold; }
    Duration quiet_for(Instant now) const noexcept { return now - last_sound_; }
    // A tick has something to end.
    bool active(Instant now) const noexcept { return speaking_ || sounds(now); }

private:
    void update(Instant now) noexcept;

    double level_dbov_ = -127.0;
    bool speaking_ = false;
    Instant last_loud_{};
    Instant last_packet_{};
    Instant last_sound_{};
};

}  // namespace plane
