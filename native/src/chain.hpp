// What is done to a column before it is mixed: stages, kernels of one signature (kernels.hpp), one after the other.
#pragma once

#include <span>
#include <vector>

#include "kernels.hpp"

namespace plane {

class Chain {
public:
    struct Link {
        Stage stage;
        std::vector<float> params;
        bool operator==(const Link& other) const noexcept { return stage.process == other.stage.process && params == other.params; }
    };

    explicit Chain(std::vector<Link> links, unsigned channels);

    // In place: interleaved samples of a tick's frame.
    void process(std::span<float> frame) noexcept;
    // Stages that the other has too go on from where they are there.
    void continue_from(const Chain& other);
    // For so long it sounds on after its source has fallen silent, samples.
    std::uint32_t tail_samples() const noexcept;
    const std::vector<Link>& links() const noexcept { return links_; }

private:
    std::vector<Link> links_;
    std::vector<std::vector<float>> states_;
    unsigned channels_;
};

}  // namespace plane
