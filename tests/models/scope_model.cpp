/// @file
/// Cancel scopes and the ticket: who cancels a scope writes that into it and pokes the party, which looks and claims
/// its wait itself. No cancellation that counts is lost, none that does not count ends a wait; each wait has one
/// winner; each time that the party is parked it is made runnable once, never before its registers are saved; what was
/// done before a cancellation is visible to who meets it.
///
/// The party waits twice, in two scopes, and may hold a shield between them; each is cancelled by a thread of its own.
/// Since the inner one counts for every wait, every wait ends. On a real ticket; what is written out here and must
/// follow waiter.cpp and scopes.cpp: how a party looks at its chain, and when.

#include <weft/runtime/detail/wait_ticket.hpp>

#include "explore.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace weft::models {
namespace {

/// What a canceller does first.
enum class canceller_order : bool { writes_then_pokes, pokes_then_writes };
/// What the party does first.
enum class party_order : bool { clears_then_looks, looks_then_clears };

template <class Atomics, canceller_order Cancels = canceller_order::writes_then_pokes,
          party_order Looks = party_order::clears_then_looks>
class scope_model : public model<scope_model<Atomics, Cancels, Looks>, 4, Atomics> {
  using ticket = detail::basic_wait_ticket<Atomics>;
  using outcome = typename ticket::outcome;

public:
  void run(unsigned thread) {
    switch (thread) {
      case 0: return party();
      case 1: return canceller(inner);
      case 2: return canceller(outer);
      default: return notifier();
    }
  }

private:
  static constexpr int running = -1;
  static constexpr int waits = 2;
  static constexpr std::size_t inner = 0;
  static constexpr std::size_t outer = 1;
  static constexpr std::size_t none = 2;

  struct scope {
    typename Atomics::template atomic<std::uint64_t> state{0};  // scope_node::state
    plain<int> before{0};                                       // what the canceller did before
  };

  void party() {
    for (int wait = 1; wait <= waits; ++wait) {
      shielded_ = rl::rand(2) == 0;
      bool const looked = ticket_.looks();
      outer_looks_ = looked;
      if (shielded_ && !looked) ticket_.set_look();  // enter_scope()
      wait_once(wait);
      if (!outer_looks_ && ticket_.looks()) ticket_.clear_look();  // leave_scope()
    }
    ended_ = true;
    something_queued_.set();
  }

  void wait_once(int wait) {
    winners_ = 0;
    auto key = ticket_.begin(true);  // waiter's constructor
    while (!key) {
      if (auto const found = look(); found != none) return check_cancelled(found);
      key = ticket_.begin_attentive(false);
    }
    {
      std::lock_guard const lock{list_lock_};
      queued_ = wait;
      queued_as_ = key.bits;
    }
    something_queued_.set();
    auto found = none;
    if (!ticket_.goes_on(key)) switch_away(wait, key);
    while (!ticket_.has_ended(key)) {  // waiter::look_and_wait_on()
      found = look();
      if (found != none && settle(ticket_.notify(key, wake_cause::cancelled), wake_cause::cancelled)) break;
      if (!ticket_.goes_on(key)) switch_away(wait, key);
    }
    RL_ASSERT(winners_ == 1);
    auto const cause = ticket_.cause();
    RL_ASSERT(cause == winner_);
    if (cause == wake_cause::notified) {
      RL_ASSERT(handed_over_ == wait);
    } else {
      {
        std::lock_guard const lock{list_lock_};
        queued_ = 0;
      }
      RL_ASSERT(found != none);
      check_cancelled(found);
    }
  }

  /// survey_scopes(): the outermost that counts and has been cancelled.
  std::size_t look() {
    bool const poked = ticket_.poked();
    if constexpr (Looks == party_order::looks_then_clears) {
      auto const found = look_at_scopes();
      if (poked) heed();
      return found;
    }
    if (poked) heed();
    return look_at_scopes();
  }
  std::size_t look_at_scopes() {
    auto found = none;
    if (scopes_[inner].state.load(std::memory_order_acquire) != 0) found = inner;
    if (!shielded_ && scopes_[outer].state.load(std::memory_order_acquire) != 0) found = outer;
    return found;
  }
  void heed() {
    ticket_.heed_poke(true);
    outer_looks_ = true;
  }
  void check_cancelled(std::size_t found) { RL_ASSERT(scopes_[found].before == 1); }

  /// worker::suspend() and arrive(): the context is saved; what runs after it, on the same thread, parks the ticket.
  void switch_away(int wait, detail::wait_key key) {
    resumed_ = 0;
    registers_ = wait;
    if (!ticket_.park(key)) make_runnable();
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
  bool settle(outcome result, wake_cause cause) {
    if (result == outcome::lost) return false;
    RL_ASSERT(result == outcome::won);  // the party itself: it runs
    won(cause);
    return true;
  }

  void canceller(std::size_t of) {
    let_others_run(32);
    scope& s = scopes_[of];
    s.before = 1;
    if constexpr (Cancels == canceller_order::pokes_then_writes) poke();
    std::uint64_t expected = 0;
    RL_ASSERT(s.state.compare_exchange_strong(expected, of + 1, std::memory_order_seq_cst, std::memory_order_acquire));
    if constexpr (Cancels == canceller_order::writes_then_pokes) poke();
  }
  void poke() {
    if (ticket_.poke()) make_runnable();
  }

  /// Ends a wait now and then.
  void notifier() {
    for (;;) {
      something_queued_.wait();
      if (ended_) return;
      if (rl::rand(2) == 0) continue;
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

  ticket ticket_;
  std::array<scope, 2> scopes_;
  plain<int> registers_{running};
  event runnable_;  // a run queue, and a worker that takes from it
  plain<int> handed_over_{0};

  mutex list_lock_;
  plain<int> queued_{0};  // which wait; 0: none
  plain<std::uint32_t> queued_as_{0};
  event something_queued_;

  // The party's.
  bool shielded_ = false;
  bool outer_looks_ = false;

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
      {explored<scope_model<sound>>("scope"),
       explored<scope_model<sound, canceller_order::pokes_then_writes>>("scope, poked before it is cancelled",
                                                                        weakened),
       explored<scope_model<sound, canceller_order::writes_then_pokes, party_order::looks_then_clears>>(
           "scope, poke heeded after the look", weakened),
       explored<scope_model<relacy_atomics<no_barrier, all_relaxed>>>("scope, all relaxed", weakened),
       explored<scope_model<relacy_atomics<no_barrier, divisible>>>("scope, divisible exchange", weakened)});
}
