#pragma once
/// @file
/// The scopes of the calling fiber or thread, as its waits look at them. See scope_node.hpp.

#include <weft/runtime/detail/scope_node.hpp>
#include <weft/runtime/waiter.hpp>

#include <cstdint>

namespace weft::inline v0::detail {

class scheduler;

/// Who waits: a fiber, or a thread that is not a worker.
struct wait_context {
  wait_ticket* ticket;
  fiber_record* fiber;     ///< null: a thread
  scope_node** innermost;  ///< where its chain begins
};

/// The caller's; on a worker between fibers, the thread's. A fiber's is the same wherever it goes on.
[[nodiscard]] wait_context current_context() noexcept;
/// The ticket with which a thread that is not a worker waits.
[[nodiscard]] wait_ticket& ticket_of_thread() noexcept;

/// attach() and detach() where the caller's context is known; in line, because a generator crosses into its body and
/// back for each value.
void attach_with_scopes(wait_context here, scope_segment& segment) noexcept;
void detach_with_scopes(scope_segment& segment) noexcept;
[[gnu::always_inline]] inline void attach(wait_context here, scope_segment& segment, int uncaught) noexcept {
  scope_node& seam = segment.seam;
  seam.segment = &segment;
  seam.outer = *here.innermost;
  seam.uncaught = uncaught;
  seam.outer_looks = here.ticket->looks();
  if (segment.had_scopes) [[unlikely]]
    return attach_with_scopes(here, segment);
  segment.ticket = here.ticket;
  segment.fiber = here.fiber;
  *here.innermost = &seam;
  if (uncaught != 0) [[unlikely]]
    here.ticket->set_look();
}
[[gnu::always_inline]] inline void detach(wait_context here, scope_segment& segment) noexcept {
  scope_node& seam = segment.seam;
  scope_node* const innermost = *here.innermost;
  *here.innermost = seam.outer;
  segment.innermost = innermost != &seam ? innermost : nullptr;
  if (segment.had_scopes) [[unlikely]] {
    detach_with_scopes(segment);
  } else {
    segment.ticket = nullptr;
  }
  if (!seam.outer_looks && here.ticket->looks()) [[unlikely]]
    here.ticket->clear_look();
}

/// What counts for a wait of the caller.
struct scope_survey {
  bool any = false;             ///< whether a cancellation could end it
  bool own = false;             ///< that of the task's own scope could
  std::uint64_t cancelled = 0;  ///< the outermost scope that has been cancelled, as in scope_node::state; 0: none
  time_point limit = never;     ///< the earliest deadline
};

/// Which clock a survey reads to find deadlines that have passed.
enum class survey_clock : bool { exact, last_reading };

/// The caller looks at its scopes, and cancels those whose deadlines have passed.
[[nodiscard]] scope_survey survey_scopes(wait_context const& caller, survey_clock reads = survey_clock::exact) noexcept;

/// Whether it is a scope of a generator's body that does not run for a fiber of `home` just now. Any thread.
[[nodiscard]] bool is_away_from(scheduler const& home, scope_node const& node) noexcept;

/// A wait of who is in the scope has met its deadline.
void tell_of_deadline(stop_relay& relay) noexcept;

/// See weft::current_deadline().
[[nodiscard]] time_point earliest_deadline(wait_context const& caller) noexcept;

/// Cancels a scope with a deadline that nobody is in yet.
void cancel_unentered(scope_node& node, cancel_reason reason) noexcept;

/// @throws cancelled  of the scope that `found` speaks of
[[noreturn]] void throw_cancelled(scope_survey const& found);
/// A yield's check_cancelled(), which reads no clock.  @throws cancelled
void check_cancelled_in_passing();

/// Pokes the fiber, or if null the thread, that waits with `ticket`.
void poke(wait_ticket& ticket, fiber_record* fiber, placement where) noexcept;
/// Wakes the thread that sleeps on `word`, if any; the word may be gone.
void wake_thread(void* word) noexcept;

}  // namespace weft::inline v0::detail
