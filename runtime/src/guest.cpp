/// @file
/// A runtime without a thread of its own: whoever calls poll_once() is its worker for that long.

#include "exceptions.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"
#include "thread_stack.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/runtime.hpp>

#include <algorithm>
#include <cfenv>
#include <chrono>
#include <cstdint>
#include <poll.h>
#include <string>
#include <utility>

namespace weft::inline v0 {

namespace detail {

namespace {

/// What the caller's thread keeps of its own while it is a worker.
class borrowed_thread {
public:
  borrowed_thread() noexcept : exceptions_(std::exchange(*thread_exceptions(), {})) { std::fegetenv(&floating_point_); }
  borrowed_thread(borrowed_thread const&) = delete;
  ~borrowed_thread() {
    *thread_exceptions() = exceptions_;
    std::fesetenv(&floating_point_);
  }

private:
  exception_state exceptions_;
  std::fenv_t floating_point_{};
};

}  // namespace

void worker::wait_for_turns() noexcept {
  asleep.store(true, std::memory_order_relaxed);  // before any other thread knows of it
  home.idle.park(index, false);
  loop.poll_and_arm(never);
  parked_ = true;
}

bool worker::take_turn(std::chrono::nanoseconds limit, fiber_record* first) noexcept {
  borrowed_thread const caller;
  signal_stack const for_faults;
  sanitizer_release(&home);  // for the fibers of this turn
  bind_thread();
  if constexpr (sanitized) own_stack_ = thread_stack();
  asleep.store(false, std::memory_order_relaxed);  // as in sleep()
  if (std::exchange(parked_, false)) searching_ = !home.idle.unpark(index);
  leave_at_ = add(now(), limit);
  leaving_ = false;
  if (first != nullptr) {
    // What came from outside came before it, should it go to the end of the line.
    while (fiber_record* const fiber = home.injected.pop(1)) enqueue(*fiber, placement::back);
    now();
    dispatch(*first);
    if (unplaced_ != nullptr) fail_unplaced();
    leaving_ = now() >= leave_at_;
  }
  while (!parked_ && !leaving_) {
    loop.poll_and_arm(never);
    now();
    expire_timers(timers);
    if (fiber_record* const next = pick_next()) {
      if (std::exchange(searching_, false) && home.idle.found()) home.wake_one();
      dispatch(*next);
      if (unplaced_ != nullptr) fail_unplaced();
      leaving_ = now() >= leave_at_;
      continue;
    }
    if (leaving_) break;
    if (wake_who_waits_for_quiet()) continue;
    // As in sleep(): counted among the parked, then a last look.
    asleep.store(true, std::memory_order_relaxed);
    home.idle.park(index, std::exchange(searching_, false));
    thread_barrier::heavy();
    loop.poll_and_arm(timers.next());
    parked_ = !work_in_sight() && ring_.size() == 0 && !slot_.waits() && ordered_.size() == 0;
    if (parked_) break;
    asleep.store(false, std::memory_order_relaxed);
    searching_ = !home.idle.unpark(index);
  }
  if (!parked_ && first == nullptr) loop.show_more();  // the descriptor says that there is more
  leave_at_ = never;
  leaving_ = false;
  unbind_thread();
  sanitizer_acquire(&home);  // what fibers did in this turn comes before what this thread does next
  return !parked_;
}

bool scheduler::try_drive(std::chrono::nanoseconds limit, bool& more) noexcept {
  // acquire and release: what the last driver did to the worker is there for the next.
  if (driven_.exchange(true, std::memory_order_acquire)) return false;
  more = workers[0].take_turn(limit);
  driven_.store(false, std::memory_order_release);
  return true;
}

bool scheduler::drive(std::chrono::nanoseconds limit) {
  if (current_worker() != nullptr) throw error("weft::runtime::poll_once: called on a fiber, which would run itself");
  bool more = false;
  if (try_drive(limit, more)) return more;
  throw error("weft::runtime::poll_once: another thread is in it; one at a time drives a runtime");
}

bool scheduler::drive_until_ended(fiber_record const& fiber, time_point deadline) noexcept {
  auto const ended = [&fiber] { return task_end::has_ended(fiber.end); };
  for (bool has_driven = false; !ended() && clock::now() < deadline;) {
    bool more = false;
    if (!try_drive(std::chrono::milliseconds{1}, more)) return has_driven;
    has_driven = true;
    if (more || ended()) continue;
    using std::chrono::milliseconds;
    // Not for long: another thread may come first, take the signal for itself, and run the fiber to its end.
    auto const remaining = std::min<time_point::duration>(deadline - clock::now(), milliseconds{5});
    auto const limit = std::chrono::ceil<milliseconds>(remaining).count();
    pollfd ready{workers[0].loop.wake_descriptor(), POLLIN, 0};
    (void)::poll(&ready, 1, static_cast<int>(std::max<std::int64_t>(limit, 0)));  // whatever it says, we look again
  }
  return true;
}

}  // namespace detail

namespace {

[[noreturn]] void refuse(char const* what, runtime_options const& options) {
  throw error(std::string("weft::runtime::") + what + ": the runtime '" + options.name +
              "' has workers of its own; make it with runtime_options::guest");
}

}  // namespace

bool runtime::poll_once(std::chrono::nanoseconds limit) {
  if (!options_.guest) refuse("poll_once", options_);
  detail::admission const entry = admit();
  return entry.home()->drive(limit);
}

int runtime::wake_fd() const {
  if (!options_.guest) refuse("wake_fd", options_);
  detail::admission const entry = admit();
  return entry.home()->workers[0].loop.wake_descriptor();
}

}  // namespace weft::inline v0
