// From a speaker's packets to samples in step with the tick: jitter buffer, decoder, and what is left of the last packet.
//
// The delay is held where the jitter buffer wants it by playing faster or slower, in whole periods of pitch. How far it
// is from there, with a tick of T samples, packets of P, g = gcd(T, P), and r samples decoded ahead of the tick's frame:
// the slack of the packet that comes nearest to being missed is that of the next sample after the frame, and g - r mod g
// more. So r mod g samples can be taken out and no packet is needed sooner; with more, the nearest is needed g sooner.
//
// While nobody needs the samples, packets are passed over undecoded, and decoded later if they are needed after all, from so far
// back that the decoder has settled.
#pragma once

#include <vector>

#include "jitter.hpp"
#include "opus.hpp"
#include "passthrough.hpp"
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

    // Packets are to begin this many samples before a tick's (and whole packets further): where a talk spurt begins it is made so,
    // and when alignment is asked for, where it is quiet. It costs up to a packet's length of delay.
    void align(std::size_t lag) noexcept { lag_ = lag; }

    enum class Need : std::uint8_t {
        nothing,    // not even samples: packets need not be decoded
        samples,
        alignment,  // and they should come to begin where align() says
    };
    // Fills interleaved samples: a tick's frame, up to 60 ms. False: silence, nothing was decoded. Without need it leaves `out` as it
    // was, if decoded() says so afterwards.
    bool pull(Instant now, std::span<float> out, Need need) noexcept;
    bool decoded() const noexcept { return !undecoded_; }
    // The last frame's samples, after all.
    void decode_last(std::span<float> out) noexcept;
    // It is since the last pull.
    bool woke() const noexcept { return woke_; }
    // The packets that stand for a frame of so many samples, at the lag of align(): the next that will be pulled, as far as they have
    // come; the last that was.
    std::optional<OwnPackets::Own> own_of_next(std::size_t samples) const noexcept { return own(position_, samples, true); }
    std::optional<OwnPackets::Own> own_of_last(std::size_t samples) const noexcept { return own(pulled_from_, samples, false); }
    // Samples before the last tick's frame, up to context_frames such frames, oldest first; valid when it woke then.
    static constexpr std::size_t context_frames = 4;
    std::span<const float> context(std::size_t samples) const noexcept;
    bool pull(Instant now, std::span<float> out) noexcept override { return pull(now, out, Need::samples); }
    Playout* playout() noexcept override { return this; }
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

    // Packets that were decoded to be heard, and had samples at full scale.
    std::uint64_t packets_clipped() const noexcept { return clipped_; }

    // How the speaker fares, and what was done to his audio, into his statistics.
    void publish(PeerStats& stats, Instant now) const noexcept;
    // What was done since the last call, into those of the worker.
    void count(WorkerStats& stats) noexcept override;

private:
    // pausing: what is concealed is a pause that the sender has announced.
    void run(const JitterBuffer::Step& step, bool pausing = false) noexcept;
    std::int64_t excess(Instant now, std::size_t wanted) const noexcept;
    void adapt(Instant now, std::size_t wanted, bool align) noexcept;
    // Samples from the end of what there is to the next place where a packet should begin; 0: here.
    std::size_t to_alignment(std::size_t wanted) const noexcept;
    void put_pause(std::size_t samples) noexcept;
    void decode_again(std::size_t wanted) noexcept;
    std::size_t misfit(std::size_t wanted) const noexcept;
    void move_to_alignment(std::int64_t over, std::size_t wanted) noexcept;
    void take_out(const timescale::Match& match) noexcept;
    void put_in(const timescale::Match& match) noexcept;
    std::optional<OwnPackets::Own> own(std::int64_t position, std::size_t samples, bool so_far) const noexcept;
    std::int64_t end() const noexcept { return position_ + static_cast<std::int64_t>(fifo_size_); }
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
    std::uint64_t clipped_ = 0;
    JitterBuffer::Counters counted_;
    std::uint64_t counted_taken_ = 0, counted_put_in_ = 0;
    std::size_t rest_ = 0;         // samples until it may change its pace again
    std::size_t waited_ = 0;       // for how many it has wanted to

    OwnPackets packets_;
    std::int64_t position_ = 0;    // of the next frame's first sample, counted in samples pulled
    std::int64_t pulled_from_ = 0; // of the last frame's
    bool heard_ = false;           // that frame was not silence
    std::optional<std::size_t> lag_;
    std::size_t unaligned_ = 0;    // samples for which it has been asked to align
    bool woke_ = false;            // in the last pull it began to be decoded again
    bool undecoded_ = false;       // the fifo is not filled; its size counts as if it were
    std::vector<float> again_;     // what was decoded again last, up to end() at that time
    std::int64_t again_begin_ = 0; // of its first sample
};

}  // namespace plane
