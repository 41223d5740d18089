#pragma once
/// @file
/// `call_once`: what all need, and the first does. As in `std`, for fibers and threads.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>
#include <concepts>
#include <functional>
#include <utility>

namespace weft::inline v0 {

namespace detail {
class once_turn;
}

/// Whether something has been done. One for each thing to do. It may be static: its end does nothing.
class once_flag {
public:
  constexpr once_flag() noexcept = default;
  once_flag(once_flag const&) = delete;
  once_flag& operator=(once_flag const&) = delete;

private:
  friend class detail::once_turn;

  static constexpr auto done_flag = detail::wait_list::flag_a;
  static constexpr auto busy_flag = detail::wait_list::flag_b;
  [[nodiscard]] bool is_done() const noexcept { return (list_.flags() & done_flag) != 0; }
  enum class found : unsigned char { free, done, busy };
  /// @returns `free` if the caller is to do it; `busy` if `deadline` has passed
  found begin(time_point deadline);
  found try_begin() noexcept;
  void end(bool done) noexcept;

  detail::wait_list list_;
};

namespace detail {

/// On behalf of a caller, who does it unless that has been done.
class once_turn {
public:
  explicit once_turn(once_flag& flag) noexcept : flag_(flag) {}
  once_turn(once_turn const&) = delete;
  ~once_turn() {
    if (ours_) flag_.end(done_);
  }

  /// @returns whether it has been done, if need be by `f`; otherwise another was at it when `deadline` passed
  template <class F, class... Args>
  bool call(time_point deadline, F&& f, Args&&... args) {
    if (flag_.is_done()) return true;
    return call_if(flag_.begin(deadline), std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// The same, and does not wait.
  template <class F, class... Args>
  bool try_call(F&& f, Args&&... args) {
    if (flag_.is_done()) return true;
    return call_if(flag_.try_begin(), std::forward<F>(f), std::forward<Args>(args)...);
  }

private:
  template <class F, class... Args>
  bool call_if(once_flag::found found, F&& f, Args&&... args) {
    if (found != once_flag::found::free) return found == once_flag::found::done;
    ours_ = true;
    std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    return done_ = true;
  }

  once_flag& flag_;
  bool ours_ = false;
  bool done_ = false;
};

}  // namespace detail

/// Calls `f(args...)` if no earlier call has returned for `flag`. Who comes while another calls waits for that; if it
/// throws, the exception goes to that caller, and the next in line calls.
/// @par Cancellation
/// A cancellation point, except where it has been done already. Who is cancelled while it waits leaves the call to
/// others.
/// @par Memory ordering
/// All that the call did is visible to whoever returns.
template <class F, class... Args>
  requires std::invocable<F, Args...>
void call_once(once_flag& flag, F&& f, Args&&... args) {
  (void)detail::once_turn{flag}.call(never, std::forward<F>(f), std::forward<Args>(args)...);
}

/// The same, but never waits for another, and is no cancellation point.
/// @returns whether it has been done; otherwise another is at it
template <class F, class... Args>
  requires std::invocable<F, Args...>
[[nodiscard]] bool try_call_once(once_flag& flag, F&& f, Args&&... args) {
  return detail::once_turn{flag}.try_call(std::forward<F>(f), std::forward<Args>(args)...);
}

/// The same, but waits for another at most for `limit`, which is none for `f`.  @returns as try_call_once()
template <class Rep, class Period, class F, class... Args>
  requires std::invocable<F, Args...>
[[nodiscard]] bool call_once_for(once_flag& flag, std::chrono::duration<Rep, Period> limit, F&& f, Args&&... args) {
  return detail::once_turn{flag}.call(detail::deadline_after(detail::to_nanoseconds(limit)), std::forward<F>(f),
                                      std::forward<Args>(args)...);
}

/// The same, but waits for another at most until `deadline`.  @returns as try_call_once()
template <class Clock, class Duration, class F, class... Args>
  requires std::invocable<F, Args...>
[[nodiscard]] bool call_once_until(once_flag& flag, std::chrono::time_point<Clock, Duration> deadline, F&& f,
                                   Args&&... args) {
  return detail::once_turn{flag}.call(detail::to_deadline(deadline), std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace weft::inline v0
