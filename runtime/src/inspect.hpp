#pragma once
/// @file
/// The form in which fibers are reported.

#include <weft/runtime/inspect.hpp>

#include <cstddef>
#include <iosfwd>
#include <string_view>
#include <vector>

namespace weft::inline v0::detail {

inline constexpr std::size_t all_of_them = ~std::size_t{0};

/// A line for each task, for `most` of them at most, and one that sums up.
void write_tasks(std::ostream& to, std::string_view runtime, std::vector<task_info> const& tasks, std::size_t most);

}  // namespace weft::inline v0::detail
