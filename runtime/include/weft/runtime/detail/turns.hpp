#pragma once
/// @file
/// Taking turns at something that may wait meanwhile, such as advancing a range.

#include <weft/runtime/detail/wait_list.hpp>

namespace weft::inline v0::detail {

/// Lockable by fibers. Handed over in order.
class turns {
public:
  turns() noexcept = default;
  turns(turns const&) = delete;
  /// A cancellation point where it waits.  @throws cancelled
  void lock();
  void unlock() noexcept;

private:
  static constexpr auto held = wait_list::flag_a;
  wait_list list_;
};

}  // namespace weft::inline v0::detail
