// What is done to a column before it is mixed: stages, kernels of one signature (kernels.hpp), one after the other.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "delay_line.hpp"
#include "denoise.hpp"
#include "kernels.hpp"

namespace plane {

class Chain {
public:
    struct Link {
        Stage stage;
        std::vector<float> params;
        std::shared_ptr<Denoiser> denoiser{};  // of a stage that denoises, made where it may take its time
        bool is_like(const Link& other) const noexcept { return stage.process == other.stage.process && !stage.denoises && !other.stage.denoises; }
    };

    // delay: by which it all comes later in the end, samples; none without a value.
    Chain(std::vector<Link> links, unsigned channels, std::optional<std::size_t> delay = {});

    // In place: interleaved samples of a tick's frame.
    void process(std::span<float> frame) noexcept;
    // Stages that the other has too go on from where they are there.
    void continue_from(const Chain& other);
    // For so long it sounds on after its source has fallen silent, samples.
    std::uint32_t tail_samples() const noexcept;
    const std::vector<Link>& links() const noexcept { return links_; }
    // The same for frames of so many channels.
    std::vector<Link> links_for(unsigned channels) const;
    // A delay that it has already glides to another.
    std::optional<std::size_t> delay() const noexcept { return wanted_delay_; }
    void set_delay(std::size_t samples);

private:
    std::vector<Link> links_;
    std::vector<std::vector<float>> states_;
    unsigned channels_;
    std::optional<std::size_t> wanted_delay_;
    std::optional<DelayLine> line_;
};

}  // namespace plane
