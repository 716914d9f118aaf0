// The mixing kernels in plain C++, for tests of what calls them: those of the product are numba's (mediaserver/kernels).
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace plane {

inline void reference_mix(float* out, const float* inputs, const float* from, const float* to, std::int32_t rows, std::int32_t columns,
                          std::int32_t samples, std::int32_t channels) {
    for (std::int32_t r = 0; r < rows; ++r) {
        for (std::int32_t n = 0; n < samples; ++n) {
            for (std::int32_t c = 0; c < channels; ++c) {
                float sum = 0;
                for (std::int32_t k = 0; k < columns; ++k) {
                    const std::int32_t cell = (r * columns + k) * channels + c;
                    const float gain = from[cell] + (to[cell] - from[cell]) * static_cast<float>(n + 1) / static_cast<float>(samples);
                    sum += inputs[(k * samples + n) * channels + c] * gain;
                }
                out[(r * samples + n) * channels + c] = sum;
            }
        }
    }
}

// A limiter that only delays by one sample: enough to see that state is carried over.
inline void reference_limit(float* out, const float* in, float* state, std::int32_t samples, std::int32_t channels) {
    for (std::int32_t i = 0; i < samples * channels; ++i) {
        out[i] = i < channels ? state[i] : in[i - channels];
    }
    for (std::int32_t c = 0; c < channels; ++c) state[c] = in[(samples - 1) * channels + c];
}

inline void reference_levels(float* dbov, const float* in, std::int32_t rows, std::int32_t samples) {
    for (std::int32_t r = 0; r < rows; ++r) {
        double energy = 0;
        for (std::int32_t i = 0; i < samples; ++i) energy += double{in[r * samples + i]} * in[r * samples + i];
        dbov[r] = static_cast<float>(std::max(-127.0, 10 * std::log10(energy / samples + 1e-30)));
    }
}

inline Kernels reference_kernels() { return {reference_mix, reference_limit, reference_levels, 1, 2}; }

}  // namespace plane
