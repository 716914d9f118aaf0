// A sound whose place is found to a fraction of a millisecond in what an ear decodes: a tone that glides, whose correlation with
// itself is one narrow peak. Coding, limiting and another voice leave it where it is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "opus.hpp"

namespace load {

constexpr unsigned chirp_kinds = 2;              // upwards and downwards: they do not resemble each other
constexpr std::size_t chirp_samples = 1920;      // 40 ms: longer is found in more noise, shorter blurs less where time is scaled
constexpr std::size_t chirp_middle = chirp_samples / 2;

// Of full scale, 500 Hz to 3 kHz or back, faded in and out; made once.
const std::vector<float>& chirp(unsigned kind);

// Finds chirps in a stream of samples at 48 kHz.
class ChirpFinder {
public:
    // How alike it must be, -1..1. Coded at 24 kbit/s and mixed with speech-like noise 30 dB below it is 0.9 and more.
    static constexpr float least = 0.6F;
    // Quieter than that, a block is not looked at: -34 dBFS. Looking costs 0.3 ms.
    static constexpr float loud = 0.02F;

    struct Found {
        unsigned kind = 0;
        std::uint64_t middle = 0;  // its sample, counted from the first that ever came
    };
    // Appends what was found in all samples so far; each chirp once, some 100 ms after it has ended.
    void add(std::span<const float> samples, std::vector<Found>& found);
    // What comes does not go on where the last ended.
    void interrupt();

private:
    static constexpr std::size_t block = 4800, overlap = 64;
    void search(std::vector<Found>& found);
    float likeness(unsigned kind, std::size_t begin) const noexcept;

    std::vector<float> pending_;
    std::uint64_t begin_ = 0;                              // of pending_
    std::optional<std::uint64_t> last_[chirp_kinds];       // the last that was found
};

}  // namespace load
