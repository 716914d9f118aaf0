#include "ice.hpp"

#include <algorithm>
#include <utility>

namespace plane {

IceLite::Outcome IceLite::request(Instant now, const Endpoint& from, std::uint16_t socket, Bytes datagram,
                                  const stun::Request& request) {
    Outcome outcome;
    if (request.local_ufrag == current_.ufrag && stun::authentic(datagram, request, current_.password)) {
        outcome.password = current_.password;
        if (previous_) outcome.retired_ufrag = std::exchange(previous_, std::nullopt)->ufrag;
    } else if (previous_ && request.local_ufrag == previous_->ufrag &&
               stun::authentic(datagram, request, previous_->password)) {
        outcome.password = previous_->password;
    } else {
        return outcome;
    }

    Path& path = admit(from, socket, outcome);
    path.last_request = now;
    path.bytes_received += datagram.size();
    last_request_ = now;
    consent_until_ = now + consent_lifetime;
    outcome.path = &path;
    if (request.use_candidate && !request.controlled) {
        const int index = static_cast<int>(&path - paths_.data());
        outcome.selected_changed = index != selected_;
        selected_ = index;
    }
    return outcome;
}

std::string IceLite::restart(IceCredentials credentials) {
    // A second restart before the first was used keeps the credentials that the peer really has.
    std::string unused;
    if (previous_) {
        unused = std::move(current_.ufrag);
    } else {
        previous_ = std::move(current_);
    }
    current_ = std::move(credentials);
    return unused;
}

Path* IceLite::find(const Endpoint& remote) noexcept {
    const auto end = paths_.begin() + static_cast<std::ptrdiff_t>(path_count_);
    const auto found = std::find_if(paths_.begin(), end, [&](const Path& path) { return path.remote == remote; });
    return found == end ? nullptr : &*found;
}

void IceLite::forget(const Endpoint& remote) noexcept {
    Path* path = find(remote);
    if (!path) return;
    const int index = static_cast<int>(path - paths_.data());
    const int last = static_cast<int>(--path_count_);
    if (selected_ == index) {
        selected_ = -1;
    } else if (selected_ == last) {
        selected_ = index;
    }
    *path = paths_[path_count_];
}

Path* IceLite::selected() noexcept {
    if (selected_ >= 0) return &paths_[static_cast<std::size_t>(selected_)];
    const auto end = paths_.begin() + static_cast<std::ptrdiff_t>(path_count_);
    const auto latest = std::max_element(paths_.begin(), end,
                                         [](const Path& a, const Path& b) { return a.last_request < b.last_request; });
    return latest == end ? nullptr : &*latest;
}

bool IceLite::allow(Path& path, std::size_t bytes) noexcept {
    if (!proved_ && path.bytes_sent + bytes > amplification_limit * path.bytes_received) return false;
    path.bytes_sent += bytes;
    return true;
}

Path& IceLite::admit(const Endpoint& from, std::uint16_t socket, Outcome& outcome) {
    if (Path* known = find(from)) {
        known->socket = socket;
        return *known;
    }
    if (path_count_ < max_paths) {
        paths_[path_count_] = {from, socket, 0, 0, {}};
        return paths_[path_count_++];
    }
    std::size_t oldest = selected_ == 0 ? 1 : 0;
    for (std::size_t i = 0; i < path_count_; ++i) {
        if (static_cast<int>(i) != selected_ && paths_[i].last_request < paths_[oldest].last_request) oldest = i;
    }
    outcome.evicted = paths_[oldest];
    paths_[oldest] = {from, socket, 0, 0, {}};
    return paths_[oldest];
}

}  // namespace plane
