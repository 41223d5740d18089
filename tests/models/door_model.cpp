/// @file
/// The end of a runtime: who shuts it down sees it empty only when no fiber is left and no visitor that entered, nobody
/// enters afterwards, and nobody touches what has then been taken down. What is written out here and must follow the
/// code: runtime::stop(), ~scheduler(), scheduler::make_runnable() and the workers' loop.
///
/// Thread 0 shuts down. Thread 1 is a visitor that makes fibers. Thread 2 wakes the fiber that waits from the
/// beginning; it is no worker either. Thread 3 is a worker, which runs what is queued; of those fibers, some make
/// another one.

#include "door.hpp"

#include "explore.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace weft::models {
namespace {

/// How scheduler::drain() finds out that nobody is left.
enum class question : std::uint8_t { as_written, fibers_first, beginnings_first };
/// Whether ~scheduler() waits for who has queued a fiber.
enum class farewell : bool { awaited, omitted };

template <class Atomics, question Asked = question::as_written, farewell Last = farewell::awaited>
class door_model : public model<door_model<Atomics, Asked, Last>, 4, Atomics> {
  using door = detail::basic_door<Atomics>;
  using count = typename door::count;

public:
  /// With one fiber, which waits; thread 2 has claimed its wait.
  door_model() {
    ++alive_;
    door_.note_begin();
  }

  void run(unsigned thread) {
    switch (thread) {
      case 0: return shut_down();
      case 1: return visit();
      case 2: return wake();
      default: return work();
    }
  }

  void after() { RL_ASSERT(alive_ == 0); }

private:
  static constexpr std::size_t woken = 1;
  static constexpr std::size_t parent = 2;
  static constexpr std::size_t child = 3;

  auto counters() const {
    return [this](auto const& visit) {
      for (worker const& w : workers_) visit(w.begun, w.ended);
    };
  }

  bool empty() const {
    if constexpr (Asked == question::as_written) return door_.empty(counters());
    if constexpr (Asked == question::fibers_first) return door_.live(counters()) == 0 && door_.vacated();
    if (!door_.vacated()) return false;
    std::uint64_t begun = 0;
    std::uint64_t ended = 0;
    for (worker const& w : workers_) begun += w.begun.load(std::memory_order_acquire);
    for (worker const& w : workers_) ended += w.ended.load(std::memory_order_acquire);
    return door_.live([](auto const&) {}) + begun == ended;
  }

  void shut_down() {
    let_others_run(16);
    door_.close();
    while (!empty()) Atomics::pause(0);
    RL_ASSERT(alive_ == 0);
    RL_ASSERT(visitors_ == 0);
    drained_ = true;
    if constexpr (Last == farewell::awaited) {
      while (!door_.vacated()) Atomics::pause(0);
    }
    door_.dismiss();
    wake_worker();
    gone_.wait();
    there_ = false;
  }

  void visit() {
    for (unsigned i = 0; i != 2; ++i) {
      if (!door_.enter()) continue;
      RL_ASSERT(!drained_);
      ++visitors_;
      RL_ASSERT(there_);
      ++alive_;
      door_.note_begin();
      queue(parent);
      --visitors_;
      door_.leave();
    }
  }

  void wake() {
    let_others_run(32);
    door_.enter_beside_fiber();
    queue(woken);
    RL_ASSERT(there_);  // scheduler::wake_one(), for instance
    door_.leave();
  }

  void queue(std::size_t fiber) {
    {
      std::lock_guard const lock{mutex_};
      ++queued_[fiber];
    }
    wake_worker();
  }

  /// poller::wake() and sleep(), with a lock for the flag that makes even a wake-up that merges with another publish
  /// what came before it (see parking_model.cpp).
  void wake_worker() {
    {
      std::lock_guard const lock{mutex_};
    }
    loop_.set();
  }
  void sleep() {
    loop_.wait();
    std::lock_guard const lock{mutex_};
  }

  void work() {
    while (!door_.dismissed()) {
      RL_ASSERT(there_);
      bool any = false;
      for (std::size_t const fiber : {woken, parent, child}) {
        {
          std::lock_guard const lock{mutex_};
          if (queued_[fiber] == 0) continue;
          --queued_[fiber];
        }
        any = true;
        // Those with a child run on one worker, the children on another, as if stolen.
        worker& on = workers_[fiber == child ? 1 : 0];
        if (fiber == parent && !door_.closed()) {
          ++alive_;
          door::add_one(on.begun);
          std::lock_guard const lock{mutex_};
          ++queued_[child];
        }
        --alive_;
        door::add_one(on.ended);
      }
      if (!any) sleep();
    }
    gone_.set();
  }

  struct worker {
    count begun{0};
    count ended{0};
  };

  door door_;
  std::array<worker, 2> workers_;
  plain<bool> there_{true};  // the scheduler's memory
  mutex mutex_;
  std::array<plain<int>, 4> queued_;
  event loop_;
  event gone_;

  // The model's own knowledge.
  int alive_ = 0;
  int visitors_ = 0;
  bool drained_ = false;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;  // it needs none
  return weft::models::main(
      argc, argv,
      {explored<door_model<sound>>("door"),
       explored<door_model<relacy_atomics<no_barrier, without_total_order>>>("door, seq_cst is acq_rel", weakened),
       explored<door_model<relacy_atomics<no_barrier, all_relaxed>>>("door, all relaxed", weakened),
       explored<door_model<sound, question::fibers_first>>("door, visitors counted last", weakened),
       explored<door_model<sound, question::beginnings_first>>("door, beginnings counted first", weakened),
       explored<door_model<sound, question::as_written, farewell::omitted>>("door, no wait for the last visitor",
                                                                            weakened)});
}
