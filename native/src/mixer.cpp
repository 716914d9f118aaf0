#include "mixer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "prefetch.hpp"

namespace plane {

namespace {

bool all_silent(std::span<const Gain> gains) noexcept {
    return std::all_of(gains.begin(), gains.end(), [](const Gain& gain) { return gain.silent(); });
}

// A packet without audio: its first byte says narrowband SILK and the frame's length (RFC 6716 section 3.1).
std::uint8_t dtx_packet(unsigned ptime_ms) noexcept { return static_cast<std::uint8_t>(ptime_ms / 20 << 3); }

void copy_description(const Packet& from, Packet& to) noexcept {
    to.level = from.level;
    to.csrc_count = from.csrc_count;
    to.csrcs = from.csrcs;
    to.csrc_levels = from.csrc_levels;
}

std::uint8_t dbov_byte(float dbov) noexcept { return static_cast<std::uint8_t>(std::lround(-std::clamp(dbov, -127.0F, 0.0F))); }

}  // namespace

// In-band FEC for more loss makes each frame's copy better and the frame itself worse: at 48 kbit/s 10 % sounds best from 10 % of
// loss on, and 15 or 25 % worse at any loss. The third tier sends every frame three times where there is RED, so each is of fewer
// bits where it has many; below the least bitrate that is heard more than the loss.
opus::EncoderConfig encoder_config(const opus::EncoderConfig& configured, Tier tier) noexcept {
    const std::uint32_t least_bitrate = 48'000 * configured.channels;
    opus::EncoderConfig config = configured;
    if (tier != Tier::clean) config.expected_loss_percent = 10;
    if (tier == Tier::very_lossy) {
        config.bitrate = std::min(configured.bitrate, std::max(least_bitrate, configured.bitrate / 3 * 2));
    }
    return config;
}

Mixer::Mixer(const MixConfig& config, const Kernels& kernels)
    : config_{config},
      kernels_{kernels},
      samples_{opus::sample_rate / 1000 * config.ptime_ms},
      frame_size_{samples_ * config.encoder.channels} {
    if (!config_.passthrough) return;
    merger_.emplace();
    // What mode it codes in follows from the settings, and a frame of anything tells.
    std::array<std::uint8_t, 1276> packet{};
    spare_encoders_.push_back(std::make_unique<opus::Encoder>(encoder_config(config_.encoder, Tier::clean)));
    if (spare_encoders_.back()->encode(std::vector<float>(frame_size_, 0.01F), packet) > 0) mode_ = OpusMode{packet[0]};
}

void Mixer::add_row(RowId id, std::vector<Cell> cells, std::optional<RowId> like) {
    if (find(id)) return;
    auto row = std::make_unique<Row>();
    row->id = id;
    row->cells = std::move(cells);
    row->from.assign(columns_.size(), {});
    row->to = row->from;
    if (Row* model = like ? find(*like) : nullptr) {
        row->from = model->from;
        row->leader = model->leader;
        row->wanted = model->wanted;
    } else {
        row->leader = row.get();
        row->stream = fresh_stream();
    }
    rows_.push_back(std::move(row));
}

void Mixer::set_row(RowId id, std::vector<Cell> cells) {
    if (Row* row = find(id)) row->cells = std::move(cells);
}

void Mixer::remove_row(RowId id) {
    Row* row = find(id);
    if (!row) return;
    Row* heir = nullptr;
    for (const auto& other : rows_) {
        if (other.get() == row || other->leader != row) continue;
        if (!heir) {
            heir = other.get();
            heir->stream = std::move(row->stream);
        }
        other->leader = heir;
    }
    if (row->leads()) retire(row->stream);
    std::erase_if(rows_, [&](const auto& other) { return other.get() == row; });
}

void Mixer::want(RowId id, std::uint8_t wanted) noexcept {
    if (Row* row = find(id)) row->wanted = wanted;
}

void Mixer::tick(Instant now, std::uint32_t timestamp, std::span<const Input> inputs, std::uint32_t run, PacketPool& pool,
                 std::vector<Output>& outputs, WorkerStats& stats) {
    update_columns(inputs);
    update_gains();
    split_and_merge();
    look_for_voices_alone();

    mixing_.clear();
    for (const auto& row : rows_) {
        if (row->leads() && !(row->stream.parked && all_silent(row->from) && all_silent(row->to))) mixing_.push_back(row.get());
    }
    pull(now, stats);
    // Whose voice alone had to be scaled in time is mixed after all; who needs no mix has none.
    if (config_.passthrough) part_voices_alone();
    mix();

    const Tick tick{now, timestamp, pool, stats};
    const auto send = [&](Row& leader, const Frame& frame) {
        for (const auto& row : rows_) {
            if (row->leader != &leader) continue;
            bool any = false;
            for (std::size_t v = 0; v < variants; ++v) {
                if (!frame.packets[v] || (row->wanted & variant(v).bit()) == 0) continue;
                const Position position{run, row->sent, timestamp, frame.talk && !row->talking, now};
                outputs.push_back({row->id, variant(v), frame.packets[v], position});
                any = true;
            }
            if (!any) continue;
            ++row->sent;
            row->talking = frame.talk;
        }
    };
    for (std::size_t i = 0; i < mixing_.size(); ++i) send(*mixing_[i], encode(*mixing_[i], i, tick));
    for (Row* row : passing_) send(*row, encode(*row, std::nullopt, tick));
    for (const auto& row : rows_) {
        if (row->leads()) send(*row, sign(*row, tick));
    }
    for (const auto& row : rows_) {
        row->from = row->to;
        if (row->leader->stream.parked) row->talking = false;
    }
}

bool Mixer::active() const noexcept {
    return std::any_of(rows_.begin(), rows_.end(), [](const auto& row) { return row->leads() && !row->stream.parked; });
}

void Mixer::prefetch() const noexcept {
    constexpr std::size_t several = 4;
    for (std::size_t i = 0; i < std::min(rows_.size(), several); ++i) {
        plane::prefetch(&rows_[i]->leader);
        plane::prefetch(&rows_[i]->stream.parked);
    }
}

std::optional<Instant> Mixer::next_sign_of_life() const noexcept {
    std::optional<Instant> next;
    for (const auto& row : rows_) {
        if (!row->leads() || row->stream.last_sent == Instant{}) continue;
        const Instant due = row->stream.last_sent + sign_of_life;
        if (!next || due < *next) next = due;
    }
    return next;
}

std::size_t Mixer::leaders() const noexcept {
    return static_cast<std::size_t>(std::count_if(rows_.begin(), rows_.end(), [](const auto& row) { return row->leads(); }));
}

// ---- columns and gains ---------------------------------------------------------------------------------------------

void Mixer::update_columns(std::span<const Input> inputs) {
    // Columns that were at 0 for everyone when the last frame ended, and are not wanted now, are gone.
    const auto wanted = [&](const Column& column) {
        return std::find_if(inputs.begin(), inputs.end(), [&](const Input& input) { return input.sound == column.input.sound; });
    };
    for (std::size_t c = 0; c < columns_.size();) {
        const auto input = wanted(columns_[c]);
        columns_[c].begins = false;
        if (input == inputs.end()) {
            columns_[c].input.gain = 0;
            columns_[c].input.hushed = false;
        } else {
            columns_[c].input = *input;
        }
        const bool fading = std::any_of(rows_.begin(), rows_.end(), [&](const auto& row) { return !row->from[c].silent(); });
        if (columns_[c].input.gain != 0 || fading) {
            ++c;
            continue;
        }
        const auto at = static_cast<std::ptrdiff_t>(c);
        columns_.erase(columns_.begin() + at);
        for (const auto& row : rows_) row->from.erase(row->from.begin() + at);
    }
    for (const Input& input : inputs) {
        const bool known = std::any_of(columns_.begin(), columns_.end(), [&](const Column& c) { return c.input.sound == input.sound; });
        if (known || input.gain == 0) continue;
        if (config_.passthrough && input.sound->playout()) {
            input.sound->playout()->align(static_cast<std::size_t>(kernels_.limiter_delay) + opus::encoder_delay);
        }
        columns_.push_back({input, input.chain, input.sound->begin(), true});
        for (const auto& row : rows_) row->from.push_back({});
    }
}

void Mixer::update_gains() {
    for (const auto& row : rows_) {
        row->to.resize(columns_.size());
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            const Input& input = columns_[c].input;
            const auto cell = std::find_if(row->cells.begin(), row->cells.end(),
                                           [&](const Cell& named) { return named.csrc == input.csrc; });
            const float gain = input.gain * (cell == row->cells.end() ? 1.0F : cell->gain);
            const Place place = cell != row->cells.end() && cell->place ? *cell->place : input.place;
            row->to[c] = config_.encoder.channels == 2 ? Gain{gain * place.left, gain * place.right} : Gain{gain, gain};
            if (columns_[c].begins) row->from[c] = row->to[c];
        }
    }
}

