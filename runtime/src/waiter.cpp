#include <weft/runtime/waiter.hpp>

#include "fatal.hpp"
#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>

#include <cerrno>
#include <climits>
#include <ctime>
#include <exception>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weft::inline v0 {

namespace {

/// Sleeps while `word` is `seen`, at most until `deadline`.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, time_point deadline) noexcept {
  timespec at{};
  if (deadline != never) {
    auto const ns = std::max<std::int64_t>(deadline.time_since_epoch().count(), 0);
    at = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  }
  // The BITSET form takes an absolute time on CLOCK_MONOTONIC.
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_BITSET_PRIVATE, seen,
            deadline == never ? nullptr : &at, nullptr, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake(void* word) noexcept {
  ::syscall(SYS_futex, static_cast<std::uint32_t*>(word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

/// A wait made while an exception unwinds the stack ignores cancellation: destructors may wait.
[[gnu::noinline]] bool unwinding() noexcept { return std::uncaught_exceptions() != 0; }

}  // namespace

namespace detail {

void check_cancelled() {
  fiber_record const* const self = current_fiber();
  if (self != nullptr && self->ticket.cancel_requested() && !unwinding()) throw cancelled{self->ticket.reason()};
}

void throw_cancelled() {
  fiber_record const* const self = current_fiber();
  throw cancelled{self != nullptr ? self->ticket.reason() : cancel_reason::user};
}

WEFT_UNINSTRUMENTED fiber_record* current_fiber() noexcept {
  worker const* const w = current_worker();
  return w != nullptr ? w->current.get() : nullptr;
}

void make_runnable(fiber_record& fiber, placement where) noexcept { fiber.home->make_runnable(fiber, where); }

time_point deadline_after(std::chrono::nanoseconds d) noexcept {
  worker const* const w = current_worker();
  environment* const world = w != nullptr ? w->home.world : nullptr;
  if (world == nullptr) return add(clock::now(), d);
  under_identity const scheduler_code{w->identity};
  return add(world->now(), d);
}

}  // namespace detail

waiter::waiter(char const* reason, cancellation mode) : ticket_(&thread_ticket_), fiber_(nullptr), reason_(reason) {
  detail::worker const* const w = detail::current_worker();
  if (w == nullptr) {
    detail::check_not_forked();
    (void)ticket_->begin(false);
    return;
  }
  fiber_ = w->current;
  if (fiber_ == nullptr) {
    detail::check_not_forked();
    detail::fatal("a wait on a worker outside of any fiber (in an on_done callback?): there is nothing to park");
  }
  ticket_ = &fiber_->ticket;
  timer_.owner = this;
  bool const heeds = mode == cancellation::heeded && !unwinding();
  if (!ticket_->begin(heeds)) throw cancelled{ticket_->reason()};
}

waiter::waiter(char const* reason, detail::fiber_record& fiber) noexcept
    : ticket_(&fiber.ticket), fiber_(&fiber), reason_(reason) {
  timer_.owner = this;
}

wake_cause waiter::wait(time_point deadline) noexcept {
  if (fiber_ == nullptr) return wait_on_thread(deadline);
  detail::worker* const w = detail::current_worker();
  fiber_->waits_for.store(reason_, std::memory_order_relaxed);  // for dumps: a literal, which needs no publishing
  time_point since{};
  {
    detail::under_identity const scheduler_code{w->identity};
    since = w->last_now();
  }
  fiber_->waits_since = w->home.milliseconds(since);
  if (deadline != never) w->timers.arm(timer_, deadline);
  detail::worker::park(w, *fiber_);
  auto const cause = ticket_->cause();
  fiber_->waits_for.store(nullptr, std::memory_order_relaxed);
  // Whoever expires a timer takes it out first. In all other cases it may still be in, or just about to lose its claim.
  if (deadline != never && cause != wake_cause::timed_out) timer_.wheel->cancel(timer_);
  return cause;
}

wake_cause waiter::wait_on_thread(time_point deadline) noexcept {
  auto& word = ticket_->word();
  for (;;) {
    auto const seen = word.load(std::memory_order_acquire);  // pairs with wake()
    if ((seen & detail::wait_ticket::woken_bit) != 0) return ticket_->cause();
    if (deadline != never && clock::now() >= deadline) {
      if (ticket_->notify(wake_cause::timed_out) != detail::wait_ticket::outcome::lost) return wake_cause::timed_out;
      deadline = never;  // somebody has claimed the wait, and is about to wake it
      continue;
    }
    futex_wait(word, seen, deadline);
  }
}

void waiter::rethrow(wake_cause cause) const {
  if (cause == wake_cause::cancelled) throw cancelled{ticket_->reason()};
}

void waiter::wake(placement where) noexcept {
  detail::fiber_record* const fiber = fiber_;
  void* const word = &ticket_->word();
  bool const runnable = ticket_->wake(wake_cause::notified);
  // A thread's waiter may be gone by now; waking an address that nobody sleeps on does nothing.
  if (fiber == nullptr) return futex_wake(word);
  if (runnable) detail::make_runnable(*fiber, where);
}

bool waiter::notify(placement where, wake_cause cause) noexcept {
  detail::fiber_record* const fiber = fiber_;
  void* const word = &ticket_->word();
  auto const result = ticket_->notify(cause);
  if (result == detail::wait_ticket::outcome::lost) return false;
  if (fiber == nullptr) {
    futex_wake(word);
  } else if (result == detail::wait_ticket::outcome::runnable) {
    detail::make_runnable(*fiber, where);
  }
  return true;
}

}  // namespace weft::inline v0
