// A bounded single-producer single-consumer ring. One thread pushes, one other thread pops; neither waits.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

namespace plane {

template <class T>
class SpscQueue {
public:
    explicit SpscQueue(std::size_t capacity)
        : mask_{std::bit_ceil(capacity) - 1}, slots_{std::make_unique<T[]>(mask_ + 1)} {}

    // Producer: false, and `value` untouched, when the ring is full.
    bool push(T&& value) noexcept {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - seen_head_ > mask_) {
            seen_head_ = head_.load(std::memory_order_acquire);
            if (tail - seen_head_ > mask_) return false;
        }
        slots_[tail & mask_] = std::move(value);
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }

    // Producer: slots that are surely free.
    std::size_t free_slots() noexcept {
        seen_head_ = head_.load(std::memory_order_acquire);
        return mask_ + 1 - (tail_.load(std::memory_order_relaxed) - seen_head_);
    }

    // Consumer: how many may be popped now.
    std::size_t readable() noexcept {
        return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_relaxed);
    }

    // Consumer: the oldest element; only when readable() > 0.
    T pop() noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        T value = std::move(slots_[head & mask_]);
        slots_[head & mask_] = T{};  // what the element owned is released now, not when the ring comes round
        head_.store(head + 1, std::memory_order_release);
        return value;
    }

private:
    const std::size_t mask_;
    const std::unique_ptr<T[]> slots_;
    alignas(64) std::atomic<std::size_t> head_{0};
    alignas(64) std::atomic<std::size_t> tail_{0};
    std::size_t seen_head_{0};  // producer's copy: saves it the consumer's cache line
};

}  // namespace plane
