#include "repeats.hpp"

#include <algorithm>

#include "bytes.hpp"

namespace plane {

std::uint32_t clock_samples(Instant now) noexcept {
    const auto ns = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(ns) / 1000 * 48 / 1000);
}

bool Repeats::arrived(std::uint64_t index, std::uint32_t timestamp, std::size_t copies, Instant now) noexcept {
    bool answer = false;
    for (std::size_t i = count_; i-- > 0;) {
        Missing& missing = missing_[i];
        if (missing.index == index) {
            answer = missing.asks > 0;
            if (answer) measure(missing, now);
            remove(i);
        } else if (missing.index < index && missing.index + copies >= index) {
            remove(i);
        }
    }
    if (any_ && index <= highest_) return answer;
    if (any_ && index - highest_ <= capacity) {
        const auto gap = static_cast<std::uint32_t>(index - highest_);
        const std::uint32_t frame = (timestamp - highest_timestamp_) / gap;
        if (frame >= 120 && frame <= 5760) frame_ = frame;
        for (std::uint64_t lost = highest_ + 1; lost + copies < index; ++lost) {
            if (count_ == capacity) remove(0);
            missing_[count_++] = {lost, timestamp - static_cast<std::uint32_t>(index - lost) * frame_, now, 0, {}};
        }
    }
    any_ = true;
    highest_ = index;
    highest_timestamp_ = timestamp;
    return answer;
}

void Repeats::measure(const Missing& missing, Instant now) noexcept {
    // Which of several questions this answers is known only by what RTCP says; it is the one that fits that best.
    if (missing.asks > 1 && !round_trip_) return;
    Duration took = now - missing.asked[0];
    for (unsigned i = 1; i < missing.asks; ++i) {
        const Duration other = now - missing.asked[i];
        if (std::chrono::abs(other - *round_trip_) < std::chrono::abs(took - *round_trip_)) took = other;
    }
    answer_time_ = answer_time_ ? *answer_time_ + (took - *answer_time_) / 8 : took;
}

Answers Repeats::answers(std::optional<Duration> round_trip) const noexcept {
    const Duration time = answer_time_ ? *answer_time_ : round_trip ? *round_trip : presumed;
    // Twice within an answer's time, so that one lost question costs half of it; but without RTCP only after it, or nothing
    // would tell how long that is. Questions go when a packet comes.
    const Duration wanted = round_trip ? time / 2 : time * 3 / 2;
    const Duration packet = nanoseconds{std::int64_t{frame_} * 1'000'000 / 48};
    return {time, packet * std::max<std::int64_t>(1, (wanted + packet / 2) / packet)};
}

std::size_t Repeats::ask(Instant now, std::optional<Duration> round_trip, std::optional<std::uint32_t> heard,
                         std::array<std::uint64_t, capacity>& out) noexcept {
    const auto [answer, again] = answers(round_trip);
    const Duration spacing = again - nanoseconds{std::int64_t{frame_} * 1'000'000 / 48} / 4;
    round_trip_ = round_trip;
    const double elapsed_s = std::chrono::duration<double>(now - allowed_).count();
    allowance_ = std::min(at_once, allowance_ + elapsed_s * per_second);
    allowed_ = now;
    std::size_t asked = 0;
    for (std::size_t i = 0; i < count_;) {
        Missing& missing = missing_[i];
        const Duration left = heard ? nanoseconds{std::int64_t{distance32(missing.timestamp + *heard, clock_samples(now))} * 1'000'000 / 48}
                                    : missing.noticed + blind - now;
        // A clock far off says nothing that a packet could be asked for by.
        const bool in_time = left >= answer + margin && left <= seconds{1};
        const Duration since = missing.asks == 0 ? Duration::zero() : now - missing.asked[missing.asks - 1];
        if (missing.asks == 0 ? !in_time : since > forgotten) {
            remove(i);
            continue;
        }
        const bool due = missing.asks == 0 || (missing.asks < max_asks && since > spacing);
        if (in_time && due && allowance_ >= (missing.asks == 0 ? 1 : reserve)) {
            allowance_ -= 1;
            missing.asked[missing.asks++] = now;
            out[asked++] = missing.index;
        }
        ++i;
    }
    return asked;
}

void Repeats::remove(std::size_t i) noexcept {
    std::copy(missing_.begin() + static_cast<std::ptrdiff_t>(i) + 1, missing_.begin() + static_cast<std::ptrdiff_t>(count_),
              missing_.begin() + static_cast<std::ptrdiff_t>(i));
    --count_;
}

}  // namespace plane
