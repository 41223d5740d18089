#pragma once
/// @file
/// Waiting on the CPU, for a moment, for what another CPU is about to do.

#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

/// Whether somebody else may be running just now, on another CPU: there is more than one, and, on a worker, another
/// worker is busy. (The first two conditions of Go's `runtime_canSpin`, src/runtime/proc.go. Its third, that no fiber
/// is ready here, is left out: to park and be woken takes longer than this.)
[[nodiscard]] bool others_may_run() noexcept;
/// About half a microsecond. Long enough that a loop of looks does not take the line from who works on it.
void pause_briefly() noexcept;

/// How it went before, with one thing that is waited for; decides whether to spin again. (As glibc's adaptive mutexes
/// and folly's spinning locks do.)
class spin_history {
public:
  constexpr spin_history() noexcept = default;

  /// Nobody has had to wait yet, or not lately. relaxed: a statistic, as in spin().
  [[nodiscard]] bool untried() const noexcept { return credit_.load(std::memory_order_relaxed) == 0; }

  /// Spins until `there()`, for about four microseconds at most, if that seems worth while.  @returns whether it is
  /// there
  template <class F>
  [[nodiscard]] bool spin(F&& there) noexcept {
    // All relaxed: a statistic, on which nothing else depends; of two notes at once one may be lost.
    int const credit = credit_.load(std::memory_order_relaxed);
    if (credit < 0) {
      note(credit + 1);
      return false;
    }
    if (!others_may_run()) return false;
    for (int round = 0; round < rounds; ++round) {
      pause_briefly();
      if (there()) {
        if (credit < most) note(credit + 1);
        return true;
      }
    }
    note(credit > 0 ? credit / 2 : -times_without);
    return false;
  }

private:
  static constexpr int rounds = 8;
  static constexpr int most = 16;
  static constexpr int times_without = 64;

  void note(int credit) noexcept { credit_.store(static_cast<std::int8_t>(credit), std::memory_order_relaxed); }

  std::atomic<std::int8_t> credit_{0};  // below 0: so often not to try
};

}  // namespace weft::inline v0::detail
