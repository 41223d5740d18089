#pragma once
/// @file
/// A lock for sections of a few instructions, which may be taken by a worker and released by the same thread a moment
/// later. It spins briefly and then sleeps, so that a holder that lost its CPU is not waited for in a loop.

#include <weft/runtime/detail/atomics.hpp>

#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

/// Tells the processor that this is a waiting loop.
inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

/// Satisfies Lockable. States as in Drepper, "Futexes are tricky": 0 free, 1 held, 2 held and somebody may sleep.
/// @tparam Atomics  see atomics.hpp
/// @tparam Turns    how long it spins
template <class Atomics = std_atomics, int Turns = 100>
class basic_spin_lock {
public:
  void lock() noexcept {
    if (!try_lock()) [[unlikely]]
      lock_slowly();
  }

  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t free = 0;
    // acquire: pairs with unlock(). relaxed: who fails has learned nothing.
    return state_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed);
  }

  void unlock() noexcept {
    // release: publishes the section to the next lock().
    if (state_.exchange(0, std::memory_order_release) == 2) [[unlikely]]
      state_.notify_one();
  }

private:
  [[gnu::noinline]] void lock_slowly() noexcept {
    for (int turn = 0; turn < Turns; ++turn) {
      Atomics::pause(0);
      if (state_.load(std::memory_order_relaxed) == 0 && try_lock()) return;
    }
    // acquire: as in try_lock(). The wait only tells when to try again.
    while (state_.exchange(2, std::memory_order_acquire) != 0) state_.wait(2, std::memory_order_relaxed);
  }

  typename Atomics::template atomic<std::uint32_t> state_{0};
};

using spin_lock = basic_spin_lock<>;

}  // namespace weft::inline v0::detail
