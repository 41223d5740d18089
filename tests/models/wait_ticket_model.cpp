/// @file
/// The ticket on which wake, time-out and cancellation race: exactly one wins each wait; the party is made runnable
/// exactly once, never before its registers are saved; what the winner handed over, and what the canceller did before,
/// is visible to the party.
///
/// The party waits twice. Whoever wakes it reaches its ticket as in weft: a primitive through its list and lock, the
/// timer through the wheel and its lock, a canceller at any time.

#include <weft/runtime/detail/wait_ticket.hpp>

#include "explore.hpp"

#include <cstdint>
#include <mutex>

namespace weft::models {
namespace {

/// When the party says that it may be run.
enum class publication : bool { after_saving, before_saving };

template <class Atomics, publication When = publication::after_saving>
class wait_ticket_model : public model<wait_ticket_model<Atomics, When>, 4, Atomics> {
  using ticket = detail::basic_wait_ticket<Atomics>;
  using outcome = typename ticket::outcome;

public:
  void run(unsigned thread) {
    switch (thread) {
      case 0: return party();
      case 1: return notifier();
      case 2: return timer();
      default: return canceller();
    }
  }

private:
  static constexpr int running = -1;
  static constexpr int waits = 2;

  void party() {
    for (int wait = 1; wait <= waits; ++wait) {
      bool const cancellable = rl::rand(4) != 0;
      winners_ = 0;
      resumed_ = 0;
      auto const key = ticket_.begin(cancellable);
      if (!key) {
        RL_ASSERT(cancellable);
        check_cancelled();
        continue;
      }
      {
        std::lock_guard const lock{list_lock_};
        queued_ = wait;
        queued_as_ = key.bits;
      }
      something_queued_.set();
      {
        std::lock_guard const lock{wheel_lock_};
        armed_as_ = key.bits;
      }
      timer_armed_.set();
      if (!ticket_.goes_on(key)) switch_away(wait, key);  // worker::park()
      while (!ticket_.has_ended(key)) {                   // waiter::look_and_wait_on()
        RL_ASSERT(cancellable && ticket_.cancel_requested());
        if (ticket_.notify(key, wake_cause::cancelled) != outcome::lost) {
          won(wake_cause::cancelled);
        } else if (!ticket_.goes_on(key)) {
          switch_away(wait, key);
        }
      }
      RL_ASSERT(winners_ == 1);
      auto const cause = ticket_.cause();
      RL_ASSERT(cause == winner_);
      if (cause == wake_cause::notified) {
        RL_ASSERT(handed_over_ == wait);
      } else {
        std::lock_guard const lock{list_lock_};
        queued_ = 0;
      }
      if (cause != wake_cause::timed_out) {
        std::lock_guard const lock{wheel_lock_};
        armed_as_ = 0;
      }
      if (cause == wake_cause::cancelled) {
        RL_ASSERT(cancellable);
        check_cancelled();
      }
    }
    ended_ = true;
    something_queued_.set();
    timer_armed_.set();
  }

  void check_cancelled() {
    RL_ASSERT(ticket_.cancel_requested());
    RL_ASSERT(ticket_.reason() == cancel_reason::shutdown);
    RL_ASSERT(before_cancel_ == 1);
  }

  /// worker::suspend() and arrive(): the context is saved; what runs after it, on the same thread, parks the ticket.
  void switch_away(int wait, detail::wait_key key) {
    bool parked = false;
    resumed_ = 0;
    if constexpr (When == publication::before_saving) parked = ticket_.park(key);
    registers_ = wait;
    if constexpr (When == publication::after_saving) parked = ticket_.park(key);
    if (!parked) make_runnable();
    runnable_.wait();
    RL_ASSERT(resumed_ == 1);
  }

  /// From here on any worker may run the party, at once: it loads the registers, and the next save writes them again.
  void make_runnable() {
    ++resumed_;
    RL_ASSERT(resumed_ == 1);
    RL_ASSERT(registers_ != running);
    registers_ = running;
    runnable_.set();
  }

  void won(wake_cause cause) {
    ++winners_;
    RL_ASSERT(winners_ == 1);
    winner_ = cause;
  }

  void notifier() {
    for (;;) {
      something_queued_.wait();
      if (ended_) return;
      int wait = 0;
      {
        std::lock_guard const lock{list_lock_};
        if (queued_ == 0 || !ticket_.claim({queued_as_})) continue;
        won(wake_cause::notified);
        wait = queued_;
        queued_ = 0;
      }
      handed_over_ = wait;
      if (ticket_.wake(wake_cause::notified)) make_runnable();
    }
  }

  void timer() {
    for (;;) {
      timer_armed_.wait();
      if (ended_) return;
      std::lock_guard const lock{wheel_lock_};
      std::uint32_t const key = armed_as_;
      if (key == 0) continue;
      armed_as_ = 0;
      end_wait(ticket_.notify({key}, wake_cause::timed_out), wake_cause::timed_out);
    }
  }

  void canceller() {
    let_others_run(32);
    before_cancel_ = 1;
    end_wait(ticket_.request_cancel(cancel_reason::shutdown), wake_cause::cancelled);
    RL_ASSERT(ticket_.request_cancel(cancel_reason::user) == outcome::lost);
  }

  void end_wait(outcome result, wake_cause cause) {
    if (result == outcome::lost) return;
    won(cause);
    if (result == outcome::runnable) make_runnable();
  }

  ticket ticket_;
  plain<int> registers_{running};
  event runnable_;  // a run queue, and a worker that takes from it
  plain<int> handed_over_{0};
  plain<int> before_cancel_{0};

  mutex list_lock_;
  plain<int> queued_{0};  // which wait; 0: none
  plain<std::uint32_t> queued_as_{0};
  event something_queued_;
  mutex wheel_lock_;
  plain<std::uint32_t> armed_as_{0};  // 0: not
  event timer_armed_;

  // The model's own knowledge.
  bool ended_ = false;
  int winners_ = 0;
  int resumed_ = 0;
  wake_cause winner_{};
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;  // the ticket needs none
  return weft::models::main(
      argc, argv,
      {explored<wait_ticket_model<sound>>("wait ticket"),
       explored<wait_ticket_model<sound, publication::before_saving>>("wait ticket, parked before saving", weakened),
       explored<wait_ticket_model<relacy_atomics<no_barrier, all_relaxed>>>("wait ticket, all relaxed", weakened),
       explored<wait_ticket_model<relacy_atomics<no_barrier, divisible>>>("wait ticket, divisible exchange",
                                                                          weakened)});
}
