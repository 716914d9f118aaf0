#include "chirp_ear.hpp"

#include <algorithm>

namespace load {

using namespace plane;

void ChirpEar::hear(Instant arrival, Bytes payload, MouthToEar& delays) {
    std::array<float, opus::max_samples> samples;
    const std::size_t count = decoder_.decode(payload, samples);
    played_[next_++ % played_.size()] = {samples_, samples_ + count, arrival};
    samples_ += count;
    found_.clear();
    finder_.add(std::span{samples}.first(count), found_);
    for (const ChirpFinder::Found& chirp : found_) {
        const auto in = std::find_if(played_.begin(), played_.end(),
                                     [&](const Played& each) { return each.begin <= chirp.middle && chirp.middle < each.end; });
        if (in == played_.end()) continue;
        const auto behind = static_cast<std::int64_t>(chirp.middle - in->begin);
        const auto since = board_->since_said(chirp.kind, in->at + nanoseconds{behind * 1'000'000 / 48});
        if (since) {
            delays.record(*since);
        } else {
            ++unexplained_;
        }
    }
}

}  // namespace load
