#pragma once
/// @file
/// What W13 counts with. The peers in other languages have the same, line by line.

#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "workload.hpp"

namespace bench {

inline constexpr std::size_t w13_timed = 450;         ///< tasks that a timer wakes; each then wakes one that waits
inline constexpr std::size_t w13_heavy = 100;         ///< tasks that compute
inline constexpr std::uint64_t w13_work = 6'500'000;  ///< steps of theirs: about 10 ms
inline constexpr std::chrono::milliseconds w13_period{100};
inline constexpr unsigned w13_heavy_periods = 20;  ///< between two of their computations

/// Pure computation: a chain in which each step needs the last, and which no compiler shortens.
inline std::uint64_t compute(std::uint64_t state, std::uint64_t steps) {
  for (std::uint64_t i = 0; i < steps; ++i) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
  }
  return state;
}

/// Every value is counted, in buckets of which 32 lie between two powers of two: 3 % wide at most.
class latency_histogram {
public:
  void add(std::int64_t ns) {
    counts_[bucket(ns > 0 ? static_cast<std::uint64_t>(ns) : 0)].fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < buckets; ++i) sum += counts_[i].load(std::memory_order_relaxed);
    return sum;
  }

  /// The upper edge of the bucket below which the share `q` lies, in microseconds.
  [[nodiscard]] double quantile_us(double q) const {
    auto const all = total();
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < buckets; ++i) {
      below += counts_[i].load(std::memory_order_relaxed);
      if (static_cast<double>(below) >= q * static_cast<double>(all)) return static_cast<double>(edge(i + 1)) / 1e3;
    }
    return 0;
  }

  /// Prints `NAME_p50_us`, `NAME_p99_us` and `NAME_p999_us`.
  void report(std::string const& name) const {
    metric((name + "_p50_us").c_str(), quantile_us(0.5), "us");
    metric((name + "_p99_us").c_str(), quantile_us(0.99), "us");
    metric((name + "_p999_us").c_str(), quantile_us(0.999), "us");
  }

private:
  static constexpr std::size_t buckets = 64 * 32;

  static std::size_t bucket(std::uint64_t ns) {
    if (ns < 32) return ns;
    auto const shift = static_cast<unsigned>(std::bit_width(ns)) - 6U;
    return (shift + 1) * 32U + ((ns >> shift) - 32U);
  }
  static std::uint64_t edge(std::size_t bucket) {
    if (bucket < 32) return bucket;
    return (std::uint64_t{bucket % 32} + 32U) << (bucket / 32 - 1);
  }

  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_ = std::make_unique<std::atomic<std::uint64_t>[]>(buckets);
};

}  // namespace bench
