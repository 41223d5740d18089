/// @file
/// Parking and waking of workers: the idle set, the rings and the injection queue, used as worker_loop.cpp and
/// scheduler::wake_one() use them, and poller's way to sleep. Nobody sleeps for good while there is work: a wake-up
/// that is lost leaves all threads blocked, which Relacy reports as a deadlock. Time limits, which would hide that, are
/// left out. What is written out here and must follow the code: the protocol between the structures, function by
/// function.
///
/// Thread 0 makes work and never does any: a worker in one long fiber, or a thread that is no worker. The other two are
/// workers. One of the fibers makes another one and then blocks its worker until that has run: so the other worker must
/// be woken even if one is awake.

#include "injection_queue.hpp"

#include <weft/runtime/detail/idle_set.hpp>
#include <weft/runtime/detail/ring.hpp>

#include "explore.hpp"

#include <array>
#include <cstdint>
#include <mutex>
#include <utility>

namespace weft::models {
namespace {

/// Where the work comes from: the ring of a worker, a thread that is none, or a worker that sends a joiner back to
/// another (worker::goes_first()); and that without waking where it cannot know whether the other sleeps.
enum class source : std::uint8_t { own_ring, outside, sent_back, sent_back_hopefully };
/// The second look of a worker that has parked, before it sleeps.
enum class last_look : bool { taken, omitted };
/// What tells a worker that it need not sleep.
enum class wake_up : bool { flag_and_signal, signal_alone };

/// poller, with an event in place of libuv's loop: whoever runs the loop takes the event.
template <class Atomics, wake_up By>
class poller {
public:
  void wake() {
    if (By == wake_up::signal_alone || !woken_.exchange(true, std::memory_order_acq_rel)) signal_.set();
  }
  void sleep() {
    std::lock_guard const lock{lock_};
    if (By == wake_up::signal_alone) return signal_.wait();
    if (woken_.exchange(false, std::memory_order_acq_rel)) return signal_.reset();
    signal_.wait();
    woken_.exchange(false, std::memory_order_acq_rel);
  }
  void try_poll() {
    if (!lock_.try_lock()) return;
    signal_.reset();
    lock_.unlock();
  }

private:
  mutex lock_;
  event signal_;
  typename Atomics::template atomic<bool> woken_{false};
};

/// @tparam IdleAtomics  those of the idle set, if it alone is weakened
template <class Atomics, source Source, last_look Look = last_look::taken, wake_up By = wake_up::flag_and_signal,
          class IdleAtomics = Atomics>
class parking_model : public model<parking_model<Atomics, Source, Look, By, IdleAtomics>, 3, Atomics> {
  using barrier = typename Atomics::barrier;
  static constexpr std::uint32_t workers = 3;
  /// In steps: makes it about even whether the workers sleep when work comes.
  static constexpr unsigned time_to_fall_asleep = 64;

public:
  void run(unsigned thread) {
    if (thread == 0) {
      let_others_run(time_to_fall_asleep);
      make_runnable(parent_);
      let_others_run(time_to_fall_asleep);
      make_runnable(single_);
    } else {
      run_loop(thread);
    }
  }

  void after() { RL_ASSERT(parent_.runs == 1 && child_.runs == 1 && single_.runs == 1); }

private:
  struct fiber {
    plain<fiber*> next{nullptr};
    plain<int> state{0};
    int runs = 0;  // the model's own knowledge
  };

  struct worker {
    aligned_place<detail::basic_ring<fiber*, 2, Atomics, mutex>> ring;
    detail::basic_injection_queue<fiber, Atomics, mutex> returning;
    poller<Atomics, By> loop;
    typename Atomics::template atomic<bool> asleep{false};
    bool searching = false;
  };

  // scheduler::make_runnable() and worker::enqueue(), called by thread 0
  void make_runnable(fiber& f) {
    f.state = 1;
    if constexpr (Source == source::outside) {
      injected_.push(f);
      wake_one();
    } else if constexpr (Source != source::own_ring) {
      worker& last = workers_[1 + rl::rand(2)];
      last.returning.push(f);
      barrier::light();
      bool const unknown = Source == source::sent_back && !barrier::asymmetric();
      if (unknown || last.asleep.load(std::memory_order_relaxed)) last.loop.wake();
    } else {
      push(0, f);
    }
  }

  void push(unsigned me, fiber& f) {
    RL_ASSERT(workers_[me].ring->push(&f));
    wake_one();
  }

  void wake_one() {
    if (!idle_->wanted()) return;
    auto const index = idle_->pick();
    if (index != detail::idle_set::nobody) workers_[index].loop.wake();
  }

