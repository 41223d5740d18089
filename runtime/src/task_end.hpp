#pragma once
/// @file
/// A task's first and last step, as the worker takes them.

#include "end_protocol.hpp"
#include "record_pool.hpp"
#include "scheduler.hpp"

#include <weft/runtime/detail/fiber_record.hpp>

namespace weft::inline v0::detail {

using task_end = end_protocol<wait_list>;
static_assert(task_end::ended == fiber_record::ended && task_end::detached == fiber_record::detached);

/// Whether a task that has ended did so by an exception other than its own cancellation.
[[nodiscard]] bool ended_in_failure(fiber_record const& record) noexcept;

/// For a task that was cancelled or refused before it started: keeps why, without calling its callable.
void end_unstarted(fiber_record& record) noexcept;
/// end_task() where somebody waits, or no handle is left.
void end_task_slowly(fiber_record& record) noexcept;

/// On the fiber: calls the callable, unless it has been cancelled before.
inline void start_task(fiber_record& record) noexcept {
  if (!record.ticket.start()) [[unlikely]]
    return end_unstarted(record);
  record.type->run(record, nullptr);
}

/// On the fiber whose stack this is, when its callable is gone: destroys its fiber_local values, which may wait.
void destroy_locals(stack& of) noexcept;

/// Whether the task's result may wait when it is destroyed.
[[nodiscard]] inline bool leaves_result(fiber_record const& record) noexcept {
  return record.type->drop_result != nullptr;
}
/// On the fiber, as the last of what may wait: destroys such a result if no handle is left.
/// @param on  its stack
/// @returns false if so; otherwise end_held_task() is to follow, soon, for the handle's owner may spin for it
[[nodiscard]] bool settle_result(fiber_record& record, stack& on, scheduler& home) noexcept;
void end_held_task(fiber_record& record) noexcept;

/// On the fiber's stack, after its last step: tells who waits, and frees the record if no handle is left. From here on
/// the record may be gone at any time.
inline void end_task(fiber_record& record, scheduler& home) noexcept {
  record_pool::set_dead(record);
  home.note_end();
  if (task_end::try_finish(record.end)) [[likely]]
    return;  // a handle is there, and nobody waits
  end_task_slowly(record);
}

/// On the fiber, as the last of what may wait: destroys its fiber_local values, and lets go of those of its
/// `context_var`s.
/// @param of  its stack
void leave_things(stack& of) noexcept;

/// Passes an exception of `fiber`, which has not been freed, on to `on_unhandled_exception`.
void report_unhandled(fiber_record const& fiber, std::exception_ptr const& error) noexcept;

/// The id of the fiber for whose end `fiber` is parked; 0: none. On any thread, while `fiber` cannot end. Not of a
/// joiner that has stepped aside: see fiber_record::waits_since.
[[nodiscard]] std::uint64_t joined_by(fiber_record const& fiber) noexcept;

/// On `fiber`, which is about to wait, and whose joiner has stepped aside for it: makes that an ordinary wait for its
/// end, so that the joiner can be woken by other causes too.
void open_aside_join(fiber_record& fiber) noexcept;

/// For a task for which no stack could be had: keeps that, without calling its callable. On a stack of another size; on
/// the worker's own context, if there is none: then the callable's destructor cannot wait.
void fail_task(fiber_record& record) noexcept;

}  // namespace weft::inline v0::detail
