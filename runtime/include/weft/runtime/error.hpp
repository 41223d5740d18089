#pragma once
/// @file
/// What weft throws. Failures derive from `weft::error`; a cancellation is no failure and derives from nothing, so that
/// `catch (std::exception const&)` does not swallow it.

#include <cstdint>
#include <stdexcept>

namespace weft::inline v0 {

/// Base of weft's own failures. Failures of the operating system are `std::system_error`.
class error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// A time limit that the caller set has passed.
class timeout_error : public error {
public:
  using error::error;
};

/// The call needs a runtime, and was made on a thread that is not one of a runtime's workers.
class no_runtime : public error {
public:
  using error::error;
};

/// The runtime no longer takes work.
class runtime_stopped : public error {
public:
  using error::error;
};

/// No stack could be had when the task was first run: its callable was never called.
class stack_unavailable : public error {
public:
  using error::error;
};

/// A promise was dropped before it was given a value or an exception.
class broken_promise : public error {
public:
  using error::error;
};

/// A value was sent to a channel that is closed, or was closed before anybody took the value.
class channel_closed : public error {
public:
  using error::error;
};

/// The queue has been shut down: it takes nothing more, and what was asked for will not come.
class queue_shutdown : public error {
public:
  using error::error;
};

/// All fibers wait, and nothing will ever wake them. `what()` names each and says what it waits for.
class deadlock : public error {
public:
  using error::error;
};

/// Why a cancellation was asked for.
enum class cancel_reason : std::uint8_t { user, deadline, sibling_failed, shutdown, handle_dropped };

/// The reason as a word.
[[nodiscard]] char const* to_string(cancel_reason reason) noexcept;

namespace detail {
struct cancelled_access;
}

/// Thrown by every wait inside of a cancel scope that has been cancelled: by those of a whole task, if that was. It
/// carries its scope, and only that scope absorbs it. Let it pass: a task that it leaves, and that was cancelled, ends
/// as cancelled.
class cancelled {
public:
  /// Of no scope: a failure like any other, wherever it arrives.
  explicit cancelled(cancel_reason reason) noexcept : reason_(reason) {}
  [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }

private:
  friend struct detail::cancelled_access;
  std::uint64_t scope_ = 0;
  cancel_reason reason_;
};

}  // namespace weft::inline v0
