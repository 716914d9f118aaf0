#include "playout.hpp"

#include <algorithm>
#include <utility>

namespace plane {

namespace {
// A skipped packet is joined, and a first one faded in, over this many samples (5 ms): shorter clicks, longer smears.
constexpr std::size_t join = 240;
}  // namespace

void Playout::insert(const Position& position, Bytes payload) noexcept {
    const auto samples = opus::duration(payload);
    if (samples) buffer_.insert(position, payload, *samples);
}

bool Playout::pull(Instant now, std::span<float> out) noexcept {
    const std::size_t wanted = out.size() / channels_;
    bool heard = fifo_size_ > 0;
    while (fifo_size_ < wanted) {
        const auto step = buffer_.next(now, static_cast<std::uint32_t>(wanted - fifo_size_));
        heard |= step.action != JitterBuffer::Action::nothing;
        run(step);
    }
    std::copy_n(fifo_.begin(), out.size(), out.begin());
    std::copy(fifo_.begin() + static_cast<std::ptrdiff_t>(out.size()),
              fifo_.begin() + static_cast<std::ptrdiff_t>(fifo_size_ * channels_), fifo_.begin());
    fifo_size_ -= wanted;
    return heard;
}

void Playout::run(const JitterBuffer::Step& step) noexcept {
    const std::span<float> space{fifo_.begin() + static_cast<std::ptrdiff_t>(fifo_size_ * channels_), fifo_.end()};
    std::size_t made = 0;
    switch (step.action) {
        case JitterBuffer::Action::decode: made = decoder_.decode(step.payload, space); break;
        case JitterBuffer::Action::recover: made = decoder_.recover(step.payload, space, step.samples); break;
        case JitterBuffer::Action::conceal: made = decoder_.conceal(space, step.samples); break;
        case JitterBuffer::Action::skip: {
            // Its beginning, which continues what was heard, fades into its end, which the next packet continues.
            const std::size_t decoded = decoder_.decode(step.payload, space);
            if (decoded < 2 * join) break;
            const float* end = space.data() + (decoded - join) * channels_;
            for (std::size_t i = 0; i < join * channels_; ++i) {
                const float share = static_cast<float>(i / channels_ + 1) / static_cast<float>(join);
                space[i] += share * (end[i] - space[i]);
            }
            made = join;
            break;
        }
        case JitterBuffer::Action::nothing:
            if (std::exchange(sounding_, false)) {
                // The pause begins with what the decoder fades to, not with a step to zero.
                made = decoder_.conceal(space, std::max(120U, step.samples / 120 * 120));
                for (std::size_t i = 0; i < made * channels_; ++i) {
                    space[i] *= 1.0F - static_cast<float>(i / channels_ + 1) / static_cast<float>(made);
                }
            }
            break;
    }
    if (made == 0) {
        made = step.samples;
        std::fill_n(space.begin(), made * channels_, 0.0F);
    } else if (step.action != JitterBuffer::Action::nothing && !std::exchange(sounding_, true)) {
        // It may begin in mid-word: packets before it were lost, or nobody was to hear them.
        const std::size_t fade = std::min(join, made);
        for (std::size_t i = 0; i < fade * channels_; ++i) {
            space[i] *= static_cast<float>(i / channels_ + 1) / static_cast<float>(fade);
        }
    }
    fifo_size_ += made;
}

void Playout::pass(Instant now) noexcept {
    buffer_.pass(now);
    flush();
}

void Playout::flush() noexcept {
    fifo_size_ = 0;
    sounding_ = false;
}

Duration Playout::delay(Instant now) const noexcept {
    const Duration buffered = nanoseconds{static_cast<std::int64_t>(fifo_size_) * 1'000'000 / 48};
    const Duration delay = buffer_.delay(now);
    return delay == Duration::zero() ? delay : delay + buffered;
}

}  // namespace plane
