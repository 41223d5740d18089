#include <weft/runtime/waiter.hpp>

#include "fatal.hpp"
#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "sleeping_threads.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>

#include <algorithm>
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

}  // namespace

namespace detail {

void wake_thread(void* word) noexcept {
  ::syscall(SYS_futex, static_cast<std::uint32_t*>(word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

WEFT_UNINSTRUMENTED [[gnu::noinline]] fiber_record* current_fiber() noexcept {
  asm volatile("" ::: "memory");  // as in current_worker()
  worker const* const w = entry_worker();
  return w != nullptr ? w->current.get() : nullptr;
}

environment* current_environment() noexcept {
  worker const* const w = current_worker();
  return w != nullptr ? w->home.world : nullptr;
}

void tell_world(char const* what, std::uint64_t number, std::int64_t detail) noexcept {
  worker const* const w = current_worker();
  environment* const world = w != nullptr ? w->home.world : nullptr;
  if (world == nullptr) return;
  under_identity const scheduler_code{w->identity};
  world->happens(what, number, detail);
}

time_point deadline_after(std::chrono::nanoseconds d) noexcept {
  worker const* const w = current_worker();
  environment* const world = w != nullptr ? w->home.world : nullptr;
  if (world == nullptr) return add(clock::now(), d);
  under_identity const scheduler_code{w->identity};
  return add(world->now(), d);
}

}  // namespace detail

/// The calls come last, so that it needs no frame.
[[gnu::noinline]] waiter::waiter(char const* reason, cancellation mode) : reason_(reason) {
  detail::worker* const w = detail::entry_worker();
  on_ = w;
  fiber_ = w != nullptr ? w->current.get() : nullptr;
  if (fiber_ == nullptr) [[unlikely]] {
    begin_on_thread(w != nullptr, mode);
    return;
  }
  ticket_ = &fiber_->ticket;
  // A wait made while an exception unwinds the stack ignores the scopes that were entered before: destructors may wait.
  // The worker knows where its thread's exceptions are.
  bool const heeds = mode == cancellation::heeded;
  if (!heeds || w->exceptions()->uncaught == 0) [[likely]]
    key_ = ticket_->begin(heeds);
  if (!key_) [[unlikely]]
    begin_attentively();
}

[[gnu::noinline]] void waiter::begin_on_thread(bool on_worker, cancellation mode) {
  detail::check_not_forked();
  if (on_worker) {
    detail::fatal("a wait on a worker outside of any fiber (in an on_done callback?): there is nothing to park");
  }
  ticket_ = &detail::ticket_of_thread();
  bool const heeds = mode == cancellation::heeded;
  if (!heeds || std::uncaught_exceptions() == 0) key_ = ticket_->begin(heeds);
  if (!key_) begin_attentively();
}

waiter::waiter(char const* reason, detail::fiber_record& fiber, detail::wait_key key) noexcept
    : ticket_(&fiber.ticket), fiber_(&fiber), on_(nullptr), key_(key), reason_(reason) {}

void waiter::begin_attentively() {
  auto const here = detail::current_context();
  for (;;) {
    auto const found = detail::survey_scopes(here);
    if (found.cancelled != 0) throw_cancelled(found);
    limit_ = found.limit;
    key_ = found.any ? ticket_->begin_attentive(found.own) : ticket_->begin(false);
    if (key_) return;
  }
}

[[gnu::always_inline]] inline wake_cause waiter::finish_wait(time_point deadline) noexcept {
  bool const looks = !ticket_->has_ended(key_);
  if (looks) [[unlikely]]
    look_and_wait_on(deadline);
  auto const cause = ticket_->cause();
  fiber_->waits_for.store(nullptr, std::memory_order_relaxed);
  // Whoever expires a timer takes it out first; but who looked meanwhile may have armed it anew before it learned of
  // that. In all other cases it may still be in, or just about to lose its claim.
  if (timer_.wheel != nullptr && (looks || cause != wake_cause::timed_out)) timer_.wheel->cancel(timer_);
  return cause;
}

wake_cause waiter::end_wait(time_point deadline) noexcept { return finish_wait(deadline); }

/// For dumps: a literal, which needs no publishing.
[[gnu::always_inline]] inline void waiter::tell_wait(detail::worker const& w) const noexcept {
  detail::fiber_record& self = *fiber_;
  self.waits_for.store(reason_, std::memory_order_relaxed);
  self.waits_since = w.last_milliseconds();
}

[[gnu::noinline]] wake_cause waiter::wait(time_point deadline) noexcept {
  if (fiber_ == nullptr || deadline != never || limit_ != never) return wait_in_time(deadline);
  detail::worker* const w = detail::entry_worker();
  tell_wait(*w);
  detail::worker::park(w, *fiber_, key_);
  auto const seen = ticket_->word().load(std::memory_order_acquire);  // pairs with wake() and notify()
  if (!detail::wait_ticket::has_ended(seen, key_)) [[unlikely]]
    return end_wait(deadline);
  fiber_->waits_for.store(nullptr, std::memory_order_relaxed);
  return detail::wait_ticket::cause(seen);
}

[[gnu::noinline]] wake_cause waiter::wait_in_time(time_point deadline) noexcept {
  if (fiber_ == nullptr) return wait_on_thread(deadline);
  detail::worker* const w = detail::entry_worker();
  tell_wait(*w);
  limited_ = limit_ < deadline;
  if (auto const until = std::min(deadline, limit_); until != never) arm(w->timers, until);
  detail::worker::park(w, *fiber_, key_);
  return finish_wait(deadline);
}

void waiter::arm(detail::timer_wheel& in, time_point until) noexcept {
  timer_.owner = this;
  in.arm(timer_, until);
}

/// The fiber has been poked out of its parking, and its wait is still open.
void waiter::look_and_wait_on(time_point deadline) noexcept {
  auto const here = detail::current_context();
  do {
    if (timer_.wheel != nullptr) timer_.wheel->cancel(timer_);
    auto const found = detail::survey_scopes(here);
    auto until = never;
    auto wait = key_;
    if (found.cancelled == 0) {
      // What counts may have changed since the wait was opened: a cancellation that does not is not looked at again.
      if (!found.own) wait = detail::wait_ticket::shielded(wait);
      limit_ = found.limit;
      limited_ = limit_ < deadline;
      until = std::min(deadline, limit_);
    } else if (ticket_->notify(key_, wake_cause::cancelled) != detail::wait_ticket::outcome::lost) {
      return;
    }  // otherwise somebody has claimed the wait, and is about to wake us
    detail::worker* const w = detail::current_worker();
    if (until != never) arm(w->timers, until);
    detail::worker::park(w, *fiber_, wait);
  } while (!ticket_->has_ended(key_));
}

void waiter::expire() noexcept {
  if (limited_) return poke(*ticket_, fiber_, placement::prompt);
  (void)notify(placement::prompt, wake_cause::timed_out);
}

wake_cause waiter::wait_on_thread(time_point deadline) noexcept {
  auto& word = ticket_->word();
  for (;;) {
    auto const seen = word.load(std::memory_order_acquire);  // pairs with wake() and poke()
    if (detail::wait_ticket::has_ended(seen, key_)) return ticket_->cause();
    auto const until = std::min(deadline, limit_);
    bool const due = until != never && clock::now() >= until;
    if (due && deadline <= limit_) {
      if (ticket_->notify(key_, wake_cause::timed_out) != detail::wait_ticket::outcome::lost)
        return wake_cause::timed_out;
      deadline = limit_ = never;  // somebody has claimed the wait, and is about to wake it
    } else if (due || ticket_->goes_on(key_)) {
      auto const found = detail::survey_scopes(detail::current_context());
      limit_ = found.limit;
      if (found.cancelled == 0) continue;
      if (ticket_->notify(key_, wake_cause::cancelled) != detail::wait_ticket::outcome::lost)
        return wake_cause::cancelled;
      deadline = limit_ = never;
    } else if (until == never) {
      auto const not_woken = [](void* self) noexcept {
        auto const& waits = *static_cast<waiter const*>(self);
        return !waits.ticket_->goes_on(waits.key_);
      };
      detail::sleeping_thread const here{not_woken, this};
      futex_wait(word, seen, until);
    } else {
      futex_wait(word, seen, until);
    }
  }
}

void waiter::rethrow(wake_cause cause) const {
  if (cause == wake_cause::cancelled) detail::throw_cancelled();
}

void waiter::end_claimed(placement where) noexcept {
  detail::fiber_record* const fiber = fiber_;
  void* const word = &ticket_->word();
  bool const runnable = ticket_->wake(wake_cause::notified);
  // A thread's waiter may be gone by now; waking an address that nobody sleeps on does nothing.
  if (fiber == nullptr) return detail::wake_thread(word);
  if (runnable) detail::make_runnable(*fiber, where);
}

bool waiter::notify(placement where, wake_cause cause) noexcept {
  detail::fiber_record* const fiber = fiber_;
  void* const word = &ticket_->word();
  auto const result = ticket_->notify(key_, cause);
  if (result == detail::wait_ticket::outcome::lost) return false;
  if (fiber == nullptr) {
    detail::wake_thread(word);
  } else if (result == detail::wait_ticket::outcome::runnable) {
    detail::make_runnable(*fiber, where);
  }
  return true;
}

}  // namespace weft::inline v0
