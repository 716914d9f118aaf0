#include "jitter.hpp"

#include <algorithm>

#include "opus.hpp"

namespace plane {

namespace {

// Share that the newest packet gets in the histogram once it is full: 1/500 is 10 s of 20 ms packets. More forgets a
// burst sooner and meets the next unprepared.
constexpr unsigned memory_packets = 500;
constexpr Duration minimum_window = seconds{5};
// Concealment fades out by itself; after so many frames there is nothing left to hear.
constexpr unsigned max_dry_steps = 5;
// A delay this much above the target, for so long, is given back.
constexpr Duration slow_margin = milliseconds{25};
constexpr Duration slow_patience = milliseconds{500};

Duration media_time(std::int64_t samples) noexcept {
    return nanoseconds{samples * 1'000'000 / (opus::sample_rate / 1000)};
}

}  // namespace

Duration Lateness::update(Instant arrival, Duration media) noexcept {
    const Duration transit = arrival.time_since_epoch() - media;
    if (!any_ || arrival - window_start_ > minimum_window) {
        previous_minimum_ = any_ ? minimum_ : transit;
        minimum_ = transit;
        window_start_ = arrival;
    }
    minimum_ = std::min(minimum_, transit);
    if (transit - fastest() > limit) {
        reset();
        previous_minimum_ = minimum_ = transit;
        window_start_ = arrival;
    }
    const Duration late = transit - fastest();

    any_ = true;
    seen_ = std::min(seen_ + 1, memory_packets);
    const float weight = 1.0F / static_cast<float>(seen_);
    for (float& share : histogram_) share *= 1 - weight;
    histogram_[std::min<std::size_t>(static_cast<std::size_t>(late / bin), bins - 1)] += weight;
    return late;
}

Duration Lateness::target() const noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < bins; ++i) {
        sum += double{histogram_[i]};
        if (sum >= percentile) return bin * static_cast<int>(i + 1);
    }
    return Duration::zero();
}

void JitterBuffer::insert(const Position& position, Bytes payload, std::uint32_t samples) noexcept {
    if (position.run != run_) restart(position);
    if (position.index + capacity <= next_index_) return void(++counters_.late);
    if (position.index >= next_index_ + capacity) restart(position);  // a gap longer than the buffer

    const std::int64_t media = last_media_ + distance32(position.timestamp, static_cast<std::uint32_t>(last_media_));
    last_media_ = media;
    lateness_.update(position.time, media_time(media));

    if (position.index < next_index_) {
        if (playing_) return void(++counters_.late);
        next_index_ = position.index;  // came out of order before playout began
    }
    Entry& entry = at(position.index);
    if (entry.held && entry.index == position.index) return void(++counters_.duplicate);
    entry.held = true;
    entry.index = position.index;
    entry.media = media;
    entry.samples = samples;
    entry.payload.assign(payload.begin(), payload.end());
    highest_index_ = std::max(highest_index_, position.index);
}

JitterBuffer::Step JitterBuffer::next(Instant now, std::uint32_t frame) noexcept {
    if (!playing_) {
        Entry* first = first_held();
        if (!first || delay_of(now, first->media) < target()) return {Action::nothing, {}, frame};
        playing_ = true;
        dry_ = 0;
        next_index_ = first->index;
        next_media_ = first->media;
    }
    if (delay(now) > max_delay) {
        // Held up for too long: go on where the delay is right again.
        while (Entry* entry = first_held()) {
            if (delay_of(now, entry->media) <= target() + slow_margin) break;
            ++counters_.skipped;
            advance(*entry);
        }
        if (Entry* entry = first_held()) {
            next_index_ = entry->index;
            next_media_ = entry->media;
        } else {
            playing_ = false;
            return {Action::nothing, {}, frame};
        }
    }

    if (Entry* entry = held(next_index_)) {
        dry_ = 0;
        // The sender paused (DTX): its next frame waits for its own time.
        if (entry->media > next_media_ && delay_of(now, entry->media) < target()) {
            const auto pause = std::min<std::int64_t>(entry->media - next_media_, frame);
            next_media_ += pause;
            return {Action::nothing, {}, static_cast<std::uint32_t>(pause)};
        }
        next_media_ = entry->media;
        last_samples_ = entry->samples;
        const Step step{too_slow(now) ? Action::skip : Action::decode, entry->payload, entry->samples};
        ++(step.action == Action::skip ? counters_.skipped : counters_.decoded);
        advance(*entry);
        return step;
    }
    if (Entry* later = first_held()) {
        // Lost. The packet behind it may carry a copy.
        const bool adjacent = later->index == next_index_ + 1;
        const auto gap = std::clamp<std::int64_t>(later->media - next_media_, 0, opus::max_samples);
        const auto missing = static_cast<std::int64_t>(later->index - next_index_);
        // Whole steps of 2.5 ms, the shortest that Opus conceals.
        const auto samples = static_cast<std::uint32_t>(std::clamp<std::int64_t>(gap / missing, 120, last_samples_) / 120 * 120);
        ++next_index_;
        next_media_ = adjacent ? later->media : next_media_ + samples;
        if (adjacent && opus::has_redundancy(later->payload)) {
            ++counters_.recovered;
            return {Action::recover, later->payload, samples};
        }
        ++counters_.concealed;
        return {Action::conceal, {}, samples};
    }
    // Nothing held: late, or the sender has stopped. Its time stands still, so that a late packet is still heard.
    if (++dry_ > max_dry_steps) {
        playing_ = false;
        return {Action::nothing, {}, frame};
    }
    ++counters_.concealed;
    return {Action::conceal, {}, frame};
}

void JitterBuffer::pass(Instant now) noexcept {
    playing_ = false;
    while (Entry* entry = first_held()) {
        if (delay_of(now, entry->media) < target()) break;
        advance(*entry);
    }
}

Duration JitterBuffer::delay(Instant now) const noexcept {
    return playing_ ? delay_of(now, next_media_) : Duration::zero();
}

void JitterBuffer::restart(const Position& position) noexcept {
    for (Entry& entry : entries_) entry.held = false;
    // The network is the same as before: only the sender's clock may have jumped.
    if (run_ != position.run) lateness_.reset();
    run_ = position.run;
    next_index_ = highest_index_ = position.index;
    last_media_ = position.timestamp;
    playing_ = false;
    dry_ = 0;
}

JitterBuffer::Entry* JitterBuffer::held(std::uint64_t index) noexcept {
    Entry& entry = at(index);
    return entry.held && entry.index == index ? &entry : nullptr;
}

JitterBuffer::Entry* JitterBuffer::first_held() noexcept {
    for (std::uint64_t index = next_index_; index <= highest_index_; ++index) {
        if (Entry* entry = held(index)) return entry;
    }
    return nullptr;
}

void JitterBuffer::advance(Entry& entry) noexcept {
    entry.held = false;
    next_index_ = entry.index + 1;
    next_media_ = entry.media + entry.samples;
}

Duration JitterBuffer::delay_of(Instant now, std::int64_t media) const noexcept {
    return now - lateness_.earliest(media_time(media));
}

bool JitterBuffer::too_slow(Instant now) noexcept {
    if (delay(now) <= target() + slow_margin) {
        slow_since_ = {};
        return false;
    }
    if (slow_since_ == Instant{}) slow_since_ = now;
    if (now - slow_since_ < slow_patience) return false;
    slow_since_ = {};
    return true;
}

}  // namespace plane
