#include "playout.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "capture.hpp"

namespace plane {

namespace {

constexpr std::size_t history = timescale::max_lag;
// Before the frame that is pulled, one that is decoded at once, and what is looked at to play faster.
constexpr std::size_t fifo_capacity = history + 2880 + 2 * timescale::max_lag + opus::max_samples + timescale::max_lag;

// A first packet is faded in over this many samples (5 ms): shorter clicks, longer smears.
constexpr std::size_t join = 240;
// A pause begins with what the decoder fades to, for 10 ms, not with a step to zero.
constexpr std::size_t fade_out = 480;

// More than that is played faster (10 ms), if it stays so for 200 ms; less than that (-2.5 ms) slower, at once. Nearer to
// each other they would answer the network's noise with changes of pace.
constexpr std::int64_t too_much = 480, too_little = -120;
constexpr std::size_t patience = 9600;
// Beyond 40 ms it hurries: speech is up to a fifth shorter or longer then, else up to a tenth.
constexpr std::size_t far = 1920;
constexpr std::size_t hurried_periods = 4, calm_periods = 9;
// How alike two periods must be, and how soon it does with less: by half a second for what is unlike (noise, music).
constexpr float alike = 0.9F;
constexpr float relief_per_sample = 0.8F / 48000;

// Packets before those that are needed, from which a decoder begins: its memory of what it has not decoded is gone after 60 ms.
constexpr std::size_t settling = 2880;
// Alignment is not urgent: it waits for samples below -50 dBFS, or for periods that are alike, and is content with less within 3 s.
constexpr float quiet = 1e-5F;
constexpr std::size_t alignment_patience = 3 * 48000;
constexpr float alignment_relief_per_sample = 0.4F / static_cast<float>(alignment_patience);

Duration time_of(std::int64_t samples) noexcept { return nanoseconds{samples * 1'000'000 / 48}; }
std::int64_t samples_of(Duration time) noexcept {
    return std::chrono::duration_cast<nanoseconds>(time).count() * 48 / 1'000'000;
}

}  // namespace

Playout::Playout(unsigned channels) : channels_{channels}, decoder_{channels}, fifo_(fifo_capacity * channels) {}

void Playout::insert(const Position& position, Bytes payload) noexcept {
    const auto samples = opus::duration(payload);
    if (samples) buffer_.insert(position, payload, *samples);
}

void Playout::take(const Packet& packet) noexcept {
    const auto samples = opus::duration(packet.payload());
    if (!samples) return;
    buffer_.insert(packet.position, packet.payload(), *samples, packet.repeated, packet.level.level);
    for (std::size_t i = 0; i < packet.copy_count; ++i) {
        const Packet::Copy& copy = packet.copies[i];
        const auto lasts = opus::duration(packet.copy(copy));
        if (lasts) buffer_.insert_copy(packet.position, copy.distance, copy.before, packet.copy(copy), *lasts, packet.level.level);
    }
}

bool Playout::pull(Instant now, std::span<float> out, Need need) noexcept {
    const std::size_t wanted = out.size() / channels_;
    bool heard = fifo_size_ > 0;
    made_up_ = woke_ = false;
    if (need != Need::nothing) {
        decode_again(wanted);
    } else if (packets_.plain_since(position_ - static_cast<std::int64_t>(context_frames * wanted + settling))) {
        undecoded_ = true;
    }
    while (fifo_size_ < wanted) {
        if (const std::size_t pause = to_alignment(wanted); pause != 0) {
            put_pause(std::min(pause, wanted - fifo_size_));
            continue;
        }
        const auto step = buffer_.next(now, static_cast<std::uint32_t>(wanted - fifo_size_));
        heard |= step.action != JitterBuffer::Action::nothing;
        const bool pausing = step.action == JitterBuffer::Action::conceal && packets_.announced_pause();
        if (step.action == JitterBuffer::Action::recover || (step.action == JitterBuffer::Action::conceal && !pausing)) {
            decode_again(wanted);
        }
        run(step, pausing);
    }
    adapt(now, wanted, need == Need::alignment);
    pulled_from_ = position_;
    if (!undecoded_) {
        std::copy_n(samples(history, wanted).begin(), out.size(), out.begin());
        const std::span<float> kept = samples(wanted, history + fifo_size_ - wanted);
        std::copy(kept.begin(), kept.end(), fifo_.begin());
    }
    fifo_size_ -= wanted;
    position_ += static_cast<std::int64_t>(wanted);
    heard_ = heard;
    pulled_ += heard && !undecoded_ ? 1 : 0;
    return heard;
}

void Playout::run(const JitterBuffer::Step& step, bool pausing) noexcept {
    if (step.action == JitterBuffer::Action::decode) {
        packets_.packet(end(), step.samples, step.payload, step.level);
    } else if (step.action == JitterBuffer::Action::nothing || pausing) {
        packets_.pause(end(), step.samples);
    }
    if (undecoded_) {
        made_up_ |= step.action != JitterBuffer::Action::decode;
        fifo_size_ += step.samples;
        return;
    }
    const std::span<float> space = samples(history + fifo_size_, fifo_capacity - history - fifo_size_);
    std::size_t made = 0;
    switch (step.action) {
        case JitterBuffer::Action::decode:
            made = decoder_.decode(step.payload, space);
            clipped_ += Capture::is_clipped(space.first(made * channels_)) ? 1 : 0;
            break;
        case JitterBuffer::Action::recover: made = decoder_.recover(step.payload, space, step.samples); break;
        case JitterBuffer::Action::conceal:
            made_up_ = true;
            made = decoder_.conceal(space, step.samples);
            break;
        case JitterBuffer::Action::nothing: {
            made_up_ = true;
            std::size_t fading = 0;
            if (std::exchange(sounding_, false)) {
                const std::size_t whole = std::clamp<std::size_t>(step.samples / 120 * 120, 120, fade_out);
                fading = std::min<std::size_t>(decoder_.conceal(space, static_cast<std::uint32_t>(whole)), step.samples);
            }
            for (std::size_t i = 0; i < fading * channels_; ++i) {
                space[i] *= 1.0F - static_cast<float>(i / channels_ + 1) / static_cast<float>(fading);
            }
            made = step.samples;
            std::fill_n(space.begin() + static_cast<std::ptrdiff_t>(fading * channels_), (made - fading) * channels_, 0.0F);
            fifo_size_ += made;
            return;
        }
    }
    if (made != step.samples && step.action == JitterBuffer::Action::decode) packets_.spoil_last();
    if (made == 0) {
        made = step.samples;
        std::fill_n(space.begin(), made * channels_, 0.0F);
    } else if (!std::exchange(sounding_, true)) {
        // It may begin in mid-word: packets before it were lost, or nobody was to hear them.
        const std::size_t fade = std::min(join, made);
        for (std::size_t i = 0; i < fade * channels_; ++i) {
            space[i] *= static_cast<float>(i / channels_ + 1) / static_cast<float>(fade);
        }
    }
    if (!pausing && step.action != JitterBuffer::Action::decode) packets_.made_up(end(), static_cast<std::uint32_t>(made));
    fifo_size_ += made;
}

// ---- undecoded -----------------------------------------------------------------------------------------------------

std::size_t Playout::to_alignment(std::size_t wanted) const noexcept {
    if (!lag_ || !packets_.pausing()) return 0;
    return misfit(wanted);
}

std::size_t Playout::misfit(std::size_t wanted) const noexcept {
    const std::size_t grid = std::gcd(wanted, std::size_t{buffer_.packet_samples()});
    return (grid - (*lag_ + fifo_size_) % grid) % grid;
}

void Playout::put_pause(std::size_t count) noexcept {
    made_up_ = true;
    packets_.pause(end(), static_cast<std::uint32_t>(count));
    if (!undecoded_) std::fill_n(samples(history + fifo_size_, count).begin(), count * channels_, 0.0F);
    fifo_size_ += count;
}

std::optional<OwnPackets::Own> Playout::own(std::int64_t position, std::size_t count, bool so_far) const noexcept {
    if (!lag_) return std::nullopt;
    return packets_.find(position - static_cast<std::int64_t>(*lag_), count, so_far);
}

void Playout::decode_again(std::size_t wanted) noexcept {
    if (!std::exchange(undecoded_, false)) return;
    woke_ = true;
    const auto needed = static_cast<std::int64_t>(std::max((context_frames + 1) * wanted + settling, history));
    const std::int64_t from = position_ - needed;
    std::size_t first = 0;
    while (first < packets_.size() && packets_[first].end() <= from) ++first;
    // A pause may have begun long ago.
    again_begin_ = first < packets_.size() ? std::max(packets_[first].begin, from - std::int64_t{opus::max_samples}) : end();
    again_begin_ = std::min(again_begin_, position_ - static_cast<std::int64_t>(std::max((context_frames + 1) * wanted, history)));
    again_.assign(static_cast<std::size_t>(end() - again_begin_) * channels_, 0.0F);
    decoder_.reset();
    sounding_ = false;
    for (std::size_t i = first; i < packets_.size(); ++i) {
        const OwnPackets::Piece& piece = packets_[i];
        sounding_ = !piece.payload.empty();
        if (!sounding_) continue;
        const std::size_t at = static_cast<std::size_t>(piece.begin - again_begin_) * channels_;
        decoder_.decode(piece.payload, std::span{again_}.subspan(at, std::size_t{piece.samples} * channels_));
    }
    std::copy_n(again_.end() - static_cast<std::ptrdiff_t>((history + fifo_size_) * channels_), (history + fifo_size_) * channels_,
                fifo_.begin());
}

void Playout::decode_last(std::span<float> out) noexcept {
    decode_again(out.size() / channels_);
    pulled_ += heard_ ? 1 : 0;
    std::copy_n(again_.begin() + static_cast<std::ptrdiff_t>(pulled_from_ - again_begin_) * static_cast<std::ptrdiff_t>(channels_), out.size(),
                out.begin());
}

std::span<const float> Playout::context(std::size_t count) const noexcept {
    const std::int64_t begin = pulled_from_ - static_cast<std::int64_t>(count) - again_begin_;
    if (begin < 0 || (static_cast<std::size_t>(begin) + count) * channels_ > again_.size()) return {};
    return std::span{again_}.subspan(static_cast<std::size_t>(begin) * channels_, count * channels_);
}

// ---- pace ----------------------------------------------------------------------------------------------------------

std::int64_t Playout::excess(Instant now, std::size_t wanted) const noexcept {
    const auto grid = static_cast<std::int64_t>(std::gcd(wanted, std::size_t{buffer_.packet_samples()}));
    const auto ahead = static_cast<std::int64_t>(fifo_size_ - wanted);
    const std::int64_t over = samples_of(buffer_.delay(now) + time_of(ahead + grid - ahead % grid) - buffer_.target());
    return over < 0 ? over : ahead % grid + over / grid * grid;
}

void Playout::adapt(Instant now, std::size_t wanted, bool align) noexcept {
    rest_ -= std::min(rest_, wanted);
    unaligned_ = align ? unaligned_ + wanted : 0;
    // What is made up already is not stretched.
    if (!buffer_.playing() || made_up_) {
        waited_ = 0;
        return;
    }
    const std::int64_t over = excess(now, wanted);
    if (over < too_much && over > too_little) {
        waited_ = 0;
        if (align && lag_) move_to_alignment(over, wanted);
        return;
    }
    waited_ += wanted;
    if (rest_ > 0) return;
    if (over >= too_much) {
        if (waited_ < patience) return;
        decode_again(wanted);
        play_faster(now, wanted, static_cast<std::size_t>(over));
    } else {
        decode_again(wanted);
        play_slower(static_cast<std::size_t>(-over));
    }
}

void Playout::move_to_alignment(std::int64_t over, std::size_t wanted) noexcept {
    const std::size_t grid = std::gcd(wanted, std::size_t{buffer_.packet_samples()});
    const std::size_t in = misfit(wanted), out = grid - in;
    if (in == 0) return;
    const bool shorter = static_cast<std::int64_t>(out) <= over;
    const std::size_t lag = shorter ? out : in;
    if (lag > timescale::max_lag || fifo_size_ < std::max(2 * lag, timescale::compared + lag)) return;
    const auto match = shorter ? timescale::surplus_of(samples(history, fifo_size_), channels_, lag)
                               : timescale::filler_of(samples(0, history + fifo_size_), channels_, history, lag);
    const float relief = alignment_relief_per_sample * static_cast<float>(std::min(unaligned_, alignment_patience));
    const bool periodic = lag >= timescale::min_lag && match.likeness >= alike - relief;
    if (!periodic && match.mean_square > quiet) return;
    if (shorter) {
        take_out(match);
    } else {
        put_in(match);
    }
}

void Playout::take_out(const timescale::Match& match) noexcept {
    timescale::shorten(samples(history, fifo_size_), channels_, match);
    fifo_size_ -= match.lag;
    taken_ += match.lag;
    const auto lag = static_cast<std::int64_t>(match.lag);
    packets_.moved(position_ + 2 * lag, -lag);
}

void Playout::put_in(const timescale::Match& match) noexcept {
    timescale::lengthen(samples(0, history + fifo_size_ + match.lag), channels_, history, history + fifo_size_, match);
    fifo_size_ += match.lag;
    put_in_ += match.lag;
    packets_.moved(position_, static_cast<std::int64_t>(match.lag));
}

bool Playout::alike_enough(const timescale::Match& match, std::size_t by) const noexcept {
    if (match.lag == 0) return false;
    const float relief = relief_per_sample * static_cast<float>(waited_) * (by > far ? 2.0F : 1.0F);
    return match.likeness >= alike - relief;
}

void Playout::play_faster(Instant now, std::size_t wanted, std::size_t by) noexcept {
    std::size_t longest = std::min(by, timescale::max_lag);
    const std::size_t looked_at = std::max({wanted + longest, timescale::compared + longest, 2 * longest});
    while (fifo_size_ < looked_at && buffer_.ready()) run(buffer_.next(now, 0));
    if (fifo_size_ < wanted + timescale::compared) return;
    longest = std::min({longest, fifo_size_ - wanted, fifo_size_ - timescale::compared, fifo_size_ / 2});
    const auto match = timescale::find_surplus(samples(history, fifo_size_), channels_, longest);
    if (!alike_enough(match, by)) return;
    take_out(match);
    rest_ = match.lag * (by > far ? hurried_periods : calm_periods);
}

void Playout::play_slower(std::size_t by) noexcept {
    if (fifo_size_ < timescale::compared) return;
    const auto match = timescale::find_filler(samples(0, history + fifo_size_), channels_, history, timescale::max_lag);
    if (!alike_enough(match, by)) return;
    put_in(match);
    rest_ = match.lag * (by > far ? hurried_periods : calm_periods);
}

void Playout::pass(Instant now) noexcept {
    buffer_.pass(now);
    begin();
}

bool Playout::begin() noexcept {
    fifo_size_ = 0;
    // What the decoder remembers is then of long ago.
    if (std::exchange(undecoded_, false)) decoder_.reset();
    packets_.begin_anew();
    sounding_ = false;
    waited_ = 0;
    return false;
}

void Playout::publish(PeerStats& stats, Instant now) const noexcept {
    const auto ms = [](Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); };
    stats.playout_delay_ms.set(ms(delay(now)));
    stats.playout_target_ms.set(ms(buffer_.target()));
    stats.lateness_ms.set(ms(buffer_.lateness()));
    stats.frames_recovered.set(buffer_.counters().recovered);
    stats.frames_from_red.set(buffer_.counters().copies);
    stats.frames_from_nack.set(buffer_.counters().repeated);
    stats.frames_concealed.set(buffer_.counters().concealed);
    const auto next = static_cast<std::uint32_t>(buffer_.next_media() - static_cast<std::int64_t>(fifo_size_));
    stats.playhead.set(buffer_.playing() ? std::uint64_t{1} << 32 | std::uint32_t{clock_samples(now) - next} : 0);
    stats.packets_late.set(buffer_.counters().late);
    stats.samples_taken.set(taken_);
    stats.samples_put_in.set(put_in_);
}

void Playout::count(WorkerStats& stats) noexcept {
    const JitterBuffer::Counters& now = buffer_.counters();
    const auto ns = [](std::uint64_t samples) { return samples * 1'000'000 / 48; };
    stats.sources_decoded.add(pulled_ - std::exchange(counted_pulled_, pulled_));
    stats.frames_recovered.add(now.recovered - counted_.recovered);
    stats.frames_from_red.add(now.copies - counted_.copies);
    stats.frames_from_nack.add(now.repeated - counted_.repeated);
    stats.frames_concealed.add(now.concealed - counted_.concealed);
    stats.accelerated_ns.add(ns(taken_) - ns(std::exchange(counted_taken_, taken_)));
    stats.decelerated_ns.add(ns(put_in_) - ns(std::exchange(counted_put_in_, put_in_)));
    counted_ = now;
}

Duration Playout::delay(Instant now) const noexcept {
    const Duration delay = buffer_.delay(now);
    return delay == Duration::zero() ? delay : delay + time_of(static_cast<std::int64_t>(fifo_size_));
}

}  // namespace plane
