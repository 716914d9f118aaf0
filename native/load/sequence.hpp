// Numbers that should come one after the other: which did not, which came twice, which came behind later ones.
#pragma once

#include <array>
#include <cstdint>

namespace load {

class Sequence {
public:
    // Numbers that are told apart from a repetition. More costs memory per stream, less calls late packets lost for good.
    static constexpr std::uint64_t window = 512;
    // A jump by more, forward or back, is a new beginning and not a loss: 3,000 packets are a minute.
    static constexpr std::uint64_t max_jump = 3000;

    enum class Verdict { next, ahead, late, duplicate, restart };

    // Whether record() would call it a duplicate.
    bool has(std::uint64_t number) const noexcept;
    Verdict record(std::uint64_t number) noexcept;

    bool begun() const noexcept { return begun_; }
    std::uint64_t highest() const noexcept { return highest_; }
    std::uint64_t received() const noexcept { return received_; }   // different ones
    std::uint64_t expected() const noexcept { return before_ + (begun_ ? highest_ - first_ + 1 : 0); }
    std::uint64_t lost() const noexcept { return expected() - received_; }
    // The full number of one of which only the low 16 bits are known: the nearest to the highest.
    std::uint64_t extend(std::uint16_t low) const noexcept;

private:
    bool get(std::uint64_t number) const noexcept { return bits_[number % window / 64] >> (number % 64) & 1; }
    void set(std::uint64_t number) noexcept { bits_[number % window / 64] |= std::uint64_t{1} << (number % 64); }
    void clear(std::uint64_t number) noexcept { bits_[number % window / 64] &= ~(std::uint64_t{1} << (number % 64)); }
    void begin(std::uint64_t number) noexcept;

    bool begun_ = false;
    std::uint64_t first_ = 0, highest_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t before_ = 0;  // expected before the last new beginning
    std::array<std::uint64_t, window / 64> bits_{};
};

}  // namespace load
