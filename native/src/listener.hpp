// What one listener receives: its slots and which speakers it asked for.
#pragma once

#include <string>
#include <vector>

#include "slot.hpp"

namespace plane {

struct Peer;

struct Listener {
    Peer* peer = nullptr;
    std::uint32_t csrc = 0;             // its own voice, which never comes back to it
    std::vector<Slot> slots;
    std::vector<std::uint32_t> named;   // slot k carries named[k]; empty: the loudest
    std::optional<std::uint32_t> row;   // a mix instead: its only slot carries this row of the gain matrix
    std::string cname;

    // Of a listener to a mix: its tier, by the loss of its slot, and what was counted at the report before.
    TierByLoss tier;
    std::uint32_t reported_packets = 0, reported_asked = 0;
    FeedKey row_feed() const noexcept {
        const bool red = tier.tier() != Tier::clean && slots[0].config().red_payload_type != 0;
        return plane::row_feed(*row, {tier.tier(), red});
    }
};

}  // namespace plane