// ---- who leads, who follows ----------------------------------------------------------------------------------------

void Mixer::split_and_merge() {
    for (const auto& row : rows_) {
        if (row->leads() || row->to == row->leader->to) continue;
        // Several may part from one leader in the same way: the first of them leads the others.
        const auto same = std::find_if(rows_.begin(), rows_.end(), [&](const auto& other) {
            return other.get() != row.get() && other->leads() && other->to == row->to && other->from == row->from;
        });
        if (same != rows_.end()) {
            follow(*row, **same);
        } else {
            lead(*row);
        }
    }
    for (const auto& row : rows_) {
        if (!row->leads()) continue;
        const auto older = std::find_if(rows_.begin(), rows_.end(), [&](const auto& other) {
            return other.get() == row.get() || (other->leads() && other->to == row->to && other->from == row->from &&
                                                other->stream.parked == row->stream.parked && alike(*row, *other));
        });
        if (older->get() == row.get()) {
            row->equal_frames = 0;
        } else if (++row->equal_frames > merge_after) {
            follow(*row, **older);
        }
    }
}

void Mixer::lead(Row& row) {
    const Stream& before = row.leader->stream;
    row.stream = fresh_stream();
    row.stream.limiter = before.limiter;
    row.stream.history = before.history;
    row.stream.parked = before.parked;
    row.stream.silent_frames = before.silent_frames;
    for (std::size_t tier = 0; tier < tiers; ++tier) {
        row.stream.coders[tier].recent = before.coders[tier].recent;
        row.stream.coders[tier].dtx = before.coders[tier].dtx;
        row.stream.coders[tier].passing = before.coders[tier].passing;
    }
    row.stream.last_sent = before.last_sent;
    row.stream.alone = before.alone;
    row.stream.alone_frames = before.alone_frames;
    row.stream.limited = before.limited;
    row.stream.cold = before.cold;
    row.leader = &row;
    row.equal_frames = 0;
}

