#pragma once
/// @file
/// What becomes of deadlocks that have been found.

#include <string_view>

namespace weft::inline v0::detail {

class scheduler;

/// Tells `on_deadlock` of `home`, or stderr, also where `home` is null.
void report_deadlock(scheduler const* home, std::string_view report) noexcept;

}  // namespace weft::inline v0::detail
