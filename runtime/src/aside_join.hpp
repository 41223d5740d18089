#pragma once
/// @file
/// The wait of a joiner that has stepped aside for the fiber that it joins (see worker::join()).
///
/// In fork-join code a task mostly joins the task that it spawned last, which has not begun. The worker then runs it at
/// once, and returns straight to the joiner when it ends: two switches, no queue, and no wait to open, claim and wake.
/// Only if the fiber itself has to wait, the joiner's wait is opened in the ordinary way, on its behalf. Until then a
/// cancellation of the joiner, or of a scope that it is in, is not acted upon: it strikes when the fiber ends or waits.

#include "worker.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/waiter.hpp>

namespace weft::inline v0::detail {

/// Lives on the joiner's stack.
class aside_join {
public:
  /// What such a joiner waits for, as long as no wait is open. Told from others by its address.
  static constexpr char reason[] = "task";

  aside_join(fiber_record& self, fiber_record& fiber, cancellation mode) noexcept
      : self_(self), fiber_(fiber), mode_(mode) {}
  aside_join(aside_join const&) = delete;
  ~aside_join() {}  // the union's members need no destruction

  /// On the fiber: opens the wait of the joiner, which is suspended.
  void open() noexcept;
  /// When the joiner goes on.  @throws cancelled
  /// @returns whether the fiber has ended; otherwise the wait could not be opened, because the joiner has to look at
  /// its scopes first, and is to be begun anew
  bool finish() {
    if (opened_) [[unlikely]]
      return finish_opened();
    (void)fiber_.end.flags();  // acquire: what the fiber did is visible
    return true;
  }

  [[nodiscard]] fiber_record& joiner() const noexcept { return self_; }

private:
  bool finish_opened();

  // Constructed by open() alone: most joins never need them.
  union {
    waiter waiter_;
  };
  union {
    wait_node node_;
  };
  fiber_record& self_;
  fiber_record& fiber_;
  cancellation mode_;
  bool opened_ = false;
  bool refused_ = false;
};

/// Waits in line for the end of `fiber`, which the calling fiber cannot step aside for.  @returns true
/// @throws cancelled; std::system_error
bool join_by_waiting(fiber_record& fiber, fiber_record& self, cancellation mode);

}  // namespace weft::inline v0::detail
