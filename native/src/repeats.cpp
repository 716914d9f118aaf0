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
            // Asked twice, it would not be known which question this answers.
            if (missing.asks == 1) {
                const Duration took = now - missing.asked;
                answer_time_ = answer_time_ ? *answer_time_ + (took - *answer_time_) / 8 : took;
            }
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
            missing_[count_++] = {lost, timestamp - static_cast<std::uint32_t>(index - lost) * frame_, now, {}, 0};
        }
    }
    any_ = true;
    highest_ = index;
    highest_timestamp_ = timestamp;
    return answer;
}

std::size_t Repeats::ask(Instant now, std::optional<Duration> round_trip, std::optional<std::uint32_t> heard,
                         std::array<std::uint64_t, capacity>& out) noexcept {
    const Duration answer = answer_time(round_trip);
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
        if (missing.asks == 0 ? !in_time : now - missing.asked > forgotten) {
            remove(i);
            continue;
        }
        const bool due = missing.asks == 0 || (missing.asks < max_asks && now - missing.asked > answer * 3 / 2);
        if (in_time && due && allowance_ >= 1) {
            allowance_ -= 1;
            ++missing.asks;
            missing.asked = now;
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
