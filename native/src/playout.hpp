// From a speaker's packets to samples in step with the tick: jitter buffer, decoder, and what is left of the last packet.
//
// The delay is held where the jitter buffer wants it by playing faster or slower, in whole periods of pitch. How far it
// is from there, with a tick of T samples, packets of P, g = gcd(T, P), and r samples decoded ahead of the tick's frame:
// the slack of the packet that comes nearest to being missed is that of the next sample after the frame, and g - r mod g
// more. So r mod g samples can be taken out and no packet is needed sooner; with more, the nearest is needed g sooner.
#pragma once

#include <vector>

#include "jitter.hpp"
#include "opus.hpp"
#include "repeats.hpp"
#include "sound.hpp"
#include "timescale.hpp"

namespace plane {

class Playout final : public Sound {
public:
    explicit Playout(unsigned channels);

    // Anything that is not an Opus packet is passed over.
    void insert(const Position& position, Bytes payload) noexcept;

    // What a publisher's packet has: its frame, and copies of those before it.
    void take(const Packet& packet) noexcept;
    void set_answers(std::optional<Answers> answers) noexcept { buffer_.set_answers(answers); }

    // Fills interleaved samples: a tick's frame, up to 60 ms. False: silence, nothing was decoded.
    bool pull(Instant now, std::span<float> out) noexcept override;
    void pass(Instant now) noexcept override;
    // What is left of when he was heard last is not heard.
    bool begin() noexcept override;
    // He was muted: nothing that came before is heard, and how late his packets were is forgotten.
    void begin_anew() noexcept { buffer_.clear(); }

    const JitterBuffer& buffer() const noexcept { return buffer_; }
    // From the ideal arrival of the next sample to be heard, what is decoded already included.
    Duration delay(Instant now) const noexcept;

    // Samples that were taken out to play faster, and put in to play slower.
    std::uint64_t samples_taken() const noexcept { return taken_; }
    std::uint64_t samples_put_in() const noexcept { return put_in_; }

    // How the speaker fares, and what was done to his audio, into his statistics.
    void publish(PeerStats& stats, Instant now) const noexcept;
    // What was done since the last call, into those of the worker.
    void count(WorkerStats& stats) noexcept override;

private:
    void run(const JitterBuffer::Step& step) noexcept;
    std::int64_t excess(Instant now, std::size_t wanted) const noexcept;
    void adapt(Instant now, std::size_t wanted) noexcept;
    void play_faster(Instant now, std::size_t wanted, std::size_t by) noexcept;
    void play_slower(std::size_t by) noexcept;
    bool alike_enough(const timescale::Match& match, std::size_t by) const noexcept;
    std::span<float> samples(std::size_t from, std::size_t count) noexcept {
        return std::span{fifo_}.subspan(from * channels_, count * channels_);
    }

    unsigned channels_;
    JitterBuffer buffer_;
    opus::Decoder decoder_;
    std::vector<float> fifo_;      // the last that was heard (timescale::max_lag), then what is decoded and not heard yet
    std::size_t fifo_size_ = 0;    // of the latter, samples per channel
    bool sounding_ = false;        // the decoder's last output was not silence
    bool made_up_ = false;         // something was, in this pull
    std::uint64_t pulled_ = 0, counted_pulled_ = 0;  // frames that were not silence
    std::uint64_t taken_ = 0, put_in_ = 0;
    JitterBuffer::Counters counted_;
    std::uint64_t counted_taken_ = 0, counted_put_in_ = 0;
    std::size_t rest_ = 0;         // samples until it may change its pace again
    std::size_t waited_ = 0;       // for how many it has wanted to
};

}  // namespace plane
