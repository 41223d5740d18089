#pragma once
/// @file
/// How deep fibers' stacks get, for runtime_options::measure_stacks. Before a fiber's first step all of its stack that
/// is not in use is made to read as zeros; after the last, the lowest page in memory is looked for, and in it the
/// lowest byte that is not zero. What else runs on the fiber's stack, such as a worker's turn while it waits, counts
/// too: it needs room all the same. Under AddressSanitizer variables may lie elsewhere ("fake stacks"), and are not
/// seen.

#include "stack.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/inspect.hpp>

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace weft::inline v0::detail {

/// On the stack `s`: clears what lies below the caller.
void clear_unused(stack const& s) noexcept;
/// On the stack `s`: how many bytes of it have been used since clear_unused().
[[nodiscard]] std::size_t depth_of(stack const& s) noexcept;

/// What is known of all fibers that have ended. Thread-safe.
class stack_gauge {
public:
  /// On a fiber's last step. Where there is no memory for a new site, the fiber is left out.
  void add(fiber_record const& fiber, std::size_t depth) noexcept;
  /// See weft::runtime::stack_usage().
  [[nodiscard]] std::vector<stack_usage> usage() const;

private:
  mutable std::mutex mutex_;                   // guards the two below
  std::map<std::string, stack_usage> named_;   // by the fibers' name
  std::map<void const*, stack_usage> others_;  // by their callable's type
};

}  // namespace weft::inline v0::detail
