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

/// Why a cancellation was asked for.
enum class cancel_reason : std::uint8_t { user, deadline, sibling_failed, shutdown, handle_dropped };

/// The reason as a word.
[[nodiscard]] char const* to_string(cancel_reason reason) noexcept;

/// Thrown by every wait of a fiber that has been cancelled. Let it pass: the task then ends as cancelled.
class cancelled {
public:
  explicit cancelled(cancel_reason reason) noexcept : reason_(reason) {}
  [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }

private:
  cancel_reason reason_;
};

}  // namespace weft::inline v0
