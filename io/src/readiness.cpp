#include <weft/io/readiness.hpp>

#include "error_text.hpp"

#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <utility>

namespace weft::inline v0::detail {

namespace {

char const* doing_what(readiness what) noexcept {
  return what == readiness::readable ? "waiting for a readable descriptor" : "waiting for a writable descriptor";
}

[[noreturn]] void throw_not_ready(std::error_code why, readiness what) { io::throw_error(why, {doing_what(what)}); }

/// Asks without waiting, and again after a signal.
template <class Calls>
int poll_now(Calls& calls, int number, readiness what) {
  int happened = 0;
  do {
    happened = calls.poll(number, what == readiness::readable ? POLLIN : POLLOUT);
  } while (happened == -EINTR);
  return happened;
}

}  // namespace

bool readiness_wait::try_now() const {
  int happened = 0;
  if (of_.object_ == nullptr) {
    if (environment const* const world = current_environment(); world != nullptr && world->closed()) {
      throw error("weft: descriptors belong to the world outside, and cannot be waited for in a simulation");
    }
    // A number below 0 would be passed over.
    happened = of_.number_ < 0 ? POLLNVAL : poll_now(kernel_calls(), of_.number_, what_);
  } else {
    auto* const polled = of_.object_->polled();
    if (polled == nullptr) throw_not_ready(closed_error(), what_);
    polled_descriptor::use const in_use{*polled};
    if (!in_use) throw_not_ready(closed_error(), what_);
    auto const seen = polled->events();
    happened = poll_now(of_.object_->calls(), polled->number(), what_);
    if (happened == -ENOSYS) return polled->seems_ready(what_);
    // What is remembered is corrected: enroll() goes by it, and so does the read that follows. Should it have become
    // ready just now, it is reported again, or has been counted.
    happened == 0 ? polled->exhausted(what_, seen) : polled->not_exhausted(what_);
  }
  if (happened < 0) throw_not_ready(system_error_of(happened), what_);
  if ((happened & POLLNVAL) != 0) throw_not_ready(closed_error(), what_);
  return happened != 0;
}

polled_descriptor& readiness_wait::watch() {
  if (of_.object_ != nullptr) return *of_.object_->polled();
  watched_ = polled_descriptor::make(of_.number_, descriptor_kind::borrowed);
  watched_->exhausted(what_);
  return *watched_;
}

bool readiness_wait::enroll(waiter& w) noexcept {
  if (in_use_) {
    std::fputs("weft: a case stands twice in one select, or is used by two at once: make one for each\n", stderr);
    std::abort();
  }
  node_ = descriptor_node{w};
  closed_ = false;
  failure_ = nullptr;
  bool commits = false;
  try {
    polled_ = &watch();
    in_use_.emplace(*polled_);
    if (*in_use_ && polled_->enter_line(what_, node_)) {
      polled_->arm(what_);
    } else {
      commits = true;  // it is ready, or closed, by now
      // Whoever reads goes by that, and may not be told again; here nothing is read.
      if (*in_use_) polled_->not_exhausted(what_);
    }
  } catch (...) {
    failure_ = std::current_exception();
    commits = true;
  }
  if (in_use_) in_use_->pause();
  // If it fails after a failure, that may be because who found the node has claimed the wait: withdraw() will see.
  return commits && w.claim();
}

bool readiness_wait::withdraw() noexcept {
  bool chosen = false;
  if (in_use_) {
    chosen = node_.chosen;  // it does not change any more; and who was chosen is in line no more, but linked otherwise
    if (!chosen) polled_->leave_line(what_, node_);
    closed_ = !in_use_->resume();
    // After a failure of ours we may have been chosen by that alone. It counts. The event is left to who reads.
    if (chosen && !closed_) polled_->not_exhausted(what_);
    in_use_.reset();
  }
  watched_.reset();
  return chosen;
}

void readiness_wait::check() {
  if (closed_) throw_not_ready(closed_error(), what_);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

bool wait_ready(io::pollable of, readiness what, time_point until) {
  check_cancelled();
  readiness_wait waiting{of, what};
  // Again after a wait: another's failure to watch the descriptor, too, wakes all who wait for it.
  while (!waiting.try_now()) {
    if (until != never && until <= deadline_after(std::chrono::nanoseconds{0})) return false;
    waiter self{what == readiness::readable ? "readable descriptor" : "writable descriptor"};
    auto const cause = waiting.enroll(self) ? wake_cause::notified : self.wait(until);
    (void)waiting.withdraw();
    self.rethrow(cause);
    if (cause == wake_cause::timed_out) return false;
    waiting.check();
  }
  return true;
}

bool wait_ready(io::pollable of, readiness what, time_point until, std::error_code& ec) {
  ec.clear();
  try {
    return wait_ready(of, what, until);
  } catch (std::system_error const& e) {
    ec = e.code();
    return false;
  }
}

}  // namespace weft::inline v0::detail
