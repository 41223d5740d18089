#pragma once
/// @file
/// The one way to wait. Everything in weft that blocks does it through a `waiter`, and so may your own primitives: it
/// stands for the calling fiber or, on a thread that is not a worker, for that thread.
///
/// A primitive's wait looks like this (see `event` for a whole one):
///
///     weft::waiter self{"my primitive"};      // opens the wait; throws if the fiber is cancelled already
///     { lock; if (nothing to wait for) return; put &self where the waking side finds it; unlock }
///     auto cause = self.wait(deadline);       // parks; who ends the wait is decided by one compare-and-swap
///     if (cause != wake_cause::notified) { lock; take &self out again if it is still in; unlock }
///     self.rethrow(cause);                    // throws `cancelled` if that was the cause
///
/// and the waking side, which finds the waiter under the same lock:
///
///     if (w.claim()) { hand something over; w.wake(); }     // or w.notify() where there is nothing to hand over
///
/// A waiter that lost its claim may be gone as soon as the lock is released: touch it under the lock only.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/timer_node.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>

#include <cstdint>

namespace weft::inline v0 {

namespace detail {
struct fiber_record;
class aside_join;
class noted_wait;
class worker;
/// The worker whose thread this is, or null. Never inlined, and opaque to the optimiser: a fiber may be on another
/// thread after any wait, and no compiler may keep the address of a thread_local, or what it held, across one.
[[nodiscard]] worker* current_worker() noexcept;
/// What a wait that need not wait does to be a cancellation point all the same.  @returns current_worker()
/// @throws cancelled
worker* check_cancelled();

/// Who may give way, and where.
struct turn_to_give {
  worker* here;               ///< null: it may not
  wait_ticket const* ticket;  ///< the fiber's own
};
/// Whether the calling fiber may let another run first, which has often just been woken here, and be next itself; and
/// whether it has nothing to look at before it waits, no shield and no deadline, so that a cancellation of its task
/// will count.
[[nodiscard]] turn_to_give may_give_way() noexcept;
/// Lets that fiber run, if nobody has stolen it, and goes on after it, but maybe on another thread. Who gives way is
/// ready meanwhile: nobody is called to run it, nor woken. Comes right after may_give_way(), with no wait between them.
void give_way() noexcept;
}  // namespace detail

/// Whether a cancellation ends a wait: of the task, or of a cancel scope that counts for it.
enum class cancellation : bool { ignored, heeded };

/// Where a fiber that becomes ready is queued: behind all that is ready, or before it, which the scheduler grants only
/// a number of times in a row; before it, but behind others that are: for what time or the outside world has made
/// ready; or, as a joiner, where the scheduler thinks best.
enum class placement : std::uint8_t { back, next, prompt, joiner };

namespace detail {
/// Queues a fiber that has become ready. Any thread.
void make_runnable(fiber_record& fiber, placement where) noexcept;
}  // namespace detail

/// One wait of the calling fiber or thread. Automatic storage; used once.
class waiter {
public:
  /// @param reason  what is waited for, shown in dumps; a string literal.
  /// @throws cancelled  if a scope that the caller is in has been cancelled, the task's own included; except those that
  ///   were entered before an exception that unwinds the stack was thrown, and those outside of a shield.
  /// Aborts when called on a worker outside of any fiber: there is nothing to park.
  explicit waiter(char const* reason, cancellation mode = cancellation::heeded);
  waiter(waiter const&) = delete;

  /// Parks until somebody ends the wait, or `deadline` passes. A fiber may go on on another thread.
  wake_cause wait(time_point deadline = never) noexcept;

  /// Throws `cancelled` if `cause` says so.
  void rethrow(wake_cause cause) const;

  /// Takes the right to end this wait. Any thread; of all who try, and time and cancellation, one gets it.
  [[nodiscard]] bool claim() noexcept {
    auto const result = ticket_->claim_or_end(key_, wake_cause::notified);
    if (result == detail::wait_ticket::outcome::lost) return false;
    only_to_run_ = result == detail::wait_ticket::outcome::runnable;
    return true;
  }
  /// Ends the wait after a successful claim(). The waiter may be gone when this returns.
  void wake(placement where = placement::back) noexcept {
    only_to_run_ ? detail::make_runnable(*fiber_, where) : end_claimed(where);
  }
  /// claim() and wake() in one.  @returns false if the claim was lost.
  bool notify(placement where = placement::back, wake_cause cause = wake_cause::notified) noexcept;

  /// The worker on which it was made, or null for a thread; until wait(), it is the one that runs this.
  [[nodiscard]] detail::worker* on() const noexcept { return on_; }
  /// The waiting fiber, or null for a thread.
  [[nodiscard]] detail::fiber_record* fiber() const noexcept { return fiber_; }

private:
  friend class detail::aside_join;
  friend class detail::noted_wait;
  friend class detail::worker;
  /// On behalf of `fiber`, which does not run, and whose wait has been opened.
  waiter(char const* reason, detail::fiber_record& fiber, detail::wait_key key) noexcept;
  void begin_on_thread(bool on_worker, cancellation mode);
  void begin_attentively();
  void end_claimed(placement where) noexcept;
  wake_cause wait_in_time(time_point deadline) noexcept;
  void tell_wait(detail::worker const& w) const noexcept;
  wake_cause finish_wait(time_point deadline) noexcept;
  wake_cause end_wait(time_point deadline) noexcept;
  void arm(detail::timer_wheel& in, time_point until) noexcept;
  void look_and_wait_on(time_point deadline) noexcept;
  wake_cause wait_on_thread(time_point deadline) noexcept;
  void expire() noexcept;

  detail::wait_ticket* ticket_;
  detail::fiber_record* fiber_;
  detail::worker* on_;
  detail::wait_key key_;
  char const* reason_;
  time_point limit_ = never;  // the earliest deadline of a scope that counts
  bool limited_ = false;  // it comes before the wait's own; written before the timer is armed, read by who expires it
  bool only_to_run_ = false;  // the winner's: claim() has ended the wait already, of a party that was parked
  detail::timer_node timer_;
};

}  // namespace weft::inline v0
