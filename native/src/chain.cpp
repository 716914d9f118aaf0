#include "chain.hpp"

namespace plane {

Chain::Chain(std::vector<Link> links, unsigned channels) : links_{std::move(links)}, channels_{channels} {
    for (const Link& link : links_) {
        states_.emplace_back(static_cast<std::size_t>(channels == 2 ? link.stage.state_stereo : link.stage.state_mono));
    }
}

void Chain::process(std::span<float> frame) noexcept {
    const auto samples = static_cast<std::int32_t>(frame.size() / channels_);
    for (std::size_t i = 0; i < links_.size(); ++i) {
        links_[i].stage.process(frame.data(), states_[i].data(), links_[i].params.data(), samples, static_cast<std::int32_t>(channels_));
    }
}

void Chain::continue_from(const Chain& other) {
    std::vector<bool> taken(other.links_.size());
    for (std::size_t i = 0; i < links_.size(); ++i) {
        for (std::size_t k = 0; k < other.links_.size(); ++k) {
            if (taken[k] || other.links_[k].stage.process != links_[i].stage.process || other.channels_ != channels_) continue;
            states_[i] = other.states_[k];
            taken[k] = true;
            break;
        }
    }
}

std::uint32_t Chain::tail_samples() const noexcept {
    std::uint32_t tail = 0;
    for (const Link& link : links_) tail += static_cast<std::uint32_t>(link.stage.tail_samples);
    return tail;
}

}  // namespace plane
