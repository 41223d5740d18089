#pragma once
/// @file
/// `collect`: all elements of a range in a vector, as `std::ranges::to<std::vector>()` has them from C++23 on.

#include <concepts>
#include <ranges>
#include <utility>
#include <vector>

namespace weft::inline v0 {

/// The elements of `range`, such as a generator or a view of one, in order. Elements are copied, or moved if the range
/// gives them away (`*it` is an rvalue), as a generator of values does. Throws what going through the range throws.
template <std::ranges::input_range Range>
  requires std::constructible_from<std::ranges::range_value_t<Range>, std::ranges::range_reference_t<Range>>
[[nodiscard]] std::vector<std::ranges::range_value_t<Range>> collect(Range&& range) {
  std::vector<std::ranges::range_value_t<Range>> all;
  if constexpr (std::ranges::sized_range<Range>) all.reserve(static_cast<std::size_t>(std::ranges::size(range)));
  for (auto&& element : range) all.emplace_back(std::forward<decltype(element)>(element));
  return all;
}

}  // namespace weft::inline v0
