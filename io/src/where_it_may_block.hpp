#pragma once
/// @file
/// Where calls to the file system are made.

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/waiter.hpp>

#include <concepts>
#include <exception>
#include <stop_token>
#include <utility>

namespace weft::inline v0::detail {

/// Calls `f()`, or `f(token)`, on a thread of the blocking pool, while the calling fiber alone waits; who is no fiber
/// holds up nobody but itself, and calls in place. `f` may refer to the caller's stack: its end is waited for.
/// A cancellation point; `f` has then either not been called, or come to its end.
/// @returns what `f` returns; throws what that throws, and as offload_blocking()
template <class F>
decltype(auto) where_it_may_block(F&& f) {
  if (current_fiber() != nullptr) return offload_blocking(std::forward<F>(f));
  check_cancelled();
  if constexpr (std::invocable<F, std::stop_token>) {
    return std::forward<F>(f)(std::stop_token{});
  } else {
    return std::forward<F>(f)();
  }
}

/// The same for what has to be done in any case, such as closing: if no thread can be had for it, in place.
/// No cancellation point.  @param f  does not throw
template <std::invocable F>
void surely_where_it_may_block(F&& f) noexcept {
  bool called = false;
  try {
    cancel_shield const shielded;
    where_it_may_block([&] {
      called = true;
      f();
    });
  } catch (...) {  // NOLINT: done below
  }
  if (!called) f();
}

}  // namespace weft::inline v0::detail
