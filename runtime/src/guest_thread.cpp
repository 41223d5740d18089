#include <weft/runtime/detail/guest_thread.hpp>

#include "fatal.hpp"
#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/waiter.hpp>

#include <chrono>
#include <poll.h>

namespace weft::inline v0::detail {

namespace {

runtime_options options_of_guest_thread() {
  if (current_worker() != nullptr) {
    fatal("a worker between two fibers (in an on_done callback?) cannot have fibers of its own");
  }
  runtime_options options;
  options.guest = true;
  options.order = scheduling::fifo;
  options.name = "thread";
  return options;
}

/// Sleeps until the loop has something to do.  @returns false if that takes longer than `limit`
bool await_loop(worker& w, std::chrono::milliseconds limit) noexcept {
  pollfd ready{w.loop.wake_descriptor(), POLLIN, 0};
  return ::poll(&ready, 1, static_cast<int>(limit.count())) != 0;  // interrupted by a signal, we look, too
}

constexpr std::chrono::milliseconds without_limit{-1};

}  // namespace

guest_thread::guest_thread() : home_(options_of_guest_thread()) {
  spawn_options options;
  options.name = "stands for its thread";
  task_ = home_.spawn(options, [this] { stand_in(); });
  while (record_ == nullptr && !task_.ready()) (void)home_.poll_once();
  if (record_ == nullptr) task_.get();  // throws: it got no stack
  record_->home->keep_driver();
}

guest_thread::~guest_thread() {
  scheduler& home = *record_->home;
  worker& w = home.workers[0];
  while (home.live_fibers() > 1) {
    constexpr std::chrono::seconds report_interval{5};
    if (w.take_turn(std::chrono::nanoseconds::max()) || home.live_fibers() == 1) continue;
    if (!await_loop(w, report_interval)) home.report_remaining();
  }
  carry_out_on_stand_in(nullptr, nullptr);
  home.release_driver();
}

void guest_thread::stand_in() noexcept {
  do {
    waiter self{"its thread", cancellation::ignored};
    record_ = self.fiber();
    {
      worker* const w = current_worker();
      under_identity const scheduler_code{w->identity};
      w->end_turn();
    }
    (void)self.wait();
    if (call_ != nullptr) call_(what_);
    done_ = true;
  } while (call_ != nullptr);
}

bool guest_thread::lost() noexcept { return fork_watch::in_child(); }

void guest_thread::carry_out_on_stand_in(function* call, void* what) {
  check_not_forked();
  if (current_worker() != nullptr) {
    fatal("a thread's wait on its worker outside of any fiber (in an on_done callback?): its fibers cannot run now");
  }
  call_ = call;
  what_ = what;
  done_ = false;
  // It is parked, and nobody else ends this wait; taken out of its parking, it is in no queue.
  if (record_->ticket.notify_parked(wake_cause::notified) != wait_ticket::outcome::runnable) {
    fatal("a thread waits while it waits");
  }
  worker& w = record_->home->workers[0];
  for (fiber_record* first = record_;; first = nullptr) {
    bool const more = w.take_turn(std::chrono::nanoseconds::max(), first);
    if (done_) return;
    if (!more) (void)await_loop(w, without_limit);
  }
}

}  // namespace weft::inline v0::detail
