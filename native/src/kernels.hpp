// The mixing kernels: written in Python (mediaserver/kernels/), compiled by numba, called here by address.
// All samples are float, interleaved; sizes count samples per channel.
#pragma once

#include <cstdint>

namespace plane {

// What is done to one column: in place, `state` of zeros is fresh, `params` are the stage's own.
struct Stage {
    using Process = void (*)(float* samples, float* state, const float* params, std::int32_t count, std::int32_t channels);
    Process process = nullptr;
    std::int32_t state_mono = 0;    // floats of state
    std::int32_t state_stereo = 0;
    std::int32_t params = 0;        // floats
    bool denoises = false;          // in place of a kernel, a Denoiser (denoise.hpp)
    std::int32_t tail_samples = 0;  // for which it sounds on after its input has fallen silent
};

struct Kernels {
    // out [rows][samples][channels] = gains [rows][columns][channels] × inputs [columns][samples][channels]; the gains
    // go from `from` to `to` over the frame.
    using Mix = void (*)(float* out, const float* inputs, const float* from, const float* to, std::int32_t rows,
                         std::int32_t columns, std::int32_t samples, std::int32_t channels);
    // Look-ahead limiter of one row; delays by limiter_delay. A state of zeros is fresh.
    using Limit = void (*)(float* out, const float* in, float* state, std::int32_t samples, std::int32_t channels);
    // dbov [rows]: level of each row of `samples` values, -127..0.
    using Levels = void (*)(float* dbov, const float* in, std::int32_t rows, std::int32_t samples);

    Mix mix = nullptr;
    Limit limit = nullptr;
    Levels levels = nullptr;
    std::int32_t limiter_state_mono = 0;    // floats of state
    std::int32_t limiter_state_stereo = 0;

    std::int32_t limiter_delay = 0;         // samples by which a limited row follows its mix

    bool complete() const noexcept { return mix && limit && levels; }
};

}  // namespace plane
