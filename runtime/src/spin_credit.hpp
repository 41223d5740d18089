#pragma once
/// @file
/// Whether it is worth while to spin for something before sleeping, judged by how it went before.

#include "coarse_clock.hpp"
#include "cpu_count.hpp"
#include "spin_lock.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

class spin_credit {
public:
  /// Spins until `there()`, if that seems worth while, for 20 to 50 us at most at 1 to 2.5 GHz: to sleep and to be
  /// woken costs the two sides together about as much. Any thread.
  /// @returns whether it is there
  template <class F>
  [[nodiscard]] bool spin(F&& there) noexcept {
    // All relaxed: a statistic, on which nothing else depends; two at once may lose one of their notes.
    int const credit = credit_.load(std::memory_order_relaxed);
    if (!several_cpus()) return false;
    if (credit < 0) {
      credit_.store(credit + 1, std::memory_order_relaxed);
      return false;
    }
    for (auto const start = coarse_now(); coarse_now() - start < longest;) {
      if (there()) {
        credit_.store(std::min(credit + 1, most), std::memory_order_relaxed);
        return true;
      }
      cpu_relax();
    }
    credit_.store(credit > 0 ? credit / 2 : -times_without, std::memory_order_relaxed);
    return false;
  }

private:
  static constexpr std::uint64_t longest = 50'000;
  static constexpr int most = 16;
  static constexpr int times_without = 64;

  /// With one CPU, who spins only keeps from running what it waits for.
  static bool several_cpus() noexcept {
    static bool const several = cpu_count() > 1;
    return several;
  }

  std::atomic<int> credit_{0};  // below 0: so often not to try
};

}  // namespace weft::inline v0::detail
