#pragma once
/// @file
/// The choices of a simulated network: all follow from one seed.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weft::inline v0::testing {

class dice {
public:
  void restart(std::uint64_t seed) noexcept { state_ = seed; }

  /// SplitMix64 (Steele, Lea and Flood, 2014).
  std::uint64_t roll() noexcept {
    state_ += 0x9E3779B97F4A7C15U;
    auto z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }

  [[nodiscard]] bool chance(double probability) noexcept {
    constexpr double scale = 1.0 / static_cast<double>(std::uint64_t{1} << 53U);
    return probability > 0 && static_cast<double>(roll() >> 11U) * scale < probability;
  }

  /// From 0 to `most`.
  [[nodiscard]] std::uint64_t up_to(std::uint64_t most) noexcept {
    return most == ~std::uint64_t{0} ? roll() : roll() % (most + 1);
  }

  [[nodiscard]] std::chrono::nanoseconds between(std::chrono::nanoseconds least,
                                                 std::chrono::nanoseconds most) noexcept {
    if (most <= least) return least;
    return least + std::chrono::nanoseconds{
                       static_cast<std::int64_t>(up_to(static_cast<std::uint64_t>((most - least).count())))};
  }

private:
  std::uint64_t state_ = 0;
};

}  // namespace weft::inline v0::testing
