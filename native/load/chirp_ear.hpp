// Decodes what a listener of a mix gets and says how long ago the chirps in it were spoken: mouth to ear.
//
// A sample is heard when its packet is there, and as much later as it stands behind the packet's first: without a playout buffer,
// which would hide how late packets are.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "board.hpp"
#include "chirp.hpp"
#include "latencies.hpp"
#include "opus.hpp"

namespace load {

// How long ago chirps were spoken that are heard.
struct MouthToEar {
    // Of which each is kept; the others count in `delays` alone.
    static constexpr std::size_t max_kept = 1 << 16;
    Latencies delays;
    std::vector<std::uint32_t> kept_us;
    void record(plane::Duration since) {
        delays.record(since);
        if (kept_us.size() < max_kept) kept_us.push_back(static_cast<std::uint32_t>(since / plane::microseconds{1}));
    }
};

class ChirpEar {
public:
    // board: what the speakers of the room said.
    explicit ChirpEar(std::shared_ptr<const Board> board) : board_{std::move(board)} {}

    // A packet came at `arrival`. Adds the delays of the chirps that are complete by now.
    void hear(plane::Instant arrival, plane::Bytes payload, MouthToEar& delays);
    void interrupt() { finder_.interrupt(); }
    // Chirps that nobody of the room said within the last Board::longest.
    std::uint64_t unexplained() const noexcept { return unexplained_; }

private:
    struct Played {
        std::uint64_t begin = 0, end = 0;  // samples
        plane::Instant at{};               // of the first
    };

    std::shared_ptr<const Board> board_;
    plane::opus::Decoder decoder_{1};
    ChirpFinder finder_;
    std::uint64_t samples_ = 0;
    std::array<Played, 64> played_{};  // a ring: more than a chirp's length and what the finder waits for
    std::size_t next_ = 0;
    std::vector<ChirpFinder::Found> found_;
    std::uint64_t unexplained_ = 0;
};

}  // namespace load
