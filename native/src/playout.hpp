// From a speaker's packets to samples in step with the tick: jitter buffer, decoder, and what is left of the last packet.
#pragma once

#include <vector>

#include "jitter.hpp"
#include "opus.hpp"

namespace plane {

class Playout {
public:
    explicit Playout(unsigned channels) : channels_{channels}, decoder_{channels}, fifo_(2 * opus::max_samples * channels) {}

    // Anything that is not an Opus packet is passed over.
    void insert(const Position& position, Bytes payload) noexcept;

    // Fills interleaved samples. False: silence, nothing was decoded.
    bool pull(Instant now, std::span<float> out) noexcept;
    // Nobody hears it now.
    void pass(Instant now) noexcept;
    // He is heard again: what is left of when he was heard last is not.
    void flush() noexcept;

    const JitterBuffer& buffer() const noexcept { return buffer_; }
    // From the ideal arrival of the next sample to be heard, what is decoded already included.
    Duration delay(Instant now) const noexcept;

private:
    void run(const JitterBuffer::Step& step) noexcept;

    unsigned channels_;
    JitterBuffer buffer_;
    opus::Decoder decoder_;
    std::vector<float> fifo_;      // decoded, not heard yet
    std::size_t fifo_size_ = 0;    // samples per channel
    bool sounding_ = false;        // the decoder's last output was not silence
};

}  // namespace plane
