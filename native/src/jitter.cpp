#include "jitter.hpp"

#include <algorithm>

#include "opus.hpp"

namespace plane {

namespace {

// Concealment fades out by itself; after 100 ms there is nothing left to hear.
constexpr std::uint32_t max_dry_samples = opus::sample_rate / 10;
// Opus conceals whole steps of 2.5 ms.
constexpr std::uint32_t step_samples = 120;
// After a hold-up beyond all bounds it goes on with this much more than the target.
constexpr Duration slow_margin = milliseconds{25};

Duration media_time(std::int64_t samples) noexcept {
    return nanoseconds{samples * 1'000'000 / (opus::sample_rate / 1000)};
}

}  // namespace

void JitterBuffer::insert(const Position& position, Bytes payload, std::uint32_t samples) noexcept {
    if (position.run != run_) restart(position);
    if (position.index + capacity <= next_index_) return void(++counters_.late);
    if (position.index >= next_index_ + capacity) restart(position);  // a gap longer than the buffer

    const std::int64_t media = last_media_ + distance32(position.timestamp, static_cast<std::uint32_t>(last_media_));
    last_media_ = media;
    Entry& entry = at(position.index);
    if (entry.held && entry.index == position.index) return void(++counters_.duplicate);
    lateness_.update(position.time, media_time(media));

    if (position.index < next_index_) {
        if (playing_) return void(++counters_.late);
        next_index_ = position.index;  // came out of order before playout began
    }
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
        const Step step{Action::decode, entry->payload, entry->samples};
        ++counters_.decoded;
        advance(*entry);
        return step;
    }
    if (Entry* later = first_held()) {
        // Lost. The packet behind it may carry a copy.
        const bool adjacent = later->index == next_index_ + 1;
        const auto gap = std::clamp<std::int64_t>(later->media - next_media_, 0, opus::max_samples);
        const auto missing = static_cast<std::int64_t>(later->index - next_index_);
        const auto samples = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(gap / missing, step_samples, std::max(step_samples, last_samples_)) / step_samples * step_samples);
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
    const std::uint32_t samples = (frame + step_samples - 1) / step_samples * step_samples;
    dry_ += samples;
    if (dry_ > max_dry_samples) {
        playing_ = false;
        return {Action::nothing, {}, frame};
    }
    ++counters_.concealed;
    return {Action::conceal, {}, samples};
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

bool JitterBuffer::ready() const noexcept {
    const Entry* entry = playing_ ? held(next_index_) : nullptr;
    return entry && entry->media <= next_media_;
}

void JitterBuffer::clear() noexcept {
    run_ = 0;
    for (Entry& entry : entries_) entry.held = false;
    playing_ = false;
}

void JitterBuffer::restart(const Position& position) noexcept {
    for (Entry& entry : entries_) entry.held = false;
    // The network is the same as before: only the sender's clock may have jumped.
    if (run_ != position.run) lateness_.reset();
    const bool same_clock = run_ == position.run;
    run_ = position.run;
    next_index_ = highest_index_ = position.index;
    if (!same_clock) last_media_ = position.timestamp;
    playing_ = false;
    dry_ = 0;
}

const JitterBuffer::Entry* JitterBuffer::held(std::uint64_t index) const noexcept {
    const Entry& entry = entries_[index % capacity];
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

}  // namespace plane
