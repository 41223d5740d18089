#pragma once
/// @file
/// The control block of a fiber: what is left of it when it does not run. A spawned fiber is only this; a stack comes
/// with its first step and leaves with its last. A task's record (task_record.hpp) adds its callable and its result.
///
/// Who may touch what: the worker that runs the fiber, or is about to, everything; the fiber itself what its calls
/// need; all others `ticket` and `end`, which are atomic, and what was set before the fiber was queued and never
/// changes; a snapshot of live fibers (inspect.hpp) also what is `published`, and `waits_for`. Two parties own a
/// record: the fiber until it sets `ended`, and the handle until it sets `detached`; the second of them frees it.

#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/fiber_extras.hpp>
#include <weft/runtime/detail/published.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace weft::inline v0::detail {

class record_pool;
class aside_join;
class scheduler;
struct stack;
struct fiber_record;

/// The C++ runtime's record of exceptions being handled and thrown (Itanium C++ ABI, 2.2.2: `__cxa_eh_globals`).
struct exception_state {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

/// What a record's header does not know of its own type.
struct record_type {
  /// Calls the callable and keeps its result, or, if `instead` is not null, keeps that without calling. Destroys the
  /// callable either way.
  void (*run)(fiber_record&, std::exception_ptr const* instead) noexcept;
  /// Destroys the record, and with it the result; null where there is nothing to do.
  void (*destroy)(fiber_record&) noexcept;
  /// Destroys the result, if there is one; null as `destroy`.
  void (*drop_result)(fiber_record&) noexcept;
  /// The name of a function that has the callable's type in it.
  char const* callable;
  /// Whether the record is a group_member.
  bool in_group = false;
  /// Whether its parent joins it together with others, see siblings.
  bool is_sibling = false;
};

struct alignas(cache_line) fiber_record {
  static constexpr std::uintptr_t ended = wait_list::flag_a;     ///< in `end`: the result is there for good
  static constexpr std::uintptr_t detached = wait_list::flag_b;  ///< in `end`: no handle refers to it any more
  static constexpr std::uint16_t no_worker = 0xFFFF;

  // What a switch and a wait touch: one cache line.
  void* context = nullptr;       ///< saved registers; null until the first step
  exception_state exceptions{};  ///< while it does not run
  wait_ticket ticket{};
  published<std::uint16_t> last_worker{no_worker};  ///< the one it ran on last; written by the one that runs it
  bool pinned = false;                              ///< stays on last_worker
  bool joiner_aside = false;  ///< its joiner stepped aside for it, and goes on when it ends or waits;
                              ///< in debug mode: it is in a no_suspend_scope, see no_suspend.hpp
  scheduler* home = nullptr;
  union {
    fiber_record* next = nullptr;  ///< in the injection queue, in a mailbox, in the pool
    aside_join* aside;             ///< while it runs, with joiner_aside
  };
  std::atomic<char const*> waits_for{nullptr};  ///< a literal; written by the fiber, read by snapshots
  published<std::uint32_t> waits_since{};  ///< ms on the runtime's clock, as the worker last read it; of a joiner that
                                           ///< has stepped aside: the low half of the joined fiber's id
  std::uint8_t stack_class = 0;
  std::uint8_t size_class = 0;           ///< of the record itself, see record_pool
  bool has_value : 1 = false;            ///< as `error`
  bool collected : 1 = false;            ///< the handle's owner has taken the result, or seen the exception
  bool cancelled_unstarted : 1 = false;  ///< as `error`: which then is one for all, and carries no scope
  bool leaves_things : 1 = false;        ///< extras or fiber_local values, to be seen to at its end
  std::uint8_t unused_flags : 4 = 0;     ///< so that the constructor writes a byte, and need not read it
  std::uint8_t live;  ///< see record_pool; not the constructor's to write, for others read it at any time

  stack* place = nullptr;  ///< its stack, while it has one
  wait_list end{};
  record_type const* type = nullptr;
  std::atomic<fiber_record*> joins{nullptr};  ///< the fiber whose end it is parked for
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  std::atomic<fiber_extras*> extras{nullptr};  ///< owned; see set_extras()
  std::exception_ptr error;                    ///< with which it ended; written before `end` says so, then the handle's

  /// Before the fiber is queued, or by the fiber itself.
  /// @param owned  may be null
  void set_extras(fiber_extras* owned) noexcept {
    leaves_things = owned != nullptr;
    extras.store(owned, std::memory_order_release);  // publishes them to snapshots, which read the name
  }

  /// Null: none. Whoever may read the record may ask.  acquire: pairs with the fiber that makes its own extras.
  [[nodiscard]] char const* name() const noexcept {
    fiber_extras const* const more = extras.load(std::memory_order_acquire);
    return more != nullptr ? more->name : nullptr;
  }
};
static_assert(sizeof(fiber_record) == 2 * cache_line);

/// The record of the calling fiber, or null on any other thread and on a worker between fibers.
[[nodiscard]] fiber_record* current_fiber() noexcept;

/// Asks `fiber` to end; see weft::task::cancel. Any thread that keeps the record alive.
void cancel(fiber_record& fiber, cancel_reason reason) noexcept;

/// Waits for the end of `fiber`.
/// @returns false if `deadline` passed first
/// @throws cancelled; std::system_error (resource_deadlock_would_occur) for oneself or a cycle of joins
bool join(fiber_record& fiber, time_point deadline, cancellation mode);

/// The handle lets go of `fiber`: whichever of the two is last frees it.
void release_handle(fiber_record& fiber) noexcept;

}  // namespace weft::inline v0::detail
