#pragma once
/// @file
/// `offload` and `offload_blocking`: calls that would hold up a worker, because they compute or because they block, on
/// threads of the runtime's own. `offload_pool.hpp` has pools of the user's own.

#include <weft/runtime/detail/offload_job.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/waiter.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// Choices for one offloaded call. A call that is given any owns its callable and its arguments.
struct offload_options {
  /// Shown in reports of what a shutdown waits for; copied.
  std::string_view name{};
  /// A caller that is cancelled while the call runs leaves at once. The call goes on; its stop token is stopped, its
  /// result is dropped, and its exception goes to `on_unhandled_exception`. The shutdown of the caller's runtime still
  /// waits for it. A thread in a cancel scope of its own leaves, too, if that is not within another offloaded call;
  /// then the exception is reported on stderr, and only the pool waits.
  bool abandon_on_cancel = false;
};

namespace detail {

template <class F>
concept not_options = !std::same_as<std::remove_cvref_t<F>, offload_options>;

template <class F, class... Args>
decltype(auto) run_borrowed(job_route route, F&& f, Args&&... args) {
  using result = job_result_of<F, Args...>;
  check_callable<std::remove_cvref_t<F>>(f);
  auto stop = make_stop_source<takes_token<F, Args...>>();
  auto call = [&]() -> result { return call_with_token(stop, std::forward<F>(f), std::forward<Args>(args)...); };
  borrowed_job<result, decltype(call)> job{call};
  if (pass_job(route, job, stop, false) != job_outcome::ended) throw_cancelled();
  return std::move(job).take();
}

template <class F, class... Args>
job_result_of<std::decay_t<F>, std::decay_t<Args>...> run_owned(job_route route, offload_options const& options, F&& f,
                                                                Args&&... args) {
  using result = job_result_of<std::decay_t<F>, std::decay_t<Args>...>;
  static_assert(!(is_reference_wrapper<std::decay_t<F>> || ... || is_reference_wrapper<std::decay_t<Args>>),
                "a call with offload_options owns its arguments: a reference_wrapper refers to what may be gone");
  static_assert(!std::is_reference_v<result>,
                "a call with offload_options returns a value: what it refers to may be gone");
  using job_type = owned_job<result, std::decay_t<F>, std::decay_t<Args>...>;
  check_callable<std::decay_t<F>>(f);
  if (!options.abandon_on_cancel) {
    job_type job{options.name, std::forward<F>(f), std::forward<Args>(args)...};
    if (pass_job(route, job, job.stop, false) != job_outcome::ended) throw_cancelled();
    return std::move(job).take();
  }
  auto job = std::make_unique<job_type>(options.name, std::forward<F>(f), std::forward<Args>(args)...);
  // A copy: once left, the job may be gone.
  auto stop = job->stop;
  auto const outcome = pass_job(route, *job, stop, true);
  if (outcome == job_outcome::left) (void)job.release();
  if (outcome != job_outcome::ended) throw_cancelled();
  return std::move(*job).take();
}

}  // namespace detail

/// Calls `f(args...)` on a thread of the runtime's pool for work that computes, and parks only the calling fiber. If
/// `f` takes a `std::stop_token` first, it gets one that is stopped when the fiber is cancelled. `f` and the arguments
/// may refer to the caller's stack: the call returns only when `f` has. While the pool's queue is full the caller waits
/// for room. On a thread of either pool of a runtime it runs in place. Waits inside `f` are waits of an OS thread.
/// @returns what `f` returns; throws what it throws
/// @throws no_runtime  outside of a runtime
/// @throws std::bad_alloc; std::system_error  if the pool has no thread yet and none can be had
/// @par Cancellation
/// A cancellation point. Cancelled before `f` started, it is not called; cancelled while it runs, its end is waited
/// for, and then `cancelled` is thrown.
template <class F, class... Args>
  requires detail::not_options<F>
decltype(auto) offload(F&& f, Args&&... args) {
  return detail::run_borrowed({}, std::forward<F>(f), std::forward<Args>(args)...);
}

/// The same with choices. `f` and the arguments are moved or copied into the call, as by spawn(), and `f` returns a
/// value. References are refused at compile time where they can be seen, in arguments and results; but neither
/// pointers, views nor what a lambda captures can be checked: with `abandon_on_cancel` none of them may refer to what
/// the caller's stack holds, or to anything else that ends before the call.
/// @par Cancellation
/// As above; with `abandon_on_cancel` the caller does not wait for a call that runs, and `cancelled` is thrown at once.
template <class F, class... Args>
auto offload(offload_options const& options, F&& f, Args&&... args) {
  return detail::run_owned({}, options, std::forward<F>(f), std::forward<Args>(args)...);
}

/// offload() for calls that block: on a pool that makes a thread whenever none is idle, up to
/// `runtime_options::blocking_threads_max`. At the limit callers wait, in order. A thread that has had nothing to do
/// for ten seconds ends.
template <class F, class... Args>
  requires detail::not_options<F>
decltype(auto) offload_blocking(F&& f, Args&&... args) {
  return detail::run_borrowed({nullptr, detail::job_route::kind::blocking}, std::forward<F>(f),
                              std::forward<Args>(args)...);
}

/// The same with choices, as of offload().
template <class F, class... Args>
auto offload_blocking(offload_options const& options, F&& f, Args&&... args) {
  return detail::run_owned({nullptr, detail::job_route::kind::blocking}, options, std::forward<F>(f),
                           std::forward<Args>(args)...);
}

}  // namespace weft::inline v0
