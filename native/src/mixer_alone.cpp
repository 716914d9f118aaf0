// One voice alone: which leaders send a speaker's own packets in place of a mix, and how they go over from one to the other.
#include <algorithm>
#include <cmath>

#include "mixer.hpp"

namespace plane {

namespace {

// Of a source's packets for one tick; what is longer is encoded, so that what the mixer sends stays below 1,280 bytes.
constexpr std::size_t max_own_size = 1000;
// By how much a limited frame may differ from its mix and still be the same.
constexpr float limiting = 1e-3F;

}  // namespace

void Mixer::look_for_voices_alone() {
    if (!config_.passthrough) return;
    const auto enough = static_cast<unsigned>(alone_after / frame());
    for (const auto& each : rows_) {
        Row& row = *each;
        row.ending = false;
        row.alone.reset();
        if (!row.leads()) continue;
        Stream& stream = row.stream;
        row.alone = find_alone(row);
        const Sound* alone = row.alone ? columns_[*row.alone].input.sound.get() : nullptr;
        if (alone && alone == stream.alone) {
            stream.alone_frames = std::min(stream.alone_frames + 1, enough);
        } else {
            // Out of silence he begins with his own packets; so does who speaks next when he who spoke alone is silent.
            const auto before = std::find_if(columns_.begin(), columns_.end(),
                                             [&](const Column& column) { return column.input.sound.get() == stream.alone; });
            const bool silent = stream.parked || (passes_everywhere(row) && before != columns_.end() && before->hushed());
            stream.alone_frames = silent && alone ? enough : 0;
            stream.limited &= stream.alone_frames == 0;
        }
        row.ending = ended_in_silence(row);
        stream.alone = alone;
        if (!row.ending) decide(row, false);
    }
}

std::optional<std::size_t> Mixer::find_alone(const Row& row) const noexcept {
    const bool parked = row.stream.parked;
    std::optional<std::size_t> found;
    bool found_hushed = true;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        if (row.from[c].silent() && row.to[c].silent()) continue;
        const bool hushed = columns_[c].hushed();
        if (found && !hushed && !found_hushed) return std::nullopt;
        // Of several who are silent it is still he who spoke.
        if (!found || (found_hushed && (!hushed || columns_[c].input.sound.get() == row.stream.alone))) {
            found = c;
            found_hushed = hushed;
        }
    }
    if (!found) return std::nullopt;
    const Column& column = columns_[*found];
    if (!column.input.sound->playout() || column.input.chain || column.chain) return std::nullopt;
    constexpr Gain unity{1, 1};
    const Gain from = row.from[*found];
    return row.to[*found] == unity && (from == unity || (parked && from.silent())) ? found : std::nullopt;
}

// Whether what was passed on comes to its end in silence: listeners need no fade-out then.
bool Mixer::ended_in_silence(const Row& row) const noexcept {
    if (row.stream.parked || !passes_everywhere(row)) return false;
    bool any = false;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        if (!row.to[c].silent() || (!row.from[c].silent() && !columns_[c].hushed())) return false;
        any |= !row.from[c].silent();
    }
    return any;
}

bool Mixer::may_pass(const Row& row, Tier tier, const OwnPackets::Own& own) const noexcept {
    // Who loses much hears in-band FEC, which a speaker's packets have for his own losses only; with RED it is not needed.
    if (tier != Tier::clean && (wanted_of(row) & Variant{tier, false}.bit()) != 0) return false;
    const Stream& stream = row.stream;
    if (!stream.coders[static_cast<std::size_t>(tier)].passing &&
        (stream.limited || stream.alone_frames < static_cast<unsigned>(alone_after / frame()))) {
        return false;
    }
    std::size_t size = 0;
    for (std::size_t i = 0; i < own.count; ++i) {
        size += own.packets[i].size();
        if (!OpusMode{own.packets[i][0]}.matches(mode_)) return false;
    }
    return size <= max_own_size;
}

// pulled: of the frame that was pulled last; else of the one that will be.
void Mixer::decide(Row& row, bool pulled) {
    std::optional<OwnPackets::Own> own;
    if (row.alone) {
        const Playout& playout = *columns_[*row.alone].input.sound->playout();
        own = pulled ? playout.own_of_last(samples_) : playout.own_of_next(samples_);
    }
    const std::uint8_t wanted = wanted_of(row);
    for (std::size_t t = 0; t < tiers; ++t) {
        const auto tier = static_cast<Tier>(t);
        row.stream.coders[t].passing = own && (wanted & variants_of(tier)) != 0 && may_pass(row, tier, *own);
    }
}

bool Mixer::passes(const Row& row) const noexcept {
    return std::any_of(row.stream.coders.begin(), row.stream.coders.end(), [](const Coder& coder) { return coder.passing; });
}

bool Mixer::passes_everywhere(const Row& row) const noexcept {
    const std::uint8_t wanted = wanted_of(row);
    for (std::size_t t = 0; t < tiers; ++t) {
        if ((wanted & variants_of(static_cast<Tier>(t))) != 0 && !row.stream.coders[t].passing) return false;
    }
    return wanted != 0;
}

