// A player's music in a second column, later: for those who hear singers who sing to it.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "delay_line.hpp"
#include "player.hpp"

namespace plane {

class Tap final : public Sound {
public:
    Tap(std::shared_ptr<Player> player, unsigned channels, std::size_t delay)
        : player_{std::move(player)}, channels_{channels}, wanted_{delay}, line_{channels, delay} {}

    // The same for mixes of other channels.
    Tap(const Tap& other, unsigned channels) : Tap{other.player_, channels, other.wanted_} {}

    void set_delay(std::size_t samples) noexcept {
        wanted_ = samples;
        line_.set_delay(samples);
    }
    double delay() const noexcept { return line_.delay(); }

    // As Player::render(), after the player's.
    void render(std::size_t samples) {
        frame_.resize(samples * channels_);
        player_->pull({}, frame_);
        // What comes out is what went in so long ago.
        left_ = player_->sounds() ? static_cast<std::size_t>(line_.delay()) + samples : left_ - std::min(left_, samples);
        line_.process(frame_);
    }
    bool sounds() const noexcept { return left_ > 0; }
    bool active() const noexcept { return left_ > 0 || player_->active(); }

    bool pull(Instant, std::span<float> out) noexcept override {
        std::fill(out.begin(), out.end(), 0.0F);
        std::copy_n(frame_.begin(), std::min(frame_.size(), out.size()), out.begin());
        return sounds();
    }
    void pass(Instant) noexcept override {}
    bool begin() noexcept override { return false; }
    void count(WorkerStats&) noexcept override {}

private:
    std::shared_ptr<Player> player_;
    unsigned channels_;
    std::size_t wanted_;
    DelayLine line_;
    std::vector<float> frame_;
    std::size_t left_ = 0;  // samples until the last of the music has come out
};

}  // namespace plane
