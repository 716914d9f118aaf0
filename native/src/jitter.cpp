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

// Shares are of about 5 s, and of the first frames as soon as there are some. Where more than 1 % are lost, it waits for what
// repairs them, until it is 0.5 %: 20 ms more for all against a gap each 2 s.
constexpr std::uint64_t loss_memory = 256;
constexpr float loss_repaired = 0.01F, loss_ignored = 0.005F;
// Losses of two in a row are rarer, so that their share is of 20 s. From one in 13 s on it waits for the second copy as well.
constexpr std::uint64_t gap_memory = 1024;
constexpr float doubles_repaired = 0.0015F, doubles_ignored = 0.0005F;
// An answer to a NACK takes longer than a copy, so that more must be lost to wait for it.
constexpr float loss_asked = 0.025F, loss_not_asked = 0.01F;
// It waits for as many answers as leave less than that lost; one fewer when that would leave less than the other.
constexpr float left_lost = 0.004F, left_with_fewer = 0.0025F;
// Answers differ by that much.
constexpr Duration answer_margin = milliseconds{15};
// Nobody waits longer for answers, or can converse.
constexpr Duration max_answer = milliseconds{200};
// Redundancy counts as there while one in so many packets has it.
constexpr unsigned redundancy_memory = 100;

Duration media_time(std::int64_t samples) noexcept {
    return nanoseconds{samples * 1'000'000 / (opus::sample_rate / 1000)};
}

}  // namespace

void JitterBuffer::insert(const Position& position, Bytes payload, std::uint32_t samples, bool repeated,
                          std::uint8_t level) noexcept {
    if (position.run != run_) restart(position);
    if (position.index + capacity <= next_index_) return void(++counters_.late);
    if (position.index >= next_index_ + capacity) restart(position);  // a gap longer than the buffer

    const std::int64_t media = last_media_ + distance32(position.timestamp, static_cast<std::uint32_t>(last_media_));
    last_media_ = media;
    Entry& entry = at(position.index);
    const bool known = entry.held && entry.index == position.index;
    if (known && entry.origin != Origin::copy) return void(++counters_.duplicate);
    if (!repeated) lateness_.update(position.time, media_time(media));

    if (position.index < next_index_) {
        // Out of order before playout began it is welcome; but nothing is heard that was sent while he was muted.
        if (playing_ || (repeated && position.index < first_index_)) return void(++counters_.late);
        next_index_ = position.index;
    }
    put(entry, position.index, media, payload, samples, repeated ? Origin::repeated : Origin::sent, level);
    if (!repeated && position.index > highest_index_) note_gap(position.index - highest_index_ - 1);
    highest_index_ = std::max(highest_index_, position.index);
    if (repeated) return;
    if (opus::has_redundancy(payload)) {
        redundancy_ = 1;
    } else if (redundancy_ != 0 && ++redundancy_ > redundancy_memory) {
        redundancy_ = copy_distance_ = 0;
    }
}

void JitterBuffer::insert_copy(const Position& carrier, unsigned distance, std::uint32_t before, Bytes payload,
                               std::uint32_t samples, std::uint8_t level) noexcept {
    if (carrier.run != run_ || carrier.index < distance) return;
    redundancy_ = 1;
    copy_distance_ = static_cast<std::uint8_t>(std::max<unsigned>(copy_distance_, distance));
    const std::uint64_t index = carrier.index - distance;
    // Sent while he was muted, or heard already; before playout begins its packet may still come.
    if (index < std::max(first_index_, next_index_) || index + capacity <= highest_index_) return;
    Entry& entry = at(index);
    if (entry.held && entry.index == index) return;
    const Entry* own = held(carrier.index);
    if (own) put(entry, index, own->media - before, payload, samples, Origin::copy, level);
}

void JitterBuffer::put(Entry& entry, std::uint64_t index, std::int64_t media, Bytes payload, std::uint32_t samples,
                       Origin origin, std::uint8_t level) noexcept {
    entry.held = true;
    entry.origin = origin;
    entry.index = index;
    entry.media = media;
    entry.samples = samples;
    entry.level = level;
    entry.payload.assign(payload.begin(), payload.end());
}

void JitterBuffer::Share::add(bool counts, std::uint64_t memory) noexcept {
    seen = std::min(seen + 1, memory);
    of_late += ((counts ? 1.0F : 0.0F) - of_late) / static_cast<float>(seen);
}

void JitterBuffer::note_gap(std::uint64_t missing) noexcept {
    const unsigned copies = redundancy_ == 0 ? 0 : copy_distance_;
    for (std::uint64_t behind = missing + 1; behind-- > 0;) {
        doubly_lost_.add(behind > 1, gap_memory);
        uncovered_.add(behind > copies, loss_memory);
    }
    choose_tries();
}

void JitterBuffer::note(bool lost) noexcept {
    lost_.add(lost, loss_memory);
    repairing_ = lost_.of_late > (repairing_ ? loss_ignored : loss_repaired);
    twice_ = std::max(doubly_lost_.of_late, lost_.of_late * lost_.of_late) > (twice_ ? doubles_ignored : doubles_repaired);
}

