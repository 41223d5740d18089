#pragma once
/// @file
/// Waiting until a descriptor is ready, without reading or writing: for other libraries' descriptors, and as cases of
/// select().
///
///     weft::io::wait_readable(fd);
///     weft::select(weft::on_readable(fd, [&] { PQconsumeInput(connection); }), weft::on_receive(commands, ...));
///
/// Ready is what poll() calls so: a call would not block, be it that it fails or that the stream has ended. A regular
/// file always is. It is asked first; only who is not ready is watched, by the loop of the worker that waits.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/select.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>

namespace weft::inline v0::detail {
class readiness_wait;
}

namespace weft::inline v0::io {

/// What can be waited for: a descriptor by its number, which stays open until the wait is over and whose flags stay as
/// they are; or one of weft's streams, listeners and sockets, which lives as long, but may be closed.
class pollable {
public:
  pollable(int number) noexcept : number_(number) {}
  template <detail::has_descriptor T>
  pollable(T const& object) noexcept : object_(&detail::descriptor_access::of(object)) {}

private:
  friend class detail::readiness_wait;
  int number_ = -1;
  detail::open_descriptor const* object_ = nullptr;  // null: the number counts
};

}  // namespace weft::inline v0::io

namespace weft::inline v0::detail {

/// A waiting_case, and what a plain wait is made of.
class readiness_wait {
public:
  readiness_wait(io::pollable of, readiness what) noexcept : of_(of), what_(what) {}
  readiness_wait(readiness_wait const& other) noexcept : of_(other.of_), what_(other.what_) {}
  readiness_wait& operator=(readiness_wait const&) = delete;

  /// @throws std::system_error  of a descriptor that is closed; error in a simulation, of one that is real
  [[nodiscard]] bool try_now() const;
  /// What goes wrong counts as ready, and comes out of check().
  bool enroll(waiter& w) noexcept;
  bool withdraw() noexcept;
  /// It was ready.  @throws why it was not; as try_now(), and as polled_descriptor::use::wait()
  void check();

protected:
  template <class F>
  void call(F& f) {
    check();
    std::invoke(f);
  }

private:
  [[nodiscard]] polled_descriptor& watch();

  io::pollable of_;
  readiness what_;
  owned_descriptor watched_;  // of a number
  // Of either kind, while enrolled: the object may be gone before withdraw(), but what is in use is not.
  polled_descriptor* polled_ = nullptr;
  std::optional<polled_descriptor::use> in_use_;  // while enrolled, and paused then
  descriptor_node node_{nullptr};
  bool closed_ = false;
  std::exception_ptr failure_;
};

/// @returns false if `until` passed first
bool wait_ready(io::pollable of, readiness what, time_point until);
bool wait_ready(io::pollable of, readiness what, time_point until, std::error_code& ec);

}  // namespace weft::inline v0::detail

namespace weft::inline v0::io {

/// Waits until `of` can be read.
/// @throws std::system_error  std::errc::bad_file_descriptor: it is closed, or is being closed meanwhile if it is an
///   object of weft's; and what the system says of one that cannot be watched. Throws no_runtime outside of a fiber, if
///   it has to wait; error in a simulation, of a real descriptor.
/// @par Cancellation
/// A cancellation point, even where it need not wait.
inline void wait_readable(pollable of) { (void)detail::wait_ready(of, detail::readiness::readable, never); }
inline void wait_readable(pollable of, std::error_code& ec) {
  (void)detail::wait_ready(of, detail::readiness::readable, never, ec);
}
/// The same, at most for `limit`; with 0 it only asks.  @returns whether it can be read
template <class Rep, class Period>
[[nodiscard]] bool wait_readable_for(pollable of, std::chrono::duration<Rep, Period> limit) {
  return detail::wait_ready(of, detail::readiness::readable, detail::deadline_after(detail::to_nanoseconds(limit)));
}
template <class Rep, class Period>
[[nodiscard]] bool wait_readable_for(pollable of, std::chrono::duration<Rep, Period> limit, std::error_code& ec) {
  return detail::wait_ready(of, detail::readiness::readable, detail::deadline_after(detail::to_nanoseconds(limit)), ec);
}
/// The same, at most until `deadline`.
template <class Clock, class Duration>
[[nodiscard]] bool wait_readable_until(pollable of, std::chrono::time_point<Clock, Duration> deadline) {
  return detail::wait_ready(of, detail::readiness::readable, detail::to_deadline(deadline));
}
template <class Clock, class Duration>
[[nodiscard]] bool wait_readable_until(pollable of, std::chrono::time_point<Clock, Duration> deadline,
                                       std::error_code& ec) {
  return detail::wait_ready(of, detail::readiness::readable, detail::to_deadline(deadline), ec);
}

/// Waits until `of` can be written. All is as of wait_readable().
inline void wait_writable(pollable of) { (void)detail::wait_ready(of, detail::readiness::writable, never); }
inline void wait_writable(pollable of, std::error_code& ec) {
  (void)detail::wait_ready(of, detail::readiness::writable, never, ec);
}
template <class Rep, class Period>
[[nodiscard]] bool wait_writable_for(pollable of, std::chrono::duration<Rep, Period> limit) {
  return detail::wait_ready(of, detail::readiness::writable, detail::deadline_after(detail::to_nanoseconds(limit)));
}
template <class Rep, class Period>
[[nodiscard]] bool wait_writable_for(pollable of, std::chrono::duration<Rep, Period> limit, std::error_code& ec) {
  return detail::wait_ready(of, detail::readiness::writable, detail::deadline_after(detail::to_nanoseconds(limit)), ec);
}
template <class Clock, class Duration>
[[nodiscard]] bool wait_writable_until(pollable of, std::chrono::time_point<Clock, Duration> deadline) {
  return detail::wait_ready(of, detail::readiness::writable, detail::to_deadline(deadline));
}
template <class Clock, class Duration>
[[nodiscard]] bool wait_writable_until(pollable of, std::chrono::time_point<Clock, Duration> deadline,
                                       std::error_code& ec) {
  return detail::wait_ready(of, detail::readiness::writable, detail::to_deadline(deadline), ec);
}

}  // namespace weft::inline v0::io

namespace weft::inline v0 {

/// A case of select(): calls `f()` when `of` can be read. Nothing has been read then, and somebody else may be faster.
/// @throws what io::wait_readable() throws, from select(): then this case was chosen
template <std::invocable F = detail::no_handler>
[[nodiscard]] auto on_readable(io::pollable of, F f = {}) {
  return detail::handled_case<detail::readiness_wait, F>{{of, detail::readiness::readable}, std::move(f)};
}

/// The same of writing.
template <std::invocable F = detail::no_handler>
[[nodiscard]] auto on_writable(io::pollable of, F f = {}) {
  return detail::handled_case<detail::readiness_wait, F>{{of, detail::readiness::writable}, std::move(f)};
}

}  // namespace weft::inline v0
