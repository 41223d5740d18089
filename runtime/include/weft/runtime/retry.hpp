#pragma once
/// @file
/// `retry`: calls again what has failed, after waits that become longer.
///
/// The waits are exponential with a limit, and drawn at random up to it ("full jitter"; Marc Brooker, "Exponential
/// Backoff And Jitter", AWS Architecture Blog, 2015), so that callers who failed together do not come back together.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/error.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// How retry() goes about it.
struct retry_policy {
  /// Calls at most, with the first; at least 1.
  unsigned attempts = 3;
  /// The wait before the second call; each further one is `factor` times as long, up to `max_backoff`.
  std::chrono::nanoseconds backoff = std::chrono::milliseconds{100};
  /// At least 1, so that waits do not become shorter.
  double factor = 2.0;
  std::chrono::nanoseconds max_backoff = std::chrono::seconds{30};
  /// The part of each wait that is drawn at random, 0 to 1: a wait of 1 s takes between 0 and 1 s with 1, between 0.9
  /// and 1 s with 0.1, and exactly 1 s with 0. A runtime's environment draws, if it has one: so a simulation repeats
  /// it, and virtual time without choices takes the whole wait.
  double jitter = 1.0;
  /// Time for all calls and waits, from the beginning: a wait that would end later is not begun. A call that runs is
  /// not interrupted: that is with_timeout()'s part.
  std::chrono::nanoseconds budget = std::chrono::nanoseconds::max();
  /// Which exceptions are worth another call; empty: all. See retry_on().
  std::function<bool(std::exception_ptr const&)> retry_if{};
};

/// The name at the call: `weft::retry(weft::policy{.attempts = 5}, f)`, or without it.
using policy = retry_policy;

/// For `retry_policy::retry_if`: true for an exception that a handler of one of the types `E` would catch.
template <class... E>
[[nodiscard]] auto retry_on() {
  return [](std::exception_ptr const& error) {
    auto const is = [&error]<class One>(std::type_identity<One>) {
      try {
        std::rethrow_exception(error);
      } catch (One const&) {
        return true;
      } catch (...) {
        return false;
      }
    };
    return (is(std::type_identity<E>{}) || ...);
  };
}

namespace detail {

/// Counts calls, and waits between them.
class retry_pacer {
public:
  /// @throws std::invalid_argument  for a policy out of range, saying which
  explicit retry_pacer(retry_policy const& how);
  retry_pacer(retry_pacer const&) = delete;

  [[nodiscard]] unsigned attempt() const noexcept { return attempt_; }
  /// After a call that ended with `error`: whether there is to be another.
  [[nodiscard]] bool goes_on(std::exception_ptr const& error);
  /// Waits for it.
  void pause();

private:
  retry_policy const& how_;
  time_point const end_;
  unsigned attempt_ = 1;
  std::chrono::nanoseconds backoff_;
  time_point next_{};
};

template <class F>
decltype(auto) call_attempt(F& f, unsigned attempt) {
  if constexpr (std::invocable<F&, unsigned>) {
    return std::invoke(f, attempt);
  } else {
    return std::invoke(f);
  }
}

}  // namespace detail

/// Calls `f()`, or `f(attempt)`, which counts from 1, until it returns, as `how` says. Fibers and threads.
/// @returns what `f` returns
/// @throws the last call's exception, when `how` allows no other, its budget is used up or `retry_if` declines it
/// @throws std::invalid_argument  for a policy out of range, saying which
/// @par Cancellation
/// A cancellation point while it waits. `cancelled` is never retried: it leaves at once.
template <class F>
  requires std::invocable<F&, unsigned> || std::invocable<F&>
auto retry(retry_policy const& how, F&& f) -> decltype(detail::call_attempt(f, 1U)) {
  detail::retry_pacer pacer{how};
  for (;; pacer.pause()) {  // outside of the handler: nobody holds on to the exception meanwhile
    try {
      return detail::call_attempt(f, pacer.attempt());
    } catch (cancelled const&) {
      throw;
    } catch (...) {
      if (!pacer.goes_on(std::current_exception())) throw;
    }
  }
}

}  // namespace weft::inline v0
