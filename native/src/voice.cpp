#include "voice.hpp"

namespace plane {

namespace {
// Per packet: the level falls by half in about 0.3 s, and rises at once, so that a first syllable is not cut.
constexpr double release = 0.05;
}  // namespace

void Voice::hear(double dbov, Instant now) noexcept {
    level_dbov_ += (dbov > level_dbov_ ? 1.0 : release) * (dbov - level_dbov_);
    last_packet_ = now;
    if (dbov >= silence_dbov) last_sound_ = now;
    update(now);
}

void Voice::tick(Instant now) noexcept {
    if (now - last_packet_ > silence_after) level_dbov_ = -127.0;
    update(now);
}

void Voice::update(Instant now) noexcept {
    if (level_dbov_ >= (speaking_ ? off_dbov : on_dbov)) {
        speaking_ = true;
        last_loud_ = now;
    } else if (now - last_loud_ > hangover) {
        speaking_ = false;
    }
}

}  // namespace plane
