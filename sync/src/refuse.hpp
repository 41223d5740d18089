#pragma once
/// @file
/// Wrong use that would otherwise go on with broken state.

#include <weft/runtime/detail/wait_list.hpp>

#include <cstdio>
#include <cstdlib>

namespace weft::inline v0::detail {

inline constexpr char const* used_twice =
    "a case stands twice in one select, or is used by two at once: make one for each";

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse(char const* message) noexcept {
  std::fprintf(stderr, "weft: %s\n", message);
  std::abort();
}

/// In a select's enrolling, under the lock of what it waits for.
inline void expect_unused(wait_node const& node) noexcept {
  if (node.next != nullptr) refuse(used_twice);
}

/// In the destructor of what others wait for in `line`.
inline void check_unawaited(wait_list const& line, char const* message) noexcept {
  if (!line.look().empty()) refuse(message);
}

}  // namespace weft::inline v0::detail