void Mixer::follow(Row& row, Row& leader) {
    if (row.leads()) {
        retire(row.stream);
        row.stream = {};
    }
    for (const auto& other : rows_) {
        if (other->leader == &row) other->leader = &leader;
    }
    row.leader = &leader;
}

// ---- samples -------------------------------------------------------------------------------------------------------

void Mixer::pull(Instant now, WorkerStats& stats) {
    inputs_.resize(columns_.size() * frame_size_);
    sounding_.assign(columns_.size(), false);
    const Duration frame_time = Mixer::frame();
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        const std::span<float> frame = frame_of(inputs_, c);
        const bool heard = std::any_of(mixing_.begin(), mixing_.end(),
                                       [&](const Row* row) { return !row->from[c].silent() || !row->to[c].silent(); });
        if (!heard) {
            columns_[c].input.sound->pass(now);
            std::fill(frame.begin(), frame.end(), 0.0F);
            continue;
        }
        Playout* playout = columns_[c].input.sound->playout();
        sounding_[c] = playout ? playout->pull(now, frame, need_of(c, false)) : columns_[c].input.sound->pull(now, frame);
        columns_[c].decoded = !playout || playout->decoded();
        columns_[c].input.sound->count(stats);
        // Of the frame that was pulled: what the next one has waited by now, and a frame more.
        if (playout && sounding_[c] && playout->buffer().playing()) {
            stats.playout_wait.record(playout->delay(now) + frame_time);
            stats.playout_target.record(playout->buffer().target());
        }
        if (columns_[c].decoded) {
            run_chain(columns_[c], frame);
        } else {
            std::fill(frame.begin(), frame.end(), 0.0F);
        }
    }
}

void Mixer::run_chain(Column& column, std::span<float> frame) {
    const std::shared_ptr<Chain> before = std::exchange(column.chain, column.input.chain);
    if (before == column.chain) {
        if (before) before->process(frame);
        return;
    }
    // From the one to the other over the frame.
    fading_.assign(frame.begin(), frame.end());
    if (before && column.chain) column.chain->continue_from(*before);
    if (before) before->process(fading_);
    if (column.chain) column.chain->process(frame);
    const std::size_t channels = config_.encoder.channels;
    for (std::size_t i = 0; i < frame.size(); ++i) {
        const float share = static_cast<float>(i / channels + 1) / static_cast<float>(samples_);
        frame[i] = fading_[i] + (frame[i] - fading_[i]) * share;
    }
}

