#pragma once
/// @file
/// `await_callback`: an API that answers by a callback, called as if it returned the answer.
///
///     int const answer = weft::await_callback<int>([&](auto resolve) { ask(question, resolve); });
///
/// Where the API is C's and takes a function and a `void*`, the handle goes to the heap:
///
///     weft::await_callback<int>([&](auto resolve) {
///       using handle = decltype(resolve);
///       ask(question, [](void* data, int answer) {
///         std::unique_ptr<handle> const owned{static_cast<handle*>(data)};
///         (*owned)(answer);
///       }, new handle(resolve));
///     });

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/future_state.hpp>
#include <weft/runtime/error.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

namespace detail {

/// What all copies of a handle share; the last one breaks the promise, unless it was kept.
template <class T>
struct callback_end {
  explicit callback_end(future_owner<T> owner) noexcept : state(std::move(owner)) {}
  callback_end(callback_end const&) = delete;
  ~callback_end() {
    state.get()->abandon("weft::await_callback: all copies of resolve were dropped, and none was called");
  }
  future_owner<T> state;
};

template <class T, class F>
T await_callback(time_point deadline, F&& start);

}  // namespace detail

/// Gives await_callback() its answer, once. May be copied and kept for as long as one likes; all copies stand for the
/// same call. When the last one dies and none was called, the caller gets `broken_promise`.
/// @tparam T  may be void, an lvalue reference, or move-only
/// @par Thread safety
/// All members, from any fiber and any thread, at once, on one copy or several.
/// @par Memory ordering
/// All that was done before the answer is visible to who gets it.
template <class T>
class resolver {
  static_assert(!std::is_rvalue_reference_v<T>, "weft::await_callback: a value, an lvalue reference or void");
  using state = detail::future_value<T>;

public:
  /// Answers. Does not wait, and never throws, so that it may be called from C: what making a `T` of `value` throws
  /// becomes the answer.
  /// @returns whether the caller gets this answer: false if there has been one, or the caller has left
  template <class U = T>
    requires(!std::is_void_v<T> && !std::is_reference_v<T> && std::constructible_from<T, U>)
  bool operator()(U&& value) const noexcept {
    return end_->state.get()->try_set(std::forward<U>(value));
  }
  template <class U>
    requires(std::is_reference_v<T> && std::convertible_to<U*, std::remove_reference_t<T>*>)
  bool operator()(U& value) const noexcept {
    return end_->state.get()->try_set(std::addressof(value));
  }
  bool operator()() const noexcept
    requires std::is_void_v<T>
  {
    return end_->state.get()->try_set();
  }

  /// Answers with an exception.  @returns as above
  bool reject(std::exception_ptr error) const noexcept {
    if (!error) error = std::make_exception_ptr(std::invalid_argument("weft::resolver::reject: a null pointer"));
    return end_->state.get()->try_set_exception(std::move(error));
  }
  /// The same with an exception that is made here.
  template <class E>
    requires(!std::same_as<std::remove_cvref_t<E>, std::exception_ptr> &&
             !std::same_as<std::remove_cvref_t<E>, std::nullptr_t>)
  bool reject(E error) const noexcept {
    return reject(std::make_exception_ptr(std::move(error)));
  }

private:
  template <class U, class F>
  friend U detail::await_callback(time_point deadline, F&& start);
  /// @throws std::bad_alloc
  explicit resolver(detail::future_owner<T> owner)
      : end_(std::make_shared<detail::callback_end<T>>(std::move(owner))) {}

  std::shared_ptr<detail::callback_end<T>> end_;
};

namespace detail {

template <class T, class F>
T await_callback(time_point deadline, F&& start) {
  check_cancelled();  // before anything is begun
  future_owner<T> const answer{new future_value<T>};
  std::invoke(std::forward<F>(start), resolver<T>{answer});
  if (!answer.get()->await(deadline, "a callback")) throw timeout_error("weft::await_callback: no answer in time");
  return answer.get()->take();
}

}  // namespace detail

/// Calls `start(resolve)` and waits until somebody calls `resolve(value)`, or `resolve.reject(exception)`: at once, in
/// `start`, or later, on whatever fiber or thread. `resolve` is a `resolver<T>`. A fiber parks, a thread sleeps.
/// @tparam T  what the answer is; void: `resolve()` only tells that it is done
/// @returns the answer; throws what it was rejected with, and what leaves `start`
/// @throws broken_promise  when all copies of `resolve` are gone, and none was called
/// @throws std::bad_alloc
/// @par Cancellation
/// A cancellation point before `start` is called, and while there is no answer. Who is cancelled leaves at once; an
/// answer that comes later is refused, and touches nothing of the caller's. An answer that was accepted is returned.
template <class T, class F>
  requires std::invocable<F, resolver<T>>
T await_callback(F&& start) {
  return detail::await_callback<T>(never, std::forward<F>(start));
}

/// The same, for at most `limit`; with 0 an answer must come while `start` runs.
/// @throws timeout_error  if there is none by then; one that comes later is refused
template <class T, class Rep, class Period, class F>
  requires std::invocable<F, resolver<T>>
T await_callback_for(std::chrono::duration<Rep, Period> limit, F&& start) {
  return detail::await_callback<T>(detail::deadline_after(detail::to_nanoseconds(limit)), std::forward<F>(start));
}

/// The same until `deadline`.
template <class T, class Clock, class Duration, class F>
  requires std::invocable<F, resolver<T>>
T await_callback_until(std::chrono::time_point<Clock, Duration> deadline, F&& start) {
  return detail::await_callback<T>(detail::to_deadline(deadline), std::forward<F>(start));
}

}  // namespace weft::inline v0
