// A room at its home worker: the columns of its gain matrix and who fills them, their order for the listeners' slots, and
// the mixer with its rows.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "effect.hpp"
#include "mixer.hpp"
#include "player.hpp"
#include "prefetch.hpp"
#include "ranking.hpp"
#include "source.hpp"
#include "tap.hpp"

namespace plane {

class Audience;
using RoomId = std::uint32_t;

// Music goes down while somebody speaks.
struct Ducking {
    float gain = 1;  // on players' columns meanwhile; 1: off
    // How long it takes to get there and back. Shorter pumps, longer covers the first words.
    Duration attack = milliseconds{120};
    Duration release = milliseconds{800};
    bool operator==(const Ducking&) const = default;
};

struct RoomConfig {
    MixConfig mix;
    bool e2ee = false;  // end-to-end encrypted: no payload is looked into, nothing is mixed
    Ducking ducking{};
};

class Room {
public:
    Room(RoomId id, const RoomConfig& config, const Kernels& kernels) : id_{id}, config_{config}, kernels_{kernels} {}
    RoomId id() const noexcept { return id_; }
    const RoomConfig& config() const noexcept { return config_; }
    // Other mix settings: rows stay, encoders and decoders begin anew.
    void configure(const RoomConfig& config);

    // Gain 0 is muted for everyone. Both give true when the order of audible sources changed.
    bool set_column(std::uint32_t csrc, float gain, Place place, Instant now);
    bool remove_column(std::uint32_t csrc);
    // What is done to the column first. Nothing happens when there is no such column.
    void set_chain(std::uint32_t csrc, std::vector<Chain::Link> links);
    // How much later the column is heard, after all that; it glides there. Of a speaker or a tap.
    void set_delay(std::uint32_t csrc, std::size_t samples);

    // Columns that no publisher fills. Nothing happens when the column is there already.
    void add_player(std::uint32_t csrc, float gain, Place place);
    // A player's music once more, later.
    void add_tap(std::uint32_t csrc, std::uint32_t player, float gain, Place place, std::size_t delay);
    void add_effect(std::uint32_t csrc, std::shared_ptr<Effect> effect, float gain, Place place);
    // Null when there is none of this csrc.
    Player* player(std::uint32_t csrc) noexcept;
    void stop_effect(std::uint32_t csrc) noexcept;
    // What players and effects have told since the last call.
    Happenings take_happenings() { return std::exchange(happenings_, {}); }

    void add_row(RowId row, std::vector<Cell> cells, std::optional<RowId> like);
    // Other cells, for all who listen to the row; the gains move there.
    void set_row(RowId row, std::vector<Cell> cells);
    void remove_row(RowId row);
    // Somebody wants this variant of the row; again within `wish` or he wants it no more. The row may still be to come.
    void want_row(RowId row, Variant variant, Instant now);
    // So long that a listener's turns may miss once.
    static constexpr Duration wish = seconds{12};

    enum class Verdict { inaudible, audible, order_changed };
    // A packet of `source` came. A newer source of the same user takes the column over with its first packet, so that who
    // joins again leaves no gap; the older is inaudible from then on.
    Verdict hear(Source& source, const Packet& packet, Instant now);
    // The source is going: true when the order changed.
    bool detach(const Source& source);

    // Each publisher who fills a column, muted or not.
    template <typename Function>
    void each_source(Function&& function) {
        for (auto& [csrc, column] : columns_) {
            if (column.source) function(*column.source);
        }
    }

    // For Worker::prefetch_senders: brings nearer what hear() and active() will read.
    void prefetch() const noexcept {
        if (mixer_) plane::prefetch(mixer_.get(), 128);
        if (!columns_.empty()) plane::prefetch(&*columns_.begin(), 128);
        plane::prefetch(static_cast<const void*>(here), 192);
    }
    // A step later.
    void prefetch_rows() const noexcept {
        if (mixer_) mixer_->prefetch();
    }

    // A room ticks while somebody is heard; a silent one has no tick and costs nothing. True when the order changed.
    bool tick(Instant now);
    // The rows' frames of the tick whose time is `due`, appended to `outputs`.
    void mix(Instant due, PacketPool& pool, std::vector<Mixer::Output>& outputs, WorkerStats& stats);
    Duration tick_interval() const noexcept { return milliseconds{config_.mix.ptime_ms}; }
    // When a tick should be, so that what has just come from this source waits no longer than his jitter buffer wants. Nothing while
    // a mix goes on, or something that is played: their time runs from tick to tick.
    std::optional<Instant> wanted_tick(const Source& source) const noexcept;
    // Whether the next tick has anything to do; when not, the next moment at which something is due.
    bool active(Instant now) const noexcept;
    std::optional<Instant> next_due() const noexcept { return mixer_ ? mixer_->next_sign_of_life() : std::nullopt; }

    // Audible sources, best rank first.
    std::vector<std::uint32_t> order() const;
    // See Mixer.
    std::span<const float> last_frame(RowId row) const noexcept { return mixer_ ? mixer_->last_frame(row) : std::span<const float>{}; }
    std::size_t mixes() const noexcept { return mixer_ ? mixer_->leaders() : 0; }

    // A number for a run of packets that continues no earlier one. Unique in the room, never 0.
    std::uint32_t next_run() noexcept {
        if (++last_run_ == 0) last_run_ = 1;
        return last_run_;
    }

    // Set by the worker. Workers whose audiences want this room's packets, by bit, and those that have not got the latest
    // order; when the room's timer is due, and the tick before; what the worker's count of mixes has of this room.
    std::uint64_t audiences = 0;
    Audience* here = nullptr;         // on the home itself
    std::uint64_t stale_orders = 0;
    Instant timer{};
    Instant last_tick{};
    std::optional<Duration> phase{};  // of its ticks; nothing: anyone
    bool aligned = false;             // it was chosen since the last tick
    std::size_t counted_mixes = 0;

private:
    struct Column {
        float gain = 0;
        Place place{};
        Source* source = nullptr;  // who fills it now
        std::shared_ptr<Chain> chain{};
        // Or what does, for as long as the column is there.
        std::shared_ptr<Player> player{};
        std::shared_ptr<Tap> tap{};
        std::shared_ptr<Effect> effect{};
        // Nobody publishes into it.
        bool is_played() const noexcept { return player || tap || effect; }
    };

    void apply_wishes(Instant now);
    void render(Instant due);
    void duck(Instant now);
    Mixer::Input input_of(std::uint32_t csrc, Column& column, Instant due);

    RoomId id_;
    RoomConfig config_;
    const Kernels& kernels_;
    std::map<std::uint32_t, Column> columns_;  // by csrc
    std::map<RowId, std::vector<Cell>> rows_;
    std::map<RowId, std::array<Instant, variants>> wishes_;  // until when each variant is wanted
    Ranking ranking_;
    std::unique_ptr<Mixer> mixer_;  // while there are rows
    std::uint32_t mixer_run_ = 0;   // run of all its rows: they share the room's media time
    std::vector<Mixer::Input> inputs_;
    std::uint32_t last_run_ = 0;
    std::vector<std::pair<std::uint32_t, Column>> leaving_;  // players and effects that are faded out in the next frame
    Happenings happenings_;
    float ducked_ = 1;              // the gain that ducking has come to
};

}  // namespace plane