void JitterBuffer::choose_tries() noexcept {
    // Where there are copies as well, what they leave is known only after a while.
    const bool known = redundancy_ == 0 || uncovered_.seen == loss_memory;
    if (!answers_ || !known || uncovered_.of_late < (tries_ > 0 ? loss_not_asked : loss_asked)) {
        tries_ = 0;
        return;
    }
    // A question gets lost as easily as a packet, and so does its answer.
    const float fails = 1 - (1 - lost_.of_late) * (1 - lost_.of_late);
    float left = uncovered_.of_late, left_with_one_less = left;
    for (unsigned i = 0; i < tries_; ++i) left_with_one_less = std::exchange(left, left * fails);
    if (tries_ == 0 || (left > left_lost && tries_ < Repeats::max_asks)) {
        ++tries_;
    } else if (tries_ > 1 && left_with_one_less < left_with_fewer) {
        --tries_;
    }
}

Duration JitterBuffer::repair_time() const noexcept {
    if (!repairing_) return Duration::zero();
    // A copy comes with the next packet, or where packets are lost in a row with the one after it. That one is missing without
    // a copy is known by the packet behind those that might have had one.
    const Duration packet = media_time(last_samples_);
    const Duration copies = packet * (redundancy_ == 0 ? 0 : copy_distance_ > 1 && twice_ ? 2 : 1);
    if (tries_ == 0) return copies;
    Duration answers = packet * (1 + copy_distance_) + answers_->time + answer_margin;
    for (unsigned i = 1; i < tries_ && answers + answers_->again <= max_answer; ++i) answers += answers_->again;
    return std::max(copies, answers <= max_answer ? answers : Duration::zero());
}

JitterBuffer::Step JitterBuffer::next(Instant now, std::uint32_t frame) noexcept {
    if (!playing_) {
        Entry* first = first_held();
        if (!first || delay_of(now, first->media) < target()) return {Action::nothing, {}, frame, 127};
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
            return {Action::nothing, {}, frame, 127};
        }
    }

    if (Entry* entry = held(next_index_)) {
        // Its place has been filled already while it was not there, and so it may stay if no more delay is wanted.
        const Entry* behind = held(next_index_ + 1);
        if (entry->origin == Origin::copy && dry_ >= entry->samples && behind && delay_of(now, behind->media) >= target()) {
            dry_ -= entry->samples;
            note(true);
            advance(*entry);
            return next(now, frame);
        }
        dry_ = 0;
        // The sender paused (DTX): its next frame waits for its own time.
        if (entry->media > next_media_ && delay_of(now, entry->media) < target()) {
            const auto pause = std::min<std::int64_t>(entry->media - next_media_, frame);
            next_media_ += pause;
            return {Action::nothing, {}, static_cast<std::uint32_t>(pause), 127};
        }
        next_media_ = entry->media;
        last_samples_ = entry->samples;
        const Step step{Action::decode, entry->payload, entry->samples, entry->level};
        ++counters_.decoded;
        counters_.copies += entry->origin == Origin::copy ? 1 : 0;
        counters_.repeated += entry->origin == Origin::repeated ? 1 : 0;
        note(entry->origin != Origin::sent);
        advance(*entry);
        return step;
    }
    if (Entry* later = first_held()) {
        // Lost. The packet behind it may carry a copy.
        const bool adjacent = later->index == next_index_ + 1;
        const auto gap = std::clamp<std::int64_t>(later->media - next_media_, 0, opus::max_samples);
        const auto missing = static_cast<std::int64_t>(later->index - next_index_);
        auto samples = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(gap / missing, step_samples, std::max(step_samples, last_samples_)) / step_samples * step_samples);
        ++next_index_;
        next_media_ = adjacent ? later->media : next_media_ + samples;
        // What was made up while nothing had come stands for it, unless more delay is wanted.
        const std::uint32_t filled = delay_of(now, later->media) >= target() ? std::min(dry_, samples) : 0;
        const bool copied = filled == 0 && adjacent && opus::has_redundancy(later->payload);
        note(true);
        dry_ -= filled;
        samples = (samples - filled) / step_samples * step_samples;
        if (samples == 0) return next(now, frame);
        if (copied) {
            ++counters_.recovered;
            return {Action::recover, later->payload, samples, 127};
        }
        ++counters_.concealed;
        return {Action::conceal, {}, samples, 127};
    }
    // Nothing held: late, or the sender has stopped. Its time stands still, so that a late packet is still heard.
    const std::uint32_t samples = (frame + step_samples - 1) / step_samples * step_samples;
    dry_ += samples;
    if (dry_ > max_dry_samples) {
        playing_ = false;
        return {Action::nothing, {}, frame, 127};
    }
    ++counters_.concealed;
    return {Action::conceal, {}, samples, 127};
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

Instant JitterBuffer::wanted() const noexcept { return lateness_.earliest(media_time(last_media_)) + target(); }

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
    next_index_ = highest_index_ = first_index_ = position.index;
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
    next_index_ = first_index_ = entry.index + 1;
    next_media_ = entry.media + entry.samples;
}

Duration JitterBuffer::delay_of(Instant now, std::int64_t media) const noexcept {
    return now - lateness_.earliest(media_time(media));
}

}  // namespace plane
