#pragma once
/// @file
/// The atomics that lock-free structures are built from, as a policy parameter: the real ones here, a model checker's
/// in the models (see tests/models), so that what is checked is the very code that runs.

#include <atomic>

namespace weft::inline v0::detail {

/// Two threads that each write one word and then read the other's need a barrier between the two on both sides. Where
/// one side is hot and the other rare, the rare side can pay for both: `heavy()` makes the kernel run a barrier on
/// every thread of the process, and `light()` then need only keep the compiler from reordering (Linux membarrier(2);
/// the idea is in folly's AsymmetricThreadFence). Where the kernel has none, `asymmetric()` is false and the callers
/// take their other path.
struct thread_barrier {
  static void light() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }
  static void heavy() noexcept;
  [[nodiscard]] static bool asymmetric() noexcept;
};

/// The policy of production.
struct std_atomics {
  template <class T>
  using atomic = std::atomic<T>;
  /// A plain variable; the model checker's counterpart is watched for data races.
  template <class T>
  using plain = T;
  using barrier = thread_barrier;
  /// One turn of a loop that waits for a few instructions of another thread: the first turns spin, later ones give up
  /// the CPU, which the other may have lost.
  static void pause(unsigned turn) noexcept;
  /// One turn of a loop that tries for a lock which others take again and again, each time for a few instructions. Long
  /// enough for its holder to do so many times while the lock and what it guards are in its cache (Anderson, "The
  /// performance of spin lock alternatives", 1990): to take it as soon as it is free costs both sides more.
  static void back_off(unsigned turn) noexcept;
};

}  // namespace weft::inline v0::detail
