#pragma once
/// @file
/// In virtual time there are no other threads: an offloaded call runs on its caller's fiber, and takes no
/// time but what it says that it takes by testing::spend().

#include <weft/runtime/clock.hpp>

#include <chrono>
#include <stop_token>

namespace weft::inline v0::detail {

struct fiber_extras;

/// While it lives, the calling fiber stands for the thread on which the call would run.
class call_in_place {
public:
  /// @param stop  the call's, to be stopped when the fiber is cancelled
  /// @throws std::bad_alloc
  explicit call_in_place(std::stop_source& stop);
  call_in_place(call_in_place const&) = delete;
  ~call_in_place();

  /// Parks the fiber for so long, as the caller of the call would be; told of its cancellation meanwhile, it stops the
  /// call's token and waits on, for calls are waited for.
  void spend(std::chrono::nanoseconds duration) noexcept;

private:
  fiber_extras& of_;
  call_in_place* const outer_;
  std::stop_source& stop_;
};

}  // namespace weft::inline v0::detail