void Mixer::mix() {
    const auto rows = static_cast<std::int32_t>(mixing_.size());
    const auto columns = static_cast<std::int32_t>(columns_.size());
    const auto channels = static_cast<std::int32_t>(config_.encoder.channels);
    const auto samples = static_cast<std::int32_t>(samples_);
    if (rows == 0) return;
    gains_from_.clear();
    gains_to_.clear();
    for (const Row* row : mixing_) {
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            for (const bool right : {false, true}) {
                if (right && config_.encoder.channels == 1) continue;
                gains_from_.push_back(right ? row->from[c].right : row->from[c].left);
                gains_to_.push_back(right ? row->to[c].right : row->to[c].left);
            }
        }
    }
    mixed_.resize(mixing_.size() * frame_size_);
    limited_.resize(mixed_.size());
    kernels_.mix(mixed_.data(), inputs_.data(), gains_from_.data(), gains_to_.data(), rows, columns, samples, channels);
    for (std::size_t i = 0; i < mixing_.size(); ++i) {
        kernels_.limit(frame_of(limited_, i).data(), frame_of(mixed_, i).data(), mixing_[i]->stream.limiter.data(), samples, channels);
        note_limiting(*mixing_[i], i);
    }
    row_levels_.resize(mixing_.size());
    column_levels_.resize(columns_.size());
    kernels_.levels(row_levels_.data(), limited_.data(), rows, samples * channels);
    kernels_.levels(column_levels_.data(), inputs_.data(), columns, samples * channels);
}

// ---- packets -------------------------------------------------------------------------------------------------------

std::uint8_t Mixer::wanted_of(const Row& leader) const noexcept {
    std::uint8_t wanted = 0;
    for (const auto& row : rows_) {
        if (row->leader == &leader) wanted |= row->wanted;
    }
    return wanted;
}

Mixer::Frame Mixer::encode(Row& row, std::optional<std::size_t> index, const Tick& tick) {
    Stream& stream = row.stream;
    const std::uint8_t wanted = wanted_of(row);
    if (row.ending) {
        park(stream);
        return say_nothing(stream, wanted, tick);
    }
    for (std::size_t t = 0; t < tiers; ++t) {
        Coder& coder = stream.coders[t];
        if ((wanted & variants_of(static_cast<Tier>(t))) == 0) {
            retire(coder);
        } else if (coder.passing) {
            if (coder.encoder) spare_encoders_.push_back(std::move(coder.encoder));
        } else if (!index) {
            continue;  // it ends
        } else if (!coder.encoder) {
            prime(stream, coder, static_cast<Tier>(t), tick);
        }
    }
    if (index) {
        const std::span<const float> samples = frame_of(limited_, *index);
        const bool silence = row_levels_[*index] <= -127;
        stream.silent_frames = silence ? stream.silent_frames + 1 : 0;
        stream.parked = false;
        std::rotate(stream.history.begin(), stream.history.begin() + static_cast<std::ptrdiff_t>(frame_size_), stream.history.end());
        std::copy(samples.begin(), samples.end(), frame_of(stream.history, priming_frames - 1).begin());
        if (silence && all_silent(row.to) && stream.silent_frames > settling_frames) {
            park(stream);
            return say_nothing(stream, wanted, tick);
        }
    }
    Frame frame;
    PacketRef own = passes(row) ? pass(row, tick) : PacketRef{};
    for (std::size_t t = 0; t < tiers; ++t) {
        Coder& coder = stream.coders[t];
        const Variant plain{static_cast<Tier>(t), false}, red{static_cast<Tier>(t), true};
        PacketRef packet = coder.passing ? own : coder.encoder && index ? encode(row, *index, coder, tick) : PacketRef{};
        if (!packet) continue;
        if (coder.passing) {
            tick.stats.frames_passed.add(1);
            coder.dtx = packet->bytes[0] & 0xFC;
        }
        stream.parked = false;
        stream.last_sent = tick.now;
        frame.talk |= !opus::is_dtx(packet->payload());

        if (wanted & plain.bit()) frame.packets[plain.number()] = packet;
        if (wanted & red.bit()) {
            PacketRef repeated = tick.pool.take();
            if (repeated && red::write(*repeated, coder.recent, red.redundancy(), *packet, tick.timestamp)) {
                copy_description(*packet, *repeated);
                tick.stats.frames_red.add(1);
                frame.packets[red.number()] = std::move(repeated);
            } else {
                frame.packets[red.number()] = packet;
            }
        }
        coder.recent.add(std::move(packet), tick.timestamp);
    }
    return frame;
}

PacketRef Mixer::encode(const Row& row, std::size_t index, Coder& coder, const Tick& tick) {
    PacketRef packet = tick.pool.take();
    if (!packet) {
        tick.stats.dropped_overload.add(1);
        return {};
    }
    const std::size_t size = coder.encoder->encode(frame_of(limited_, index), packet->bytes);
    if (size == 0) return {};
    tick.stats.frames_encoded.add(1);
    packet->payload_offset = 0;
    packet->payload_size = static_cast<std::uint16_t>(size);
    describe(row, row_levels_[index], *packet);
    coder.dtx = packet->bytes[0] & 0xFC;  // its mode and frame length, for a frame without bytes
    return packet;
}

