// What the speakers of a room did, for its listeners in the same process: what the network model kept of their packets, and when
// they chirped. One thread uses it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "chirp.hpp"
#include "clock.hpp"

namespace load {

class Board {
public:
    // Numbers that are remembered of one speaker: 10 % of a day. What is lost beyond counts as the server's fault.
    static constexpr std::size_t max_withheld = std::size_t{1} << 19;
    // Longer no mix is under way; and a chirp of one kind is said less often.
    static constexpr plane::Duration longest = plane::milliseconds{900};

    // The model lost this packet of the speaker; numbers rise.
    void withhold(std::uint32_t speaker, std::uint32_t number) {
        auto& numbers = withheld_[speaker];
        if (numbers.size() < max_withheld) numbers.push_back(number);
    }
    // How many of those lie between two of his packets.
    std::uint64_t withheld_between(std::uint32_t speaker, std::uint32_t first, std::uint32_t last) const noexcept {
        const auto found = withheld_.find(speaker);
        if (found == withheld_.end()) return 0;
        const auto begin = std::lower_bound(found->second.begin(), found->second.end(), first);
        const auto end = std::lower_bound(begin, found->second.end(), last);
        return static_cast<std::uint64_t>(end - begin);
    }

    // The middle of a chirp was spoken then.
    void say(unsigned kind, plane::Instant at) noexcept { said_[kind][next_[kind]++ % kept] = at; }
    // How long ago what is heard now was said; nothing when nobody said it.
    std::optional<plane::Duration> since_said(unsigned kind, plane::Instant heard) const noexcept {
        std::optional<plane::Duration> found;
        for (const plane::Instant said : said_[kind]) {
            const plane::Duration since = heard - said;
            if (said != plane::Instant{} && since >= plane::Duration::zero() && since < longest && (!found || since < *found)) found = since;
        }
        return found;
    }

private:
    static constexpr std::size_t kept = 4;
    std::map<std::uint32_t, std::vector<std::uint32_t>> withheld_;  // by speaker
    std::array<std::array<plane::Instant, kept>, chirp_kinds> said_{};
    std::array<std::size_t, chirp_kinds> next_{};
};

}  // namespace load
