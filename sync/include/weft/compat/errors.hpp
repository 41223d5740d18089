#pragma once
/// @file
/// What the names of Boost.Fiber throw. All of it is a `std::system_error`, as there.

#include <weft/runtime/config.hpp>

#include <string>
#include <system_error>
#include <type_traits>

namespace weft::inline v0::compat::fibers {

enum class future_errc {
  broken_promise = 1,
  future_already_retrieved,
  promise_already_satisfied,
  no_state,
};

/// The category of `future_errc`, named "fiber-future".
[[nodiscard]] std::error_category const& future_category() noexcept;
[[nodiscard]] std::error_code make_error_code(future_errc e) noexcept;
[[nodiscard]] std::error_condition make_error_condition(future_errc e) noexcept;

class fiber_error : public std::system_error {
public:
  explicit fiber_error(std::error_code code) : std::system_error(code) {}
  fiber_error(std::error_code code, char const* what) : std::system_error(code, what) {}
  fiber_error(std::error_code code, std::string const& what) : std::system_error(code, what) {}
};

class lock_error : public fiber_error {
public:
  using fiber_error::fiber_error;
};

class future_error : public fiber_error {
public:
  explicit future_error(std::error_code code) : fiber_error(code) {}
};

/// A future that refers to nothing.
class future_uninitialized : public future_error {
public:
  future_uninitialized();
};

class future_already_retrieved : public future_error {
public:
  future_already_retrieved();
};

/// Of a promise, or a packaged_task, that was destroyed before it had anything to say.
class broken_promise : public future_error {
public:
  broken_promise();
};

class promise_already_satisfied : public future_error {
public:
  promise_already_satisfied();
};

/// A promise that has been moved from.
class promise_uninitialized : public future_error {
public:
  promise_uninitialized();
};

/// A packaged_task without a task.
class packaged_task_uninitialized : public future_error {
public:
  packaged_task_uninitialized();
};

}  // namespace weft::inline v0::compat::fibers

template <>
struct std::is_error_code_enum<weft::compat::fibers::future_errc> : std::true_type {};
