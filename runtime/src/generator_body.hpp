#pragma once
/// @file
/// What the rest of the runtime asks of generators' bodies.

#include "stack.hpp"
#include "switch.hpp"

#include <weft/runtime/detail/generator_body.hpp>

namespace weft::inline v0::detail {

struct body_main {
  /// Where the context of each body's stack starts: the base loop of all bodies that run on it.
  static void loop(transfer t);
};

/// The stack that the fiber on `place`, its own, is on: that, or the one of the innermost body that runs for it.
[[nodiscard]] WEFT_UNINSTRUMENTED inline stack const& innermost_stack(stack const& place) noexcept {
  return place.inner != nullptr ? place.inner->own_stack() : place;
}

}  // namespace weft::inline v0::detail
