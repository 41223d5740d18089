/// @file
/// The state of a mutex, and how it changes hands: three that lock and unlock it, each several times, and one that
/// cancels their waits. Never two hold it; what was written under the lock is visible to the next holder, handed over,
/// called or first to come; nobody waits for a lock that is free; at the end it is free, and nobody stands in line.
///
/// On the real line, wait list and tickets. What is written out here and must follow mutex.cpp: what locking and
/// unlocking do with the line. How impatient a waiter is, and whether it spins first, is drawn at random.

#include <weft/runtime/detail/wait_ticket.hpp>
#include <weft/sync/detail/lock_line.hpp>

#include "explore.hpp"
#include "model_waiter.hpp"

#include <array>
#include <cstddef>

namespace weft::models {
namespace {

template <class Atomics>
class party;

/// As lock_node.
template <class Atomics>
struct alignas(8) place_in_line {
  party<Atomics>* owner = nullptr;
  plain<place_in_line*> next{nullptr};
  plain<place_in_line*> prev{nullptr};
  plain<bool> owns{false};
};

/// Who waits: a fiber's ticket, and what makes it runnable.
template <class Atomics>
class party {
public:
  [[nodiscard]] bool begin(bool cancellable) { return wait_.begin(ticket_, cancellable); }
  wake_cause wait() { return wait_.until_ended(ticket_, runnable_); }
  [[nodiscard]] bool claim() { return ticket_.claim(wait_.key()); }
  void wake() {
    if (ticket_.wake(wake_cause::notified)) runnable_.set();
  }
  void cancel() {
    if (ticket_.request_cancel(cancel_reason::user) == ticket::outcome::runnable) runnable_.set();
  }
  [[nodiscard]] bool cancelled() const { return ticket_.cancel_requested(); }

  place_in_line<Atomics> own;  ///< on the waiting side's stack, in fact

private:
  using ticket = detail::basic_wait_ticket<Atomics>;
  ticket ticket_;
  model_wait wait_;
  event runnable_;
};

/// A mistake of who waits.
enum class mistake : unsigned char {
  none,
  call_stays,            ///< who was called and came too late leaves the line believing that it is on its way
  hand_over_overlooked,  ///< who was handed the lock tries to take it
  call_dropped,          ///< who was called and finds itself cancelled goes, and passes nothing on: H7
  stays_in_line          ///< who was cancelled stays in line
};

template <class Atomics, mistake Mistake = mistake::none>
class mutex_model : public model<mutex_model<Atomics, Mistake>, 4, Atomics> {
  using sound = relacy_atomics<no_barrier>;
  using place = place_in_line<sound>;
  using line = detail::basic_lock_line<place, Atomics>;

public:
  void run(unsigned thread) {
    if (thread < lockers) return locker(parties_[thread]);
    for (auto& p : parties_) {
      let_others_run(24);
      if (rl::rand(2) == 0) p.cancel();
    }
  }

  void after() {
    RL_ASSERT(!line_.is_locked());
    RL_ASSERT(line_.take());
    RL_ASSERT(counter_ == counted_);
    place* next = nullptr;
    RL_ASSERT(line_.unlock([](place&) { return true; }, next) == line::freed::yes);  // nobody to call
  }

private:
  static constexpr std::size_t lockers = 3;
  static constexpr int times = 2;

  void locker(party<sound>& self) {
    for (int i = 0; i < times; ++i) {
      if (!line_.try_lock_unawaited(rl::rand(2) == 0) && !line_.try_lock() && !lock_slowly(self)) continue;
      RL_ASSERT(!held_);
      held_ = true;
      counter_ = counter_ + 1;
      ++counted_;
      let_others_run(4);
      held_ = false;
      if (!line_.try_unlock_unawaited(rl::rand(2) == 0) && !line_.try_unlock()) unlock_slowly();
    }
  }

  // mutex::lock_slowly()
  bool lock_slowly(party<sound>& self) {
    if (rl::rand(3) == 0 && line_.try_lock()) return true;  // spinning
    for (bool called = false;; called = true) {
      if (!self.begin(rl::rand(2) == 0)) return false;
      place& node = self.own;
      node.owner = &self;
      node.next = nullptr;
      node.prev = nullptr;
      node.owns = false;
      if (line_.take_or_stand(node, called)) return true;
      if (self.wait() != wake_cause::notified) {
        if constexpr (Mistake != mistake::stays_in_line) line_.leave(node);
        return false;
      }
      if constexpr (Mistake == mistake::call_dropped) {
        if (!node.owns && self.cancelled()) return false;
      }
      if constexpr (Mistake != mistake::hand_over_overlooked) {
        if (node.owns) return true;
      }
      if (rl::rand(3) == 0 && line_.try_lock_as_called()) return true;
      if constexpr (Mistake == mistake::call_stays) continue;
      if (line_.take_as_called()) return true;
    }
  }

  // mutex::unlock_slowly()
  void unlock_slowly() {
    place* next = nullptr;
    auto const result = line_.unlock([](place&) { return rl::rand(2) == 0; }, next);
    RL_ASSERT(result != line::freed::was_free);
    if (result == line::freed::wakes) next->owner->wake();
  }

  line line_;
  plain<int> counter_{0};  // guarded by the lock, as is `held_`
  plain<bool> held_{false};
  std::array<party<sound>, lockers> parties_;

  int counted_ = 0;  // the model's own knowledge
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;  // it needs none
  return weft::models::main(
      argc, argv,
      {explored<mutex_model<sound>>("mutex"),
       explored<mutex_model<sound, mistake::call_stays>>("mutex, a call that came too late is kept", weakened),
       explored<mutex_model<sound, mistake::hand_over_overlooked>>("mutex, hand-over overlooked", weakened),
       explored<mutex_model<sound, mistake::call_dropped>>("mutex, a cancelled waiter keeps its call", weakened),
       explored<mutex_model<sound, mistake::stays_in_line>>("mutex, a cancelled waiter stays in line", weakened),
       explored<mutex_model<relacy_atomics<no_barrier, all_relaxed>>>("mutex, all relaxed", weakened),
       explored<mutex_model<relacy_atomics<no_barrier, divisible>>>("mutex, divisible exchange", weakened)});
}
