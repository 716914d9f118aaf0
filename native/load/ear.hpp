// Decodes what a listener of a mix gets and tells whose tones are in it: mixing leaves nothing of a packet but its sound.
#pragma once

#include <vector>

#include "opus.hpp"

namespace load {

// Speakers who are to be known in a mix have one of so many tones, of 400 Hz, 500 Hz and so on up to 3.5 kHz.
constexpr unsigned tones = 32;
constexpr double tone_hz(unsigned tone) noexcept { return 400.0 + 100.0 * tone; }

class Ear {
public:
    static constexpr std::size_t window = 4800;   // 100 ms: tones lie 10 of its bins apart
    static constexpr double threshold_db = -35;   // of full scale; tones are sent with -20, and codecs' noise is far below

    // own: bit k is the tone k of somebody in the room.
    explicit Ear(std::uint32_t own) : own_{own}, pending_() { pending_.reserve(window); }

    struct Heard {
        unsigned windows = 0;
        unsigned own = 0;      // of them: with a tone of the room
        unsigned foreign = 0;  // of them: with another
        Heard& operator+=(const Heard& more) noexcept {
            windows += more.windows, own += more.own, foreign += more.foreign;
            return *this;
        }
    };
    // Of the windows that this packet completes.
    Heard hear(plane::Bytes payload);
    // The stream has a gap: what is pending is not continued by what comes.
    void interrupt() noexcept { pending_.clear(); }

private:
    // Bit k: tone k is in the window.
    std::uint32_t analyse() const noexcept;

    std::uint32_t own_;
    plane::opus::Decoder decoder_{1};
    std::vector<float> pending_;
};

}  // namespace load
