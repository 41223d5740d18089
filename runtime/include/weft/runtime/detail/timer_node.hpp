#pragma once
/// @file
/// A timer's place in a wheel. It lives in whatever waits for it; the wheel itself is private to the runtime.

#include <weft/runtime/clock.hpp>

#include <cstdint>

namespace weft::inline v0 {
class waiter;
}

namespace weft::inline v0::detail {

class timer_wheel;

/// All fields are guarded by the lock of `wheel`, once armed. Those without a value get one when it is armed: most
/// waits have no deadline.
struct timer_node {
  timer_wheel* wheel = nullptr;  ///< written by the one who arms, before; null: not armed since
  timer_node* next;
  timer_node* prev;
  timer_node* earlier;  ///< linked into the same list some time before; may be gone: only to be fetched
  time_point deadline;
  waiter* owner;  ///< whose wait ends at the deadline; by who arms, before
  std::uint16_t slot;
  bool linked;
};

}  // namespace weft::inline v0::detail
