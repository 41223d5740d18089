#pragma once
/// @file
/// The seam for determinism: what the scheduler asks of the world around it.

#include <weft/runtime/clock.hpp>

#include <cstddef>

namespace weft {

/// Time and choice as a one-worker runtime sees them. A runtime without one uses the real clock and runs fibers in
/// order. All members are called on the worker alone.
class environment {
public:
  environment() = default;
  environment(environment const&) = delete;
  environment& operator=(environment const&) = delete;
  virtual ~environment() = default;

  /// The present; never goes back.
  [[nodiscard]] virtual time_point now() noexcept = 0;

  /// Which of `ready` fibers, counted in queue order, runs next.
  [[nodiscard]] virtual std::size_t choose(std::size_t ready) noexcept = 0;

  /// Nothing can run before `deadline` (`never`: before something from outside).
  /// @returns true if now() has become `deadline`; false to sleep in real time.
  [[nodiscard]] virtual bool skip_to(time_point deadline) noexcept = 0;
};

}  // namespace weft
