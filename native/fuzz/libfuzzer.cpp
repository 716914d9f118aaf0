// Lets libFuzzer begin where our own driver does: now and then it mutates a seed of the target instead of its own find.

#include <algorithm>

#include "fuzz.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned random) {
    static const std::vector<std::vector<std::uint8_t>> starts = seeds();
    // More often would keep it from building on what it has found.
    if (random % 64 == 0) {
        const std::vector<std::uint8_t>& start = starts[random / 64 % starts.size()];
        size = std::min(start.size(), max_size);
        std::copy_n(start.begin(), size, data);
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
