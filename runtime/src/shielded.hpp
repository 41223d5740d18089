#pragma once
/// @file
/// Waits of weft's own destructors, and of what they call, ignore cancellation (rule 7 of the semantics).

#include "exceptions.hpp"
#include "sanitizers.hpp"

#include <weft/runtime/detail/fiber_record.hpp>

namespace weft::inline v0::detail {

/// While it lives, waits of the calling fiber behave as they do in a destructor that an exception has called: here,
/// too, there is no caller that `cancelled` could reach. On a thread it does nothing.
class shielded {
public:
  shielded() noexcept : on_fiber_(current_fiber() != nullptr) {
    if (on_fiber_) enter_unwinding();
  }
  shielded(shielded const&) = delete;
  ~shielded() {
    if (on_fiber_) leave_unwinding();
  }

private:
  // The state is the fiber's, and the thread under it may change between the two calls: each looks it up anew. (Like
  // the C++ runtime, whose word it is, ThreadSanitizer does not watch: the fibers of a worker use it one after
  // another.)
  static void enter_unwinding() noexcept;
  static void leave_unwinding() noexcept;

  bool on_fiber_;
};

}  // namespace weft::inline v0::detail
