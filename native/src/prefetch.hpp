// Memory that will be wanted in a moment is asked for now, so that it comes while something else is being done.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plane {

// Only a hint: no address is wrong, and nothing is read.
inline void prefetch(const void* from, std::size_t bytes) noexcept {
    constexpr std::uintptr_t line = 64;
    const auto begin = reinterpret_cast<std::uintptr_t>(from);
    for (std::uintptr_t at = begin & ~(line - 1); at < begin + bytes; at += line) __builtin_prefetch(reinterpret_cast<const void*>(at));
}

template <class T>
void prefetch(const T* object) noexcept {
    prefetch(object, sizeof(T));
}

}  // namespace plane
