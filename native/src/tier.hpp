// How well a listener is protected, by the loss of its packets. All who listen to equal rows in one tier share one encode, and
// all who hear one speaker in one tier share its copies, so tiers are few.
#pragma once

#include <array>
#include <cstdint>

#include "clock.hpp"

namespace plane {

// clean: as the room is configured. lossy: in-band FEC that expects loss, and for those who negotiated RED the frame before
// again. very_lossy: the two frames before again, and fewer bits for each frame where it has many.
enum class Tier : std::uint8_t { clean, lossy, very_lossy };
constexpr std::size_t tiers = 3;

// What a feed of a row is: a tier, in RED or plain. One of a source is the same in all tiers but for its copies.
struct Variant {
    Tier tier = Tier::clean;
    bool red = false;
    bool operator==(const Variant&) const = default;

    constexpr std::size_t number() const noexcept { return static_cast<std::size_t>(tier) * 2 + (red ? 1 : 0); }
    // A set of variants is a word.
    constexpr std::uint8_t bit() const noexcept { return static_cast<std::uint8_t>(1U << number()); }
    // Frames that go again with each.
    constexpr unsigned redundancy() const noexcept { return red ? static_cast<unsigned>(tier) : 0; }
};
constexpr std::size_t variants = tiers * 2;
constexpr Variant variant(std::size_t number) noexcept { return {static_cast<Tier>(number / 2), number % 2 != 0}; }
constexpr std::uint8_t variants_of(Tier tier) noexcept { return static_cast<std::uint8_t>(3U << (static_cast<unsigned>(tier) * 2)); }

// Moves a listener between tiers: up at once, by as many as the loss asks for; down by one, when it was better for a while.
class TierByLoss {
public:
    // Shares of packets from which a tier is taken, and below which it is left. Lower spends bits and encodes on networks
    // that lose little; higher leaves listeners with gaps. The distance keeps those in between where they are.
    static constexpr std::array<double, tiers> enter{0, 0.03, 0.08};
    static constexpr std::array<double, tiers> leave{0, 0.01, 0.04};
    // Reports in a row that must be better. Browsers send one in 5 s, so 3 are 15 s; fewer would flap with bursts.
    static constexpr unsigned patience = 3;
    // Reports that come sooner after the last are not looked at, so that a client can change tiers once a second at most.
    static constexpr Duration spacing = seconds{1};
    // Nor are those of fewer packets: half a second of talk says nothing of a share.
    static constexpr std::uint32_t least_packets = 25;

    Tier tier() const noexcept { return tier_; }
    // lost: share 0..1 of the packets since the last report, as far as anybody knows. packets: how many were sent since the last
    // report that counted. True when the report counted.
    bool report(Instant now, double lost, std::uint32_t packets) noexcept;

private:
    Tier tier_ = Tier::clean;
    unsigned better_ = 0;
    Instant last_{};
};

}  // namespace plane
