// The order in which a room's speakers get the listeners' slots: who speaks, then who is loud, with hysteresis, so that
// nobody is cut for a cough. Rank k of the order belongs to slot k of a listener.
#pragma once

#include <cstdint>
#include <vector>

#include "clock.hpp"

namespace plane {

class Ranking {
public:
    // How much louder a challenger must be than one who is speaking, and how long that one keeps his rank at least.
    // More keeps a quiet talker on air against a loud one; less lets two alternate by the syllable.
    static constexpr double margin_db = 6.0;
    static constexpr Duration minimum_stay = milliseconds{1000};

    struct Speaker {
        std::uint32_t csrc = 0;
        double level_dbov = -127.0;
        bool speaking = false;
        Instant ranked{};            // since when it holds its rank
    };

    // Behind all others.
    void add(std::uint32_t csrc, Instant now);
    void remove(std::uint32_t csrc);
    // What the speaker's voice is now. True when the order changed.
    bool update(std::uint32_t csrc, double level_dbov, bool speaking, Instant now);

    const std::vector<Speaker>& order() const noexcept { return order_; }

private:
    static bool outranks(const Speaker& challenger, const Speaker& holder, Instant now) noexcept;

    std::vector<Speaker> order_;
};

}  // namespace plane
