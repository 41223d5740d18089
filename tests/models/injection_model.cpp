/// @file
/// The injection queue, and the lock for short sections (which takes the place of its mutex in one variant). What was
/// pushed is popped once, each producer's in order; who pops it sees what was written before the push; who has been
/// told of a push does not miss it, although it looks at the size without the lock. Nobody who waits for the lock is
/// forgotten: that would leave all threads blocked.

#include "injection_queue.hpp"
#include "spin_lock.hpp"

#include "explore.hpp"

#include <array>
#include <cstddef>
#include <mutex>

namespace weft::models {
namespace {

struct item {
  plain<item*> next{nullptr};
  plain<int> state{0};  // stands for the fiber: written by who pushes it, then by who pops it
  // What the model itself knows.
  unsigned number = 0;
  bool popped = false;
};

/// Threads 0 and 1 push, one by one and as a list; thread 2 pops a few meanwhile; thread 3 too, and the rest when all
/// others have told it that they are done.
template <class Atomics, class Mutex = mutex>
class injection_model : public model<injection_model<Atomics, Mutex>, 4, Atomics> {
public:
  void run(unsigned thread) {
    if (thread == 0) {
      for (item& i : items_[0]) {
        begin(i);
        queue_.push(i);
      }
    } else if (thread == 1) {
      auto& list = items_[1];
      for (item& i : list) begin(i);
      queue_.push(list[0]);
      list[1].next = &list[2];
      queue_.push_list(&list[1], &list[2], 2);
    } else {
      consumer self;
      for (unsigned i = 0; i != 2; ++i) pop(self);
      if (thread == 3) {
        for (event& e : done_) e.wait();
        while (pop(self)) {
        }
        for (auto const& list : items_) {
          for (item const& i : list) RL_ASSERT(i.popped);
        }
        RL_ASSERT(queue_.empty());
      }
    }
    if (thread != 3) done_[thread].set();
  }

private:
  struct consumer {
    std::array<unsigned, 2> last{};  // of each producer
  };

  void begin(item& i) {
    i.number = static_cast<unsigned>(&i - items_[of(i)].data()) + 1;
    i.state = 1;
  }

  std::size_t of(item const& i) const noexcept { return &i >= items_[1].data() ? 1 : 0; }

  bool pop(consumer& self) {
    item* at = queue_.pop(1 + rl::rand(3));
    if (at == nullptr) return false;
    while (at != nullptr) {
      item* const next = at->next;
      RL_ASSERT(!at->popped);
      at->popped = true;
      RL_ASSERT(at->state == 1);
      at->state = 2;
      auto& last = self.last[of(*at)];
      RL_ASSERT(at->number > last);
      last = at->number;
      at = next;
    }
    return true;
  }

  detail::basic_injection_queue<item, Atomics, Mutex> queue_;
  std::array<std::array<item, 3>, 2> items_;
  std::array<event, 3> done_;
};

/// What a sleeper is told of: nothing.
struct silent : relacy_atomics<no_barrier> {
  template <class T>
  struct atomic : relacy_atomics<no_barrier>::atomic<T> {
    using relacy_atomics<no_barrier>::atomic<T>::atomic;
    void notify_one() noexcept {}
  };
};

template <class Atomics>
class spin_lock_model : public model<spin_lock_model<Atomics>, 3, Atomics> {
public:
  void run(unsigned) {
    for (unsigned i = 0; i != 2; ++i) {
      if (rl::rand(4) == 0) {
        if (!lock_.try_lock()) continue;
      } else {
        lock_.lock();
      }
      ++guarded_;
      ++sections_;
      lock_.unlock();
    }
  }

  void after() {
    RL_ASSERT(guarded_ == sections_);
    RL_ASSERT(lock_.try_lock());
  }

private:
  detail::basic_spin_lock<Atomics, 1> lock_;
  plain<int> guarded_{0};
  int sections_ = 0;  // the model's own knowledge
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  using sound = relacy_atomics<no_barrier>;
  using relaxed = relacy_atomics<no_barrier, all_relaxed>;
  using torn = relacy_atomics<no_barrier, divisible>;
  using weft::detail::basic_spin_lock;
  return weft::models::main(
      argc, argv,
      {explored<injection_model<sound>>("injection queue"),
       explored<injection_model<sound, basic_spin_lock<sound, 1>>>("injection queue, spin lock"),
       explored<spin_lock_model<sound>>("spin lock"),
       explored<injection_model<sound, open_mutex>>("injection queue, no lock", weakened),
       explored<injection_model<sound, basic_spin_lock<relaxed, 1>>>("injection queue, lock relaxed", weakened),
       explored<spin_lock_model<relaxed>>("spin lock, all relaxed", weakened),
       explored<spin_lock_model<torn>>("spin lock, divisible exchange", weakened),
       explored<spin_lock_model<silent>>("spin lock, wakes nobody", weakened)});
}
