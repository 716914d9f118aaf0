// What one listener receives: its slots and which speakers it asked for.
#pragma once

#include <string>
#include <vector>

#include "slot.hpp"

namespace plane {

class Audience;
struct Peer;

struct Listener {
    Peer* peer = nullptr;
    Audience* audience = nullptr;       // in which it is; set by it
    std::uint32_t csrc = 0;             // its own voice, which never comes back to it
    std::optional<std::uint32_t> row;   // a mix instead: its only slot carries this row of the gain matrix
    std::vector<Slot> slots;
    std::vector<std::uint32_t> named;   // slot k carries named[k]; empty: the loudest
    std::string cname;

    // Its tier, by the loss of its slots, and what was counted at the report before. Who hears speakers and has no RED gets
    // nothing else by it.
    TierByLoss tier;
    std::uint32_t reported_packets = 0, reported_asked = 0;
    bool has_tiers() const noexcept { return row || slots[0].config().red_payload_type != 0; }

    // What a slot carries that is to carry its row, or this source.
    FeedKey row_feed() const noexcept { return plane::row_feed(*row, variant(slots[0])); }
    FeedKey source_feed(const Slot& slot, std::uint32_t source) const noexcept {
        return plane::source_feed(source, variant(slot));
    }

private:
    Variant variant(const Slot& slot) const noexcept {
        return {tier.tier(), tier.tier() != Tier::clean && slot.config().red_payload_type != 0};
    }
};

}  // namespace plane
