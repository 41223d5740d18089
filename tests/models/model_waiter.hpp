#pragma once
/// @file
/// Who waits, in models of what is waited for: a ticket, and an event in place of a run queue and a worker. As
/// weft::waiter, claim() ends the wait of a party that is parked.

#include <weft/runtime/detail/wait_ticket.hpp>
#include <weft/runtime/waiter.hpp>

#include "relacy_atomics.hpp"

#include <cstdint>

namespace weft::models {

/// One wait of a party, as weft::waiter's: guarded by what leads to it.
class model_wait {
public:
  /// @returns false if it has been cancelled
  template <class Ticket>
  bool begin(Ticket& ticket, bool cancellable) {
    auto const key = ticket.begin(cancellable);
    bits_ = key.bits;
    return static_cast<bool>(key);
  }
  /// Parks. A cancellation that strikes before that leaves it to the party to end its wait.
  template <class Ticket>
  wake_cause until_ended(Ticket& ticket, event& runnable) {
    for (;;) {
      if (ticket.park(key())) runnable.wait();
      if (ticket.has_ended(key())) return ticket.cause();
      RL_ASSERT(ticket.cancel_requested());
      if (ticket.notify(key(), wake_cause::cancelled) != Ticket::outcome::lost) return wake_cause::cancelled;
    }
  }
  [[nodiscard]] detail::wait_key key() const { return {bits_}; }

private:
  plain<std::uint32_t> bits_{0};
};

template <class Atomics>
class model_waiter {
  using ticket = detail::basic_wait_ticket<Atomics>;
  using outcome = typename ticket::outcome;

public:
  /// @returns false if it has been cancelled
  bool begin() { return wait_.begin(ticket_, true); }
  wake_cause wait() { return wait_.until_ended(ticket_, runnable_); }
  bool claim() {
    auto const result = ticket_.claim_or_end(wait_.key(), wake_cause::notified);
    if (result == outcome::lost) return false;
    only_to_run_ = result == outcome::runnable;
    return true;
  }
  void wake(placement) {
    if (only_to_run_ || ticket_.wake(wake_cause::notified)) runnable_.set();
  }
  [[nodiscard]] ticket const& own_ticket() const { return ticket_; }
  void cancel() {
    if (ticket_.request_cancel(cancel_reason::user) == outcome::runnable) runnable_.set();
  }

private:
  ticket ticket_;
  model_wait wait_;
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
