// The mixer of a room: one row of the gain matrix for each distinct thing that listeners hear, one encoder for each
// distinct row of the moment.
//
// A row is what the control side defined: all columns at their own gain, but for the cells it names (one's own voice: 0).
// On each tick only columns that sound count, so rows that differ in silent columns alone are equal. Equal rows are one
// mix: the oldest of them leads, and the others follow it: its frames, limited and encoded once, are theirs too. Once, that is,
// in each tier (tier.hpp) that somebody wants of one of them.
//
//   follow → lead   its gains part from its leader's: an encoder of its own, warmed with the leader's last frames
//   lead → follow   its gains have been an older leader's for `merge_after` frames: that encoder has heard the same by now
//   alone           a leader of whose columns one alone sounds, at its own loudness: in place of a mix its packets are sent, as the
//                   speaker sent them (passthrough.hpp), in each tier in which listeners cannot tell the difference
//   parked          a leader whose gains are all 0, and who has said so by a packet without audio: nothing is encoded or
//                   sent but that packet again, every `sign_of_life`
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "chain.hpp"
#include "kernels.hpp"
#include "opus.hpp"
#include "packet.hpp"
#include "passthrough.hpp"
#include "playout.hpp"
#include "redundancy.hpp"
#include "sound.hpp"
#include "stats.hpp"
#include "tier.hpp"

namespace plane {

using RowId = std::uint32_t;

struct MixConfig {
    opus::EncoderConfig encoder;
    unsigned ptime_ms = 20;  // 20, 40 or 60
    bool passthrough = false;  // one voice alone is not encoded again
    bool operator==(const MixConfig&) const = default;
};

// How a mix that is configured like this is encoded in a tier.
opus::EncoderConfig encoder_config(const opus::EncoderConfig& configured, Tier tier) noexcept;

// On the way from a column to a row, by channel; those of a mono mix are equal.
struct Gain {
    float left = 0, right = 0;
    bool operator==(const Gain&) const = default;
    bool silent() const noexcept { return left == 0 && right == 0; }
};

// Where a column is heard in a stereo mix: factors on its gain, by channel.
struct Place {
    float left = 1, right = 1;
};

// A cell that differs from its column: the source, the factor on its gain, and where this row hears it.
struct Cell {
    std::uint32_t csrc = 0;
    float gain = 0;
    std::optional<Place> place{};
};

class Mixer {
public:
    // Frames with which a new encoder is warmed: fewer leave a click, more cost encodes at every change of talker.
    static constexpr std::size_t priming_frames = 3;
    static constexpr unsigned merge_after = 3;
    static constexpr Duration sign_of_life = seconds{5};
    // Frames of silence that are still encoded, so that decoders end in silence before the packets do.
    static constexpr unsigned settling_frames = 5;
    // A row that was mixed is a voice alone again after so long: less flaps with every short word of another, more spends encodes,
    // and generations of coding.
    static constexpr Duration alone_after = milliseconds{100};

    // A source as the room has it at this tick. The sound is shared, so that one who leaves is faded out.
    struct Input {
        std::uint32_t csrc = 0;
        float gain = 0;                    // the column's; 0: muted, or silent
        std::shared_ptr<Sound> sound;
        Place place{};
        std::shared_ptr<Chain> chain{};    // what is done to it first
        bool speaks = true;                // it is a person, and so named among the packet's sources
        bool hushed = false;               // what it gives now is silence, though it is still mixed
    };
    // One row's frame in one variant. Followers share their leader's packet.
    struct Output {
        RowId row = 0;
        Variant variant;
        PacketRef packet;
        Position position;
    };

    Mixer(const MixConfig& config, const Kernels& kernels);

    // like: a row from which this one is a change, so that its listeners hear the gains move and no break.
    void add_row(RowId row, std::vector<Cell> cells, std::optional<RowId> like);
    void set_row(RowId row, std::vector<Cell> cells);
    void remove_row(RowId row);
    // The variants that somebody wants of the row from now on, by bit; at first the configured mix alone, in plain.
    void want(RowId row, std::uint8_t variants) noexcept;
    bool empty() const noexcept { return rows_.empty(); }

    // One frame: what every row's listeners get now. The pool must outlive the mixer, which keeps packets of it for RED. timestamp: the room's media time. inputs: every source that has a
    // column. run: of the positions. Appends what is to be sent to `outputs`.
    void tick(Instant now, std::uint32_t timestamp, std::span<const Input> inputs, std::uint32_t run, PacketPool& pool,
              std::vector<Output>& outputs, WorkerStats& stats);
    // Whether the next tick has anything to do, whatever the sources do: a leader is not parked yet.
    bool active() const noexcept;
    // Brings nearer what active() will read of the first rows.
    void prefetch() const noexcept;
    // When a parked leader wants its sign of life.
    std::optional<Instant> next_sign_of_life() const noexcept;

    const MixConfig& config() const noexcept { return config_; }
    Duration frame() const noexcept { return milliseconds{config_.ptime_ms}; }
    std::size_t leaders() const noexcept;

