// Runs a fuzz target without libFuzzer, where only g++ is at hand: `fuzz_rtp [COUNT [SEED]]`.
//
// Inputs are the target's seeds, mutations of them, and random bytes. The same COUNT and SEED give the same inputs; the
// one that fails is written to standard error before the process ends.

#include <csignal>
#include <cstring>
#include <random>
#include <string>
#include <unistd.h>

#include "fuzz.hpp"

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t max_input = 1500;

// What the signal handler prints: plain memory, since a handler can use little else.
const Input* running = nullptr;

extern "C" void print_input(int signal) {
    if (running != nullptr) {
        constexpr char digits[] = "0123456789abcdef";
        char text[2 * max_input + 1];
        std::size_t length = 0;
        for (std::size_t i = 0; i < running->size() && i < max_input; ++i) {
            text[length++] = digits[(*running)[i] >> 4];
            text[length++] = digits[(*running)[i] & 15];
        }
        text[length++] = '\n';
        if (write(STDERR_FILENO, text, length) < 0) _exit(2);
    }
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

class Mutator {
public:
    explicit Mutator(std::uint64_t seed) : random_(seed) {}

    Input next(const std::vector<Input>& corpus) {
        if (corpus.empty() || below(8) == 0) return random_bytes(below(200));
        Input input = corpus[below(corpus.size())];
        for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input, corpus);
        if (input.size() > max_input) input.resize(max_input);
        return input;
    }

private:
    void change(Input& input, const std::vector<Input>& corpus) {
        const std::size_t at = below(input.size() + 1);
        const auto position = input.begin() + static_cast<std::ptrdiff_t>(at);
        switch (below(7)) {
        case 0:
            if (at < input.size()) input[at] ^= static_cast<std::uint8_t>(1U << below(8));
            break;
        case 1:
            if (at < input.size()) input[at] = interesting();
            break;
        case 2:
            input.resize(at);
            break;
        case 3: {
            const Input more = random_bytes(1 + below(8));
            input.insert(position, more.begin(), more.end());
            break;
        }
        case 4: {
            const std::size_t count = below(input.size() - at + 1);
            input.erase(position, position + static_cast<std::ptrdiff_t>(count));
            break;
        }
        case 5:
            if (input.size() - at >= 2) input[at] = input[at + 1] = interesting();
            break;
        case 6: {
            const Input& other = corpus[below(corpus.size())];
            const std::size_t from = below(other.size() + 1);
            input.resize(at);
            input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
            break;
        }
        }
    }

    // Limits of lengths and counts are where parsers err.
    std::uint8_t interesting() {
        constexpr std::uint8_t values[] = {0, 1, 2, 3, 4, 8, 15, 16, 31, 32, 127, 128, 254, 255};
        return values[below(sizeof values)];
    }

    Input random_bytes(std::size_t size) {
        Input bytes(size);
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
        return bytes;
    }

    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

    std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
    const unsigned long count = argc > 1 ? std::stoul(argv[1]) : 100'000;
    const unsigned long seed = argc > 2 ? std::stoul(argv[2]) : 1;
    std::signal(SIGABRT, print_input);
    std::signal(SIGSEGV, print_input);

    const std::vector<Input> corpus = seeds();
    Mutator mutator(seed);
    Input input;
    running = &input;
    for (const Input& start : corpus) {
        input = start;
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    for (unsigned long i = 0; i < count; ++i) {
        input = mutator.next(corpus);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%s: %zu seeds and %lu inputs from seed %lu\n", argv[0], corpus.size(), count, seed);
    return 0;
}
