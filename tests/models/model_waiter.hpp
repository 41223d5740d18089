#pragma once
/// @file
/// Who waits, in models of what is waited for: a ticket, and an event in place of a run queue and a worker. As
/// weft::waiter, claim() ends the wait of a party that is parked.

#include <weft/runtime/detail/wait_ticket.hpp>
#include <weft/runtime/waiter.hpp>

#include "relacy_atomics.hpp"

namespace weft::models {

template <class Atomics>
class model_waiter {
  using ticket = detail::basic_wait_ticket<Atomics>;
  using outcome = typename ticket::outcome;

public:
  /// @returns false if it has been cancelled
  bool begin() { return ticket_.begin(true); }
  wake_cause wait() {
    if (ticket_.park()) runnable_.wait();
    RL_ASSERT(ticket_.woken());
    return ticket_.cause();
  }
  bool claim() {
    auto const result = ticket_.claim_or_end(wake_cause::notified);
    if (result == outcome::lost) return false;
    only_to_run_ = result == outcome::runnable;
    return true;
  }
  void wake(placement) {
    if (only_to_run_ || ticket_.wake(wake_cause::notified)) runnable_.set();
  }
  void cancel() {
    if (ticket_.request_cancel(cancel_reason::user) == outcome::runnable) runnable_.set();
  }

private:
  ticket ticket_;
  plain<bool> only_to_run_{false};
  event runnable_;
};

/// What goes through a channel: that it is moved is seen as a use of a plain variable.
struct message {
  explicit message(int n) : content(n) {}
  message(message&& other) noexcept : content(static_cast<int>(other.content)) {}
  plain<int> content;
};

}  // namespace weft::models
