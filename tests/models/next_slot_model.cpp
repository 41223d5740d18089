/// @file
/// The place of a worker's next fiber, under its owner and two thieves. What was put is taken once and by one, who sees
/// what was written before; and what nobody takes stays.

#include <weft/runtime/detail/next_slot.hpp>

#include "explore.hpp"

#include <array>
#include <cstddef>

namespace weft::models {
namespace {

struct item {
  plain<int> state{0};  // stands for the fiber: written by who puts it, then by who takes it
  // What the model itself knows; not part of what is modelled.
  int put = 0;
  int taken = 0;
};

void accept(item* i) {
  if (i == nullptr) return;
  ++i->taken;
  RL_ASSERT(i->taken == i->put);
  RL_ASSERT(i->state == 1);
  i->state = 2;
}

template <class Atomics>
class next_slot_model : public model<next_slot_model<Atomics>, 3, Atomics> {
public:
  void run(unsigned thread) {
    if (thread == 0) return own();
    for (unsigned i = 0; i != 3; ++i) {
      item* const stolen = slot_->waits() ? slot_->steal() : nullptr;
      accept(stolen);
    }
  }

  void after() {
    // A theft that the owner has not noticed is no reason to keep others from what comes next.
    accept(slot_->take());
    item last;
    put(last, [&] { slot_->put(&last); });
    RL_ASSERT(slot_->waits());
    accept(slot_->steal());
    RL_ASSERT(last.taken == 1 && !slot_->waits() && slot_->take() == nullptr);
    for (item const& i : items_) RL_ASSERT(i.put == i.taken);
  }

private:
  template <class F>
  static void put(item& i, F&& how) {
    ++i.put;
    i.state = 1;
    how();
  }

  void own() {
    for (item& i : items_) {
      switch (rl::rand(3)) {
        case 0: accept(slot_->take()); break;
        case 1: accept(slot_->take_simply()); break;
        default: break;
      }
      if (slot_->look() == nullptr) {
        put(i, [&] { slot_->put(&i); });
      } else {
        put(i, [&] { accept(slot_->replace(&i)); });
      }
      // The same one again, which a thief may have had.
      if (rl::rand(2) == 0) {
        item* mine = slot_->take_simply();
        if (mine == nullptr) mine = slot_->take();
        accept(mine);
        if (mine != nullptr) put(*mine, [&] { slot_->put(mine); });
      }
    }
  }

  aligned_place<detail::basic_next_slot<item*, Atomics, mutex>> slot_;
  std::array<item, 3> items_;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  return weft::models::main(
      argc, argv,
      {explored<next_slot_model<relacy_atomics<membarrier>>>("next slot"),
       explored<next_slot_model<relacy_atomics<no_barrier>>>("next slot, without membarrier"),
       explored<next_slot_model<relacy_atomics<broken_barrier>>>("next slot, barrier does nothing", weakened),
       explored<next_slot_model<relacy_atomics<membarrier, all_relaxed>>>("next slot, all relaxed", weakened)});
}
