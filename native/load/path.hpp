// A network as a seeded model: what becomes of each datagram that one peer sends, or gets. It knows no datagrams, and no clock.
#pragma once

#include <array>
#include <span>

#include "clock.hpp"
#include "random.hpp"

namespace load {

struct PathConfig {
    double loss = 0;             // share of datagrams, 0..1
    double burst = 1;            // mean number that is lost in a row; up to 1: each by itself
    plane::Duration delay{};     // of each
    plane::Duration jitter{};    // more than that, evenly spread; the order is kept, as queues do
    double duplicate = 0;        // share of datagrams that come twice
    bool operator==(const PathConfig&) const = default;
    bool clean() const noexcept { return *this == PathConfig{}; }
};

class Path {
public:
    Path(const PathConfig& config, std::uint64_t seed) noexcept : config_{config}, random_{seed} {}

    const PathConfig& config() const noexcept { return config_; }
    // When the copies of a datagram arrive that sets out at `now`: none when it is lost, two when it is doubled. The first is the
    // datagram. Valid until the next call.
    std::span<const plane::Instant> pass(plane::Instant now) noexcept;
    // The latest arrival so far.
    plane::Instant last() const noexcept { return last_; }

private:
    bool lost() noexcept;

    PathConfig config_;
    Random random_;
    bool bad_ = false;            // the state in which all is lost (Gilbert, 1960)
    plane::Instant last_{};       // the latest arrival so far
    std::array<plane::Instant, 2> arrivals_{};
};

}  // namespace load
