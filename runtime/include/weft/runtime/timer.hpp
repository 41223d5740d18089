#pragma once
/// @file
/// `after` and `every`: calls that are due later. Each is a fiber that sleeps until a call is due and then makes it, so
/// the callable may wait like any other (rule 19), and the handle is an ordinary `task`: it is cancelled, waited for,
/// detached and dropped like one.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// What every() does when a call is due and the one before has not ended.
enum class overlap : unsigned char {
  skip,        ///< does not make it. The next call is the first whose time has not passed when the running one ends
  queue,       ///< makes it when the one before has ended, at once: none is lost, and calls never overlap
  concurrent,  ///< makes it all the same, on time, as a fiber of its own: the callable must bear that
};

namespace detail {

/// Parks the calling fiber until `due`, unless that has come already.
void sleep_before(time_point due);

/// Makes the calls `call(f)` until the calling fiber is cancelled.
void call_every(time_point start, std::chrono::nanoseconds period, overlap late, void (*call)(void*), void* f);
/// @throws std::invalid_argument  if it is not positive
[[nodiscard]] std::chrono::nanoseconds checked_period(std::chrono::nanoseconds period);

template <class F>
struct delayed_call {
  time_point due;
  F f;
  std::invoke_result_t<F> operator()() && {
    sleep_before(due);
    return std::invoke(std::move(f));
  }
};

template <class F>
struct repeated_call {
  time_point start;
  std::chrono::nanoseconds period;
  overlap late;
  F f;
  void operator()() && {
    call_every(start, period, late, [](void* self) { (void)std::invoke(*static_cast<F*>(self)); }, std::addressof(f));
  }
};

template <class F>
auto spawn_after(spawn_options const* options, std::chrono::nanoseconds d, F&& f) {
  using callable = std::decay_t<F>;
  check_callable<callable>(f);
  return spawn_in(nullptr, options, delayed_call<callable>{deadline_after(d), std::forward<F>(f)});
}

template <class F>
task<void> spawn_every(spawn_options const* options, std::chrono::nanoseconds period, F&& f, overlap late) {
  using callable = std::decay_t<F>;
  check_callable<callable>(f);
  auto const checked = checked_period(period);
  auto const start = deadline_after(std::chrono::nanoseconds{0});
  return spawn_in(nullptr, options, repeated_call<callable>{start, checked, late, std::forward<F>(f)});
}

}  // namespace detail

/// A callable that every() can call again and again.
template <class F>
concept repeatable = std::constructible_from<std::decay_t<F>, F> && std::invocable<std::decay_t<F>&>;

/// Calls `f()` once, on a fiber of the caller's runtime, when `d` has passed: at once, that is behind the fibers that
/// are ready now, for zero or less; never for a `d` past the end of time.
///
/// The returned task ends with what `f` returns or throws. Cancelled before the call is due, it ends without the call;
/// later, `f`'s next wait throws. Dropping the handle cancels; detach() lets the call come by itself. An exception that
/// nobody collects goes to `on_unhandled_exception`.
/// Until the call is due it costs a parked fiber. Not a cancellation point.
/// @throws what weft::spawn() throws
template <class Rep, class Period, class F>
  requires spawnable<F>
task<detail::spawn_result<F>> after(std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::spawn_after(nullptr, detail::to_nanoseconds(d), std::forward<F>(f));
}

/// The same with choices for the fiber.
template <class Rep, class Period, class F>
  requires spawnable<F>
task<detail::spawn_result<F>> after(spawn_options const& options, std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::spawn_after(&options, detail::to_nanoseconds(d), std::forward<F>(f));
}

/// Calls `f()` again and again, on fibers of the caller's runtime, until it is cancelled. The n-th call is due at the
/// present plus n times `period`, however long calls take and however late they come: it does not drift. A call that
/// comes late, because the machine is busy, is still made; `late` says what becomes of one that is due while another
/// runs. With skip and queue all calls are made on one fiber, which gives way to others before a call that is late.
///
/// What `f` returns is dropped. What it throws goes to `on_unhandled_exception`, and the calls go on; only its own
/// cancellation ends them. Cancelling the returned task, or dropping it, ends the sleep and cancels the calls that run;
/// the task ends, as cancelled, when they have ended. A period past the end of time means never. Not a cancellation
/// point.
/// @throws std::invalid_argument  for a period of zero or less
/// @throws what weft::spawn() throws
template <class Rep, class Period, class F>
  requires repeatable<F>
task<void> every(std::chrono::duration<Rep, Period> period, F&& f, overlap late = overlap::skip) {
  return detail::spawn_every(nullptr, detail::to_nanoseconds(period), std::forward<F>(f), late);
}

/// The same with choices for the fiber; concurrent calls have its name and stack size.
template <class Rep, class Period, class F>
  requires repeatable<F>
task<void> every(spawn_options const& options, std::chrono::duration<Rep, Period> period, F&& f,
                 overlap late = overlap::skip) {
  return detail::spawn_every(&options, detail::to_nanoseconds(period), std::forward<F>(f), late);
}

}  // namespace weft::inline v0