    // The samples of a row's last frame, before encoding; empty unless it leads. For tests and meters.
    std::span<const float> last_frame(RowId row) const noexcept;

private:
    struct Column {
        Input input;             // its gain: at the end of this tick's frame
        std::shared_ptr<Chain> chain;  // of the last frame
        bool begins = false;     // by itself, with this frame
        bool decoded = true;     // there are samples of this tick
        bool silent = false;     // it gave nothing in the last
        // What is not a speaker says nothing of itself beforehand.
        bool hushed() const noexcept { return input.hushed || (silent && !input.sound->playout()); }
    };
    // One tier of a stream.
    struct Coder {
        std::unique_ptr<opus::Encoder> encoder;   // none until something is to be said
        red::Recent recent;                       // what it said last
        std::uint8_t dtx = 0;                     // the packet without audio (RFC 6716 section 3.1), in the encoder's mode
        bool passing = false;                     // no encoder: it says what a speaker's packets say
    };
    // What makes a row a mix of its own.
    struct Stream {
        std::array<Coder, tiers> coders;
        std::vector<float> limiter;
        std::vector<float> history;               // the last priming_frames frames, as encoded, oldest first
        bool parked = true;
        unsigned silent_frames = 0;
        Instant last_sent{};                      // Instant{}: never
        const Sound* alone = nullptr;             // whose voice is the only one, for `alone_frames` ticks; to compare with
        unsigned alone_frames = 0;
        bool limited = true;                      // the last frame that was mixed was made quieter
        const Sound* cold = nullptr;              // whose packets were passed on while limiter and history stood still
    };
    // What a leader says, by variant; empty where nobody wants it or there is nothing to say.
    struct Frame {
        std::array<PacketRef, variants> packets;
        bool talk = false;
    };
    // A tick, as all who encode in it need it.
    struct Tick {
        Instant now;
        std::uint32_t timestamp;
        PacketPool& pool;
        WorkerStats& stats;
    };
    struct Row {
        RowId id = 0;
        std::vector<Cell> cells;
        Row* leader = nullptr;             // itself, or whom it follows
        Stream stream;                     // of a leader
        std::vector<Gain> from, to;        // by column
        std::optional<std::size_t> alone;  // column whose packets may stand for the mix
        bool ending = false;               // in silence, without a mix
        unsigned equal_frames = 0;         // for how long an older leader's gains were the same
        std::uint64_t sent = 0;            // index of its next packet
        std::uint8_t wanted = Variant{}.bit();  // variants
        bool talking = false;              // the next packet does not begin a talk spurt
        bool leads() const noexcept { return leader == this; }
    };

    void update_columns(std::span<const Input> inputs);
    void update_gains();
    void split_and_merge();
    void lead(Row& row);
    void follow(Row& row, Row& leader);
    void pull(Instant now, WorkerStats& stats);
    void run_chain(Column& column, std::span<float> frame);
    void mix();
    // mixer_alone.cpp
    std::optional<std::size_t> find_alone(const Row& row) const noexcept;
    void look_for_voices_alone();
    void part_voices_alone();
    void decide(Row& row, bool pulled);
    bool may_pass(const Row& row, Tier tier, const OwnPackets::Own& own) const noexcept;
    bool passes(const Row& row) const noexcept;
    bool passes_everywhere(const Row& row) const noexcept;
    Playout::Need need_of(std::size_t column, bool pulled) const noexcept;
    void warm(Row& row);
    void note_limiting(Row& row, std::size_t index) noexcept;
    bool alike(const Row& row, const Row& leader) const noexcept;
    bool ended_in_silence(const Row& row) const noexcept;
    void park(Stream& stream);
    void reset_sound(Stream& stream);
    bool needs_no_mix(const Row& row) const noexcept;
    PacketRef pass(const Row& row, const Tick& tick);
    std::uint8_t wanted_of(const Row& leader) const noexcept;
    // What the leader says of its new frame, and what it says of nothing; without packets when there is nothing to send.
    // index: of its samples among those mixed; nothing when it was not.
    Frame encode(Row& row, std::optional<std::size_t> index, const Tick& tick);
    PacketRef encode(const Row& row, std::size_t index, Coder& coder, const Tick& tick);
    Frame sign(Row& row, const Tick& tick);
    Frame say_nothing(Stream& stream, std::uint8_t wanted, const Tick& tick) const;
    void prime(const Stream& stream, Coder& coder, Tier tier, const Tick& tick);
    void retire(Coder& coder);
    void retire(Stream& stream);
    void describe(const Row& row, float level_dbov, Packet& packet) const;
    std::unique_ptr<opus::Encoder> take_encoder(Tier tier);
    Stream fresh_stream() const;
    std::span<float> frame_of(std::vector<float>& frames, std::size_t index) noexcept {
        return std::span{frames}.subspan(index * frame_size_, frame_size_);
    }
    Row* find(RowId id) noexcept;

    MixConfig config_;
    Kernels kernels_;
    std::size_t samples_;     // per channel and frame
    std::size_t frame_size_;  // samples × channels
    std::vector<std::unique_ptr<Row>> rows_;  // oldest first
    std::vector<Column> columns_;
    std::vector<Row*> mixing_;                // leaders that are mixed in this tick
    std::vector<Row*> passing_;               // and those that need not be
    std::vector<float> inputs_, fading_, mixed_, limited_, gains_from_, gains_to_, row_levels_, column_levels_;
    std::vector<bool> sounding_;              // columns that gave more than silence in this tick
    std::vector<std::unique_ptr<opus::Encoder>> spare_encoders_;
    std::optional<Merger> merger_;            // with passthrough
    OpusMode mode_;                           // of the encoders
};

}  // namespace plane
