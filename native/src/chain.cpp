#include "chain.hpp"

namespace plane {

Chain::Chain(std::vector<Link> links, unsigned channels, std::optional<std::size_t> delay)
    : links_{std::move(links)}, channels_{channels}, wanted_delay_{delay} {
    if (delay) line_.emplace(channels, *delay);
    for (const Link& link : links_) {
        states_.emplace_back(static_cast<std::size_t>(channels == 2 ? link.stage.state_stereo : link.stage.state_mono));
    }
}

void Chain::process(std::span<float> frame) noexcept {
    const auto samples = static_cast<std::int32_t>(frame.size() / channels_);
    for (std::size_t i = 0; i < links_.size(); ++i) {
        if (links_[i].denoiser) {
            links_[i].denoiser->process(frame);
            continue;
        }
        links_[i].stage.process(frame.data(), states_[i].data(), links_[i].params.data(), samples, static_cast<std::int32_t>(channels_));
    }
    if (line_) line_->process(frame);
}

std::vector<Chain::Link> Chain::links_for(unsigned channels) const {
    std::vector<Link> links = links_;
    for (Link& link : links) {
        if (link.denoiser) link.denoiser = std::make_shared<Denoiser>(channels);
    }
    return links;
}

void Chain::set_delay(std::size_t samples) {
    wanted_delay_ = samples;
    if (line_) return line_->set_delay(samples);
    line_.emplace(channels_, 0);
    line_->set_delay(samples);
}

void Chain::continue_from(const Chain& other) {
    if (line_ && other.line_ && other.channels_ == channels_) {
        const std::size_t wanted = *wanted_delay_;
        line_ = other.line_;
        line_->set_delay(wanted);
    }
    std::vector<bool> taken(other.links_.size());
    for (std::size_t i = 0; i < links_.size(); ++i) {
        for (std::size_t k = 0; k < other.links_.size(); ++k) {
            if (taken[k] || !links_[i].is_like(other.links_[k]) || other.channels_ != channels_) continue;
            states_[i] = other.states_[k];
            taken[k] = true;
            break;
        }
    }
}

std::uint32_t Chain::tail_samples() const noexcept {
    std::uint32_t tail = static_cast<std::uint32_t>(wanted_delay_.value_or(0));
    for (const Link& link : links_) tail += static_cast<std::uint32_t>(link.stage.tail_samples);
    return tail;
}

}  // namespace plane
