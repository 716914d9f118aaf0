#include "lateness.hpp"

#include <algorithm>
#include <cmath>

namespace plane {

Duration Lateness::mean() const noexcept {
    return count_ == 0 ? Duration{} : base_ - fastest_ + sum_ / static_cast<std::int64_t>(count_);
}

std::size_t Lateness::bin_of(Duration late) noexcept {
    return std::min(static_cast<std::size_t>(std::max(late, Duration::zero()) / bin), bins - 1);
}

Duration Lateness::update(Instant arrival, Duration media) noexcept {
    const Duration transit = arrival.time_since_epoch() - media;
    if (count_ != 0 && std::chrono::abs(transit - fastest_) > limit) reset();
    const bool first = count_ == 0;
    if (first) base_ = transit;
    forget_old(arrival);
    seen_[(first_ + count_++) % capacity] = {arrival, transit};
    sum_ += transit - base_;
    if (first || transit < fastest_) {
        fastest_ = transit;
        count_anew();
    } else {
        ++histogram_[bin_of(transit - fastest_)];
    }
    target_ = find_target();
    return transit - fastest_;
}

void Lateness::forget_old(Instant now) noexcept {
    bool lost_fastest = false;
    while (count_ == capacity || (count_ > enough && now - seen(0).arrival > window)) {
        const Duration transit = seen(0).transit;
        lost_fastest |= transit == fastest_;
        --histogram_[bin_of(transit - fastest_)];
        sum_ -= transit - base_;
        first_ = (first_ + 1) % capacity;
        --count_;
    }
    if (!lost_fastest) return;
    fastest_ = seen(0).transit;
    for (std::size_t i = 1; i < count_; ++i) fastest_ = std::min(fastest_, seen(i).transit);
    count_anew();
}

void Lateness::count_anew() noexcept {
    histogram_.fill(0);
    for (std::size_t i = 0; i < count_; ++i) ++histogram_[bin_of(seen(i).transit - fastest_)];
}

Duration Lateness::find_target() const noexcept {
    const auto wanted = static_cast<std::size_t>(std::ceil(percentile * static_cast<double>(count_)));
    std::size_t sum = 0, i = 0;
    while (i < bins - 1 && (sum += histogram_[i]) < wanted) ++i;
    return bin * static_cast<int>(i + 1);
}

}  // namespace plane