Mixer::Frame Mixer::sign(Row& row, const Tick& tick) {
    Stream& stream = row.stream;
    if (stream.last_sent == Instant{} || tick.now - stream.last_sent < sign_of_life) return {};
    return say_nothing(stream, wanted_of(row), tick);
}

Mixer::Frame Mixer::say_nothing(Stream& stream, std::uint8_t wanted, const Tick& tick) const {
    Frame frame;
    for (std::size_t t = 0; t < tiers; ++t) {
        if ((wanted & variants_of(static_cast<Tier>(t))) == 0) continue;
        const PacketRef packet = tick.pool.take();
        if (!packet) continue;
        packet->bytes[0] = stream.coders[t].dtx;
        packet->payload_offset = 0;
        packet->payload_size = 1;
        packet->csrc_count = 0;
        packet->level = {};
        stream.last_sent = tick.now;
        for (const Variant each : {Variant{static_cast<Tier>(t), false}, Variant{static_cast<Tier>(t), true}}) frame.packets[each.number()] = packet;
    }
    return frame;
}

void Mixer::prime(const Stream& stream, Coder& coder, Tier tier, const Tick& tick) {
    coder.encoder = take_encoder(tier);
    // What the listeners had last from the encoder before is what they may miss; when there was none, what this one makes of the
    // same frames will do.
    const red::Recent::Frame& last = coder.recent.frames().back();
    const bool follows = last.packet && tick.timestamp - last.timestamp == samples_;
    for (std::size_t i = 0; i < priming_frames; ++i) {
        const std::span<const float> samples = std::span{stream.history}.subspan(i * frame_size_, frame_size_);
        const PacketRef packet = tick.pool.take();
        std::array<std::uint8_t, 1276> unheard;
        const std::size_t size = coder.encoder->encode(samples, packet ? MutableBytes{packet->bytes} : MutableBytes{unheard});
        tick.stats.frames_primed.add(1);
        if (!packet || size == 0 || follows) continue;
        packet->payload_offset = 0;
        packet->payload_size = static_cast<std::uint16_t>(size);
        coder.recent.add(packet, tick.timestamp - static_cast<std::uint32_t>((priming_frames - i) * samples_));
    }
}

void Mixer::retire(Coder& coder) {
    if (coder.encoder) spare_encoders_.push_back(std::move(coder.encoder));
    coder.recent = {};
    coder.passing = false;
}

void Mixer::retire(Stream& stream) {
    for (Coder& coder : stream.coders) retire(coder);
}

void Mixer::describe(const Row& row, float level_dbov, Packet& packet) const {
    packet.level = {level_dbov > -50, dbov_byte(level_dbov)};
    packet.csrc_count = 0;
    for (std::size_t c = 0; c < columns_.size() && packet.csrc_count < rtp::max_csrcs; ++c) {
        if (!sounding_[c] || row.to[c].silent() || !columns_[c].input.speaks) continue;
        packet.csrcs[packet.csrc_count] = columns_[c].input.csrc;
        packet.csrc_levels[packet.csrc_count++] = dbov_byte(column_levels_[c]);
    }
}

std::unique_ptr<opus::Encoder> Mixer::take_encoder(Tier tier) {
    const opus::EncoderConfig config = encoder_config(config_.encoder, tier);
    if (spare_encoders_.empty()) return std::make_unique<opus::Encoder>(config);
    auto encoder = std::move(spare_encoders_.back());
    spare_encoders_.pop_back();
    encoder->reset();
    encoder->tune(config);
    return encoder;
}

Mixer::Stream Mixer::fresh_stream() const {
    Stream stream;
    stream.limiter.assign(static_cast<std::size_t>(config_.encoder.channels == 2 ? kernels_.limiter_state_stereo
                                                                                 : kernels_.limiter_state_mono), 0);
    stream.history.assign(priming_frames * frame_size_, 0);
    for (Coder& coder : stream.coders) coder.dtx = dtx_packet(config_.ptime_ms);
    return stream;
}

std::span<const float> Mixer::last_frame(RowId id) const noexcept {
    for (const auto& row : rows_) {
        if (row->id == id && !row->leader->stream.history.empty()) {
            return std::span{row->leader->stream.history}.last(frame_size_);
        }
    }
    return {};
}

Mixer::Row* Mixer::find(RowId id) noexcept {
    const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const auto& row) { return row->id == id; });
    return found == rows_.end() ? nullptr : found->get();
}

}  // namespace plane
