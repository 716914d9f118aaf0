// What is done to a column before it is mixed: stages, kernels of one signature (kernels.hpp), one after the other.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "delay_line.hpp"
#include "kernels.hpp"

namespace plane {

class Chain {
public:
    struct Link {
        Stage stage;
        std::vector<float> params;
        bool operator==(const Link& other) const noexcept { return stage.process == other.stage.process && params == other.params; }
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
