#pragma once
/// @file
/// The outcomes of tasks whose callables never run, made while there is still memory.
///
/// Memory may be short when they are needed, and for each of a million tasks at once. The C++ runtime does not report
/// that: where it has no room for an exception object, it ends the process. So those tasks share one object.

#include <weft/runtime/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace weft::inline v0::detail {

class prepared_errors {
public:
  /// @param stack_class  of the stacks that by_lack_of_stack() speaks of
  /// @throws std::bad_alloc
  explicit prepared_errors(std::uint8_t stack_class);

  [[nodiscard]] std::exception_ptr const& by_cancellation(cancel_reason reason) const noexcept {
    return cancelled_.at(static_cast<std::size_t>(reason));
  }
  [[nodiscard]] std::exception_ptr const& by_lack_of_stack() const noexcept { return no_stack_; }

  /// A new stack_unavailable.  @throws std::bad_alloc for its text; ends the process if !has_room()
  [[nodiscard]] static std::exception_ptr no_stack(std::uint8_t stack_class);
  /// Whether there is memory for a few exceptions.
  [[nodiscard]] static bool has_room() noexcept;

private:
  std::array<std::exception_ptr, 5> cancelled_;
  std::exception_ptr no_stack_;
};

}  // namespace weft::inline v0::detail
