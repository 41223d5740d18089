#pragma once
/// @file
/// `barrier`: those who wait go on together when enough of them have come; and again.

#include <weft/compat/wait_queue.hpp>

#include <cstddef>

namespace weft::inline v0::compat::fibers {

class barrier {
public:
  /// @throws fiber_error  invalid_argument, for 0
  explicit barrier(std::size_t initial);
  barrier(barrier const&) = delete;
  barrier& operator=(barrier const&) = delete;

  /// Waits for the others. A cancellation point: cancelled means not counted.
  /// @returns true to the one who came last
  bool wait();

private:
  std::size_t const initial_;
  std::size_t missing_;
  std::size_t cycle_ = 0;
  detail::guard guard_;
  detail::wait_queue line_;
};

}  // namespace weft::inline v0::compat::fibers
