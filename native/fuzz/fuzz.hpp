// What a fuzz target gives: the entry point that libFuzzer and our own driver call, and valid inputs to mutate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Inputs to start from, for our own driver (main.cpp) and for libFuzzer (libfuzzer.cpp).
std::vector<std::vector<std::uint8_t>> seeds();

// A broken invariant ends the process, as a crash does. Not assert(): it must hold in every kind of build.
#define FUZZ_REQUIRE(condition)                                                                     \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);     \
            std::abort();                                                                           \
        }                                                                                           \
    } while (false)
