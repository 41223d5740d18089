#pragma once
/// @file
/// What is known of a stack, at its own top.

#include "sanitizers.hpp"

#include <weft/runtime/config.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::inline v0::detail {

struct fiber_record;
struct local_node;
struct scope_node;
class generator_body;

/// A stack, described at its own top.
struct stack {
  union {
    void* context = nullptr;  ///< suspended in the base loop, while no fiber is on it
    fiber_record* starter;    ///< while one is: who started it eagerly, or null; only a hint, see worker::take_back()
  };
  union {
    stack* next = nullptr;  ///< in a free list
    generator_body* inner;  ///< while a fiber is on it: the innermost body that runs for it, or null
  };
  std::byte* bottom = nullptr;
  std::size_t size = 0;  ///< bytes from bottom to this description
  std::uint8_t size_class = 0;
  std::uint32_t pages = 0;       ///< in idle_stacks, once counted: those that it could give back
  union {                        // never both at once
    void* fake_stack = nullptr;  ///< AddressSanitizer's, while suspended
    sanitizer_thread identity;   ///< ThreadSanitizer's, of the fiber on it
  };
  scope_node* scopes = nullptr;  ///< the cancel scopes that the fiber on it is in, innermost first
  union {
    local_node* locals = nullptr;  ///< the fiber_local values of the fiber on it, newest first; null while it has none
    stack* warmer;                 ///< in idle_stacks: the one before
  };
};
static_assert(sizeof(stack) <= cache_line);

[[nodiscard]] inline stack_bounds bounds_of(stack const& s) noexcept {
  // The description at the top belongs to the stack as the sanitizer sees it.
  return {s.bottom, s.size + sizeof(stack)};
}

}  // namespace weft::inline v0::detail