  // worker::run_loop()
  void run_loop(unsigned me) {
    worker& w = workers_[me];
    while (!quit_.load(std::memory_order_acquire)) {
      look_after(3 - me);
      fiber* next = pick_next(me);
      if (next == nullptr) next = search(me);
      if (next == nullptr) next = sleep(me);
      if (next == nullptr) continue;
      if (w.searching) {
        w.searching = false;
        if (idle_->found()) wake_one();
      }
      dispatch(me, *next);
    }
  }

  void dispatch(unsigned me, fiber& f) {
    RL_ASSERT(f.state == 1);
    f.state = 2;
    ++f.runs;
    if (&f == &parent_) {
      child_.state = 1;
      push(me, child_);
      child_done_.wait();
    } else if (&f == &child_) {
      child_done_.set();
    }
    if (++done_ != 3) return;
    quit_.store(true, std::memory_order_release);
    for (unsigned i = 1; i != workers; ++i) workers_[i].loop.wake();
  }

  fiber* pick_next(unsigned me) {
    if (fiber* const f = workers_[me].ring->take()) return f;
    if (fiber* const f = workers_[me].returning.pop(1)) return f;
    return injected_.pop(1);
  }

  fiber* search(unsigned me) {
    worker& w = workers_[me];
    if (!w.searching) {
      if (!idle_->search(workers)) return nullptr;
      w.searching = true;
    }
    for (unsigned i = 1; i != workers; ++i) {
      worker& victim = workers_[(me + i) % workers];
      if (fiber* const f = victim.ring->steal()) return f;
      if (fiber* const f = victim.returning.pop(1)) return f;
    }
    return injected_.pop(1);
  }

  /// worker::look_after_neighbours(), at any time.
  void look_after(unsigned neighbour) {
    if (rl::rand(2) == 0) workers_[neighbour].loop.try_poll();
  }

  bool work_in_sight(unsigned me) {
    if (!injected_.empty() || !workers_[me].returning.empty()) return true;
    for (unsigned i = 1; i != workers; ++i) {
      worker& other = workers_[(me + i) % workers];
      if (other.ring->size() != 0 || !other.returning.empty()) return true;
    }
    return false;
  }

  fiber* sleep(unsigned me) {
    worker& w = workers_[me];
    w.asleep.store(true, std::memory_order_relaxed);
    idle_->park(me, std::exchange(w.searching, false));
    barrier::heavy();
    if (Look == last_look::taken && (work_in_sight(me) || quit_.load(std::memory_order_acquire))) {
      w.asleep.store(false, std::memory_order_relaxed);
      w.searching = !idle_->unpark(me) || idle_->search(workers * 2);
      return pick_next(me);
    }
    w.loop.sleep();
    w.asleep.store(false, std::memory_order_relaxed);
    w.searching = !idle_->unpark(me);
    return pick_next(me);
  }

  fiber parent_;
  fiber child_;
  fiber single_;
  event child_done_;
  int done_ = 0;  // the model's own knowledge
  aligned_place<detail::basic_idle_set<IdleAtomics, mutex>> idle_;
  detail::basic_injection_queue<fiber, Atomics, mutex> injected_;
  typename Atomics::template atomic<bool> quit_{false};
  std::array<worker, workers> workers_;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using with = relacy_atomics<membarrier>;
  using without = relacy_atomics<no_barrier>;
  constexpr auto look = last_look::taken;
  constexpr auto both = wake_up::flag_and_signal;
  return weft::models::main(
      argc, argv,
      {explored<parking_model<with, source::own_ring>>("parking, work in a ring"),
       explored<parking_model<with, source::outside>>("parking, work from outside"),
       explored<parking_model<with, source::sent_back>>("parking, a joiner sent back"),
       explored<parking_model<without, source::sent_back>>("parking, a joiner sent back, without membarrier"),
       explored<parking_model<without, source::sent_back_hopefully>>("parking, a joiner sent back, not woken",
                                                                     weakened),
       explored<parking_model<without, source::own_ring>>("parking, work in a ring, without membarrier"),
       explored<parking_model<without, source::outside>>("parking, work from outside, without membarrier"),
       explored<parking_model<relacy_atomics<broken_barrier>, source::own_ring>>("parking, barrier does nothing",
                                                                                 weakened),
       explored<parking_model<without, source::own_ring, look, both, relacy_atomics<no_barrier, all_relaxed>>>(
           "parking, idle set relaxed", weakened),
       explored<parking_model<with, source::own_ring, last_look::omitted>>("parking, no last look", weakened),
       explored<parking_model<with, source::own_ring, look, wake_up::signal_alone>>(
           "parking, a neighbour takes the signal", weakened)});
}
