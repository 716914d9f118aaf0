// A room at its home worker: the columns of its gain matrix, who fills them, and their order for the listeners' slots.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "clock.hpp"
#include "ranking.hpp"
#include "source.hpp"

namespace plane {

using RoomId = std::uint32_t;

class Room {
public:
    // Every 20 ms while somebody may speak; a silent room has no tick and costs nothing.
    static constexpr Duration tick_interval = milliseconds{20};

    explicit Room(RoomId id) : id_{id} {}
    RoomId id() const noexcept { return id_; }

    // Gain 0 is muted for everyone. Both give true when the order of audible sources changed.
    bool set_column(std::uint32_t csrc, float gain, Instant now);
    bool remove_column(std::uint32_t csrc);

    enum class Verdict { inaudible, audible, order_changed };
    // A packet of `source` came. A newer source of the same user takes the column over with its first packet, so that who
    // joins again leaves no gap; the older is inaudible from then on.
    Verdict hear(Source& source, Instant now);
    // The source is going: true when the order changed.
    bool detach(const Source& source);

    // True when the order changed.
    bool tick(Instant now);
    // Whether the next tick has anything to do.
    bool active(Instant now) const noexcept;

    // Audible sources, best rank first.
    std::vector<std::uint32_t> order() const;

    // A number for a run of packets that continues no earlier one. Unique in the room, never 0.
    std::uint32_t next_run() noexcept {
        if (++last_run_ == 0) last_run_ = 1;
        return last_run_;
    }

    // Workers whose audiences want this room's packets, by bit, and those that have not got the latest order.
    std::uint64_t audiences = 0;
    std::uint64_t stale_orders = 0;
    bool ticking = false;

private:
    struct Column {
        float gain = 0;
        Source* source = nullptr;  // who fills it now
    };

    RoomId id_;
    std::map<std::uint32_t, Column> columns_;  // by csrc
    Ranking ranking_;
    std::uint32_t last_run_ = 0;
};

}  // namespace plane