Playout::Need Mixer::need_of(std::size_t column, bool pulled) const noexcept {
    auto need = Playout::Need::nothing;
    for (const Row* row : mixing_) {
        if (row->ending || (row->from[column].silent() && row->to[column].silent())) continue;
        const bool his = row->alone == column;
        if (row->alone && passes_everywhere(*row) && (his || columns_[column].hushed())) continue;
        if (his && !pulled && !columns_[column].input.sound->playout()->own_of_next(samples_)) return Playout::Need::alignment;
        need = Playout::Need::samples;
    }
    return need;
}

bool Mixer::needs_no_mix(const Row& row) const noexcept {
    return row.ending || (row.alone && passes_everywhere(row) && !columns_[*row.alone].decoded);
}

void Mixer::part_voices_alone() {
    for (std::size_t c = 0; c < columns_.size(); ++c) columns_[c].silent = !sounding_[c];
    for (Row* row : mixing_) {
        // Music that was silent may have begun.
        if (row->alone && find_alone(*row) != row->alone) row->alone.reset();
        if (!row->ending) decide(*row, true);
    }
    // Who turned out to be needed has his samples by now, or gets them.
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        if (columns_[c].decoded || need_of(c, true) == Playout::Need::nothing) continue;
        columns_[c].input.sound->playout()->decode_last(frame_of(inputs_, c));
        columns_[c].decoded = true;
        run_chain(columns_[c], frame_of(inputs_, c));
    }
    passing_.clear();
    std::erase_if(mixing_, [&](Row* row) {
        if (!needs_no_mix(*row)) return false;
        if (row->alone) row->stream.cold = columns_[*row->alone].input.sound.get();
        passing_.push_back(row);
        return true;
    });
    for (Row* row : mixing_) warm(*row);
}

void Mixer::warm(Row& row) {
    Stream& stream = row.stream;
    const Sound* passed = std::exchange(stream.cold, nullptr);
    if (!passed) return;
    reset_sound(stream);
    const auto column = std::find_if(columns_.begin(), columns_.end(), [&](const Column& each) { return each.input.sound.get() == passed; });
    if (column == columns_.end() || !column->input.sound->playout()->woke()) return;
    constexpr std::size_t frames = Playout::context_frames;
    static_assert(frames == priming_frames + 1, "one for the limiter, the others for the encoder");
    const std::span<const float> context = column->input.sound->playout()->context(frames * samples_);
    if (context.empty()) return;
    limited_.resize(std::max(limited_.size(), frame_size_));
    for (std::size_t i = 0; i < frames; ++i) {
        kernels_.limit(limited_.data(), context.subspan(i * frame_size_).data(), stream.limiter.data(),
                       static_cast<std::int32_t>(samples_), static_cast<std::int32_t>(config_.encoder.channels));
        if (i > 0) std::copy_n(limited_.begin(), frame_size_, frame_of(stream.history, i - 1).begin());
    }
}

void Mixer::reset_sound(Stream& stream) {
    std::fill(stream.limiter.begin(), stream.limiter.end(), 0.0F);
    std::fill(stream.history.begin(), stream.history.end(), 0.0F);
    stream.silent_frames = 0;
    stream.limited = false;
    stream.cold = nullptr;
}

void Mixer::park(Stream& stream) {
    stream.parked = true;
    if (stream.cold) reset_sound(stream);
    stream.alone = nullptr;
    for (Coder& coder : stream.coders) {
        coder.passing = false;
        coder.recent = {};  // packets that are kept stand in the way of the pool's next lap
    }
}

void Mixer::note_limiting(Row& row, std::size_t index) noexcept {
    if (!config_.passthrough) return;
    const std::span<const float> mixed = frame_of(mixed_, index), limited = frame_of(limited_, index);
    const std::size_t delay = static_cast<std::size_t>(kernels_.limiter_delay) * config_.encoder.channels;
    row.stream.limited = false;
    for (std::size_t i = delay; i < frame_size_; ++i) row.stream.limited |= std::fabs(limited[i] - mixed[i - delay]) > limiting;
}

// Whether the listeners of the row may go over to the leader's stream: not from a speaker's packets to a mix that will soon be those.
bool Mixer::alike(const Row& row, const Row& leader) const noexcept {
    const std::uint8_t wanted = wanted_of(row);
    for (std::size_t t = 0; t < tiers; ++t) {
        if ((wanted & variants_of(static_cast<Tier>(t))) == 0) continue;
        const Coder &his = row.stream.coders[t], &other = leader.stream.coders[t];
        if ((other.encoder || other.passing) && his.passing != other.passing) return false;
    }
    return true;
}

PacketRef Mixer::pass(const Row& row, const Tick& tick) {
    const Column& column = columns_[*row.alone];
    const auto own = column.input.sound->playout()->own_of_last(samples_);
    if (!own || own->count == 0) return {};
    PacketRef packet = tick.pool.take();
    if (!packet) {
        tick.stats.dropped_overload.add(1);
        return {};
    }
    const std::size_t size = merger_->merge(std::span{own->packets}.first(own->count), packet->bytes);
    if (size == 0) return {};
    packet->payload_offset = 0;
    packet->payload_size = static_cast<std::uint16_t>(size);
    packet->level = {own->level < 50, own->level};
    packet->csrcs[0] = column.input.csrc;
    packet->csrc_levels[0] = own->level;
    packet->csrc_count = 1;
    return packet;
}

}  // namespace plane
