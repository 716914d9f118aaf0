#include "sequence.hpp"

namespace load {

bool Sequence::has(std::uint64_t number) const noexcept {
    return begun_ && number <= highest_ && highest_ - number < window && get(number);
}

Sequence::Verdict Sequence::record(std::uint64_t number) noexcept {
    if (!begun_) {
        begin(number);
        return Verdict::next;
    }
    if (number > highest_) {
        const std::uint64_t step = number - highest_;
        if (step > max_jump) {
            before_ = expected();
            begin(number);
            return Verdict::restart;
        }
        if (step >= window) {
            bits_ = {};
        } else {
            for (std::uint64_t skipped = highest_ + 1; skipped < number; ++skipped) clear(skipped);
        }
        highest_ = number;
        set(number);
        ++received_;
        return step == 1 ? Verdict::next : Verdict::ahead;
    }
    const std::uint64_t behind = highest_ - number;
    if (behind > max_jump) {
        before_ = expected();
        begin(number);
        return Verdict::restart;
    }
    // One so late that nothing is known of it was counted as lost and stays so; a copy of it would else hide a loss.
    if (behind >= window) return Verdict::duplicate;
    if (get(number)) return Verdict::duplicate;
    set(number);
    ++received_;
    if (number < first_) first_ = number;
    return Verdict::late;
}

std::uint64_t Sequence::extend(std::uint16_t low) const noexcept {
    // Far from 0, so that what comes before the first packet has a number, too.
    if (!begun_) return (std::uint64_t{1} << 32) + low;
    const auto step = static_cast<std::int16_t>(static_cast<std::uint16_t>(low - static_cast<std::uint16_t>(highest_)));
    return highest_ + static_cast<std::uint64_t>(static_cast<std::int64_t>(step));
}

void Sequence::begin(std::uint64_t number) noexcept {
    begun_ = true;
    first_ = highest_ = number;
    bits_ = {};
    set(number);
    ++received_;
}

}  // namespace load
