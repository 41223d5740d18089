#pragma once
/// @file
/// Calls with a time limit: `cancel_scope`s with a deadline, in one line.
///
///     auto page = weft::with_timeout(2s, [&] { return fetch(url); });            // throws timeout_error
///     if (auto page = weft::move_on_after(2s, [&] { return fetch(url); })) ...   // an empty optional
///
/// The callable may take the scope, to move the deadline. It is not interrupted while it computes: its next wait is.

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>

#include <chrono>
#include <utility>

namespace weft::inline v0 {

namespace detail {
/// A time limit has passed, and its scope has been left.  @throws cancelled  of an outer scope, or else timeout_error
[[noreturn]] void throw_timeout();

/// @param limit  a duration or a time_point
template <class Limit, class F>
result_in_scope<F> call_with_limit(Limit limit, F&& f) {
  {
    cancel_scope scope{limit};
    try {
      return call_in_scope(std::forward<F>(f), scope);
    } catch (cancelled const& c) {
      if (!scope.owns(c)) throw;
    }
  }
  throw_timeout();
}
}  // namespace detail

/// Calls `f` with a deadline.
/// @returns what `f` returns, also after the deadline: a value wins, and so does any other exception.
/// @throws timeout_error  if the deadline has ended a wait of `f`, and no outer scope has been cancelled meanwhile:
/// that
///   wins.
/// @throws cancelled  as any wait
/// A deadline that has passed already throws at `f`'s first wait.
template <scope_callable F>
detail::result_in_scope<F> with_deadline(time_point deadline, F&& f) {
  return detail::call_with_limit(deadline, std::forward<F>(f));
}

/// The same with a time point of any clock.
template <class Clock, class Duration, scope_callable F>
detail::result_in_scope<F> with_deadline(std::chrono::time_point<Clock, Duration> deadline, F&& f) {
  return weft::with_deadline(detail::to_deadline(deadline), std::forward<F>(f));
}

/// The same with a deadline `limit` from now. With zero or less, `f`'s first wait throws.
template <class Rep, class Period, scope_callable F>
detail::result_in_scope<F> with_timeout(std::chrono::duration<Rep, Period> limit, F&& f) {
  return detail::call_with_limit(limit, std::forward<F>(f));
}

/// Calls `f` with a deadline, and goes on without its result when that ends one of its waits.
/// @returns whether `f` came to its end, or an optional with its value
/// @throws cancelled  as any wait; and what else `f` throws
template <scope_callable F>
[[nodiscard]] maybe_result_t<F> move_on_at(time_point deadline, F&& f) {
  cancel_scope scope{deadline};
  return scope.run(std::forward<F>(f));
}

/// The same with a time point of any clock.
template <class Clock, class Duration, scope_callable F>
[[nodiscard]] maybe_result_t<F> move_on_at(std::chrono::time_point<Clock, Duration> deadline, F&& f) {
  return weft::move_on_at(detail::to_deadline(deadline), std::forward<F>(f));
}

/// The same with a deadline `limit` from now.
template <class Rep, class Period, scope_callable F>
[[nodiscard]] maybe_result_t<F> move_on_after(std::chrono::duration<Rep, Period> limit, F&& f) {
  cancel_scope scope{limit};
  return scope.run(std::forward<F>(f));
}

}  // namespace weft::inline v0
