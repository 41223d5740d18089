#pragma once
/// @file
/// What the running fiber can say of itself, and how it gives way.

#include <weft/runtime/clock.hpp>

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

namespace weft::inline v0 {

/// Identifies a fiber for as long as the process lives.
class fiber_id {
public:
  /// No fiber.
  constexpr fiber_id() noexcept = default;
  explicit constexpr fiber_id(std::uint64_t value) noexcept : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }
  friend constexpr auto operator<=>(fiber_id, fiber_id) noexcept = default;

private:
  std::uint64_t value_ = 0;
};

/// Parks the caller until `deadline`; on a thread that is not a worker, the thread. A cancellation point, also when the
/// deadline has passed.
void sleep_until(time_point deadline);

namespace this_fiber {

/// Lets every other ready fiber run first; where more are ready than a worker's queue holds, 2048, the rest have their
/// turns now and then. On a thread that is not a worker: `std::this_thread::yield()`. A cancellation point; a deadline
/// that has passed it may notice only after a few more.
void yield();

/// Parks the caller for at least `d`. Zero or less yields. A cancellation point.
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
  auto const ns = detail::to_nanoseconds(d);
  if (ns.count() <= 0) return yield();
  sleep_until(detail::deadline_after(ns));
}

/// Parks the caller until `deadline` of any clock.
template <class Clock, class Duration>
void sleep_until(std::chrono::time_point<Clock, Duration> deadline) {
  weft::sleep_until(detail::to_deadline(deadline));
}

/// The caller's id; outside of a fiber, none.
[[nodiscard]] fiber_id get_id() noexcept;
/// The name given at spawn, or an empty one. Valid while the fiber runs.
[[nodiscard]] std::string_view name() noexcept;
/// The index of the worker on which the caller runs now; any wait may change it. Outside of a fiber: -1.
[[nodiscard]] int worker() noexcept;
/// Whether the next wait here would throw `cancelled`: whether the task, or a cancel scope that counts here, has been
/// cancelled or its deadline has passed. Also for a thread, which can be in scopes, too.
[[nodiscard]] bool cancel_requested() noexcept;
/// A token that is stopped when the calling task is cancelled, whatever scopes and shields it is in; for code that
/// knows nothing of waits. Callbacks run as those of cancel_scope::stop_token() do. Outside of a fiber: one that is
/// never stopped. The first call allocates, and starts a fiber that lives as long as the task; no cancellation point.
/// @throws std::bad_alloc, stack_unavailable
[[nodiscard]] std::stop_token stop_token();

}  // namespace this_fiber

using this_fiber::sleep_for;
using this_fiber::yield;

template <class Clock, class Duration>
void sleep_until(std::chrono::time_point<Clock, Duration> deadline) {
  sleep_until(detail::to_deadline(deadline));
}

}  // namespace weft::inline v0

template <>
struct std::hash<weft::fiber_id> {
  std::size_t operator()(weft::fiber_id id) const noexcept { return std::hash<std::uint64_t>{}(id.value()); }
};
