#pragma once
/// @file
/// `offload`: CPU-bound work away from the workers.

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/waiter.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

/// One call on its way through the pool. Lives on the caller's stack, which waits for its end.
struct offload_job {
  virtual void run() noexcept = 0;
  offload_job* next = nullptr;  ///< guarded by the pool, while queued
  wait_list end{};              ///< flag_a: has run

protected:
  ~offload_job() = default;
};

/// Passes `job` through the pool of the caller's runtime and waits for it. If the caller is cancelled meanwhile, `stop`
/// is requested, and the job is still waited for.  @returns whether it was cancelled, so that the result is void
[[nodiscard]] bool run_offloaded(offload_job& job, std::stop_source& stop);
[[noreturn]] void throw_cancelled();

/// A job that keeps what `F` returned or threw.
template <class T, class F>
struct offload_call final : offload_job {
  explicit offload_call(F& f) noexcept : f_(f) {}
  void run() noexcept override {
    try {
      if constexpr (std::is_void_v<T>) {
        f_();
      } else if constexpr (std::is_reference_v<T>) {
        auto&& result = f_();
        value_ = std::addressof(result);
      } else {
        value_.emplace(f_());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  T take() && {
    if (error_) std::rethrow_exception(error_);
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*value_);
    }
  }

private:
  F& f_;
  std::exception_ptr error_;
  std::conditional_t<std::is_void_v<T>, char,
                     std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::optional<T>>>
      value_{};
};

template <class F, class... Args>
decltype(auto) call_with_token(std::stop_token const& token, F&& f, Args&&... args) {
  if constexpr (std::invocable<F, std::stop_token, Args...>) {
    return std::invoke(std::forward<F>(f), token, std::forward<Args>(args)...);
  } else {
    (void)token;
    return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
  }
}

}  // namespace detail

/// Calls `f(args...)` on a pool thread and parks only the calling fiber. If `f` takes a `std::stop_token` first, it
/// gets one that is stopped when the fiber is cancelled. `f` and the arguments may refer to the caller's stack: the
/// call returns only when `f` has. While the pool's queue is full the caller waits for room. On a pool thread of the
/// same runtime it runs in place.
/// @returns what `f` returns; throws what it throws
/// @throws no_runtime  outside of a runtime
/// @throws std::bad_alloc; std::system_error  if the pool has no thread yet and none can be had
/// @par Cancellation
/// A cancellation point. Cancelled before `f` started, it is not called; cancelled while it runs, its end is waited
/// for, and then `cancelled` is thrown.
template <class F, class... Args>
decltype(auto) offload(F&& f, Args&&... args) {
  using result = decltype(detail::call_with_token(std::stop_token{}, std::forward<F>(f), std::forward<Args>(args)...));
  detail::check_callable<std::remove_cvref_t<F>>(f);
  std::stop_source stop;
  auto call = [&]() -> result {
    return detail::call_with_token(stop.get_token(), std::forward<F>(f), std::forward<Args>(args)...);
  };
  detail::offload_call<result, decltype(call)> held{call};
  if (detail::run_offloaded(held, stop)) detail::throw_cancelled();
  return std::move(held).take();
}

}  // namespace weft
