/// @file
/// The ring of ready fibers under its owner and two thieves. What was pushed is taken once and by one; whoever takes it
/// sees what was written before it was pushed.

#include <weft/runtime/detail/ring.hpp>

#include "explore.hpp"

#include <array>
#include <cstdint>

namespace weft::models {
namespace {

struct item {
  plain<int> state{0};  // stands for the fiber: written by who pushes it, then by who takes it
  // What the model itself knows; not part of what is modelled.
  bool pushed = false;
  bool taken = false;
};

void push_begins(item& i) {
  i.pushed = true;
  i.state = 1;
}

void accept(item& i) {
  RL_ASSERT(!i.taken);
  i.taken = true;
  RL_ASSERT(i.state == 1);
  i.state = 2;
}

/// @tparam LeaseShare  1: a lease takes all that is queued; a larger one leaves something to steal
template <class Atomics, std::uint32_t LeaseShare>
class ring_model : public model<ring_model<Atomics, LeaseShare>, 3, Atomics> {
public:
  void run(unsigned thread) {
    if (thread == 0) return own();
    for (unsigned i = 0; i != 2; ++i) {
      // By the scheduler's rule, a thief rescues only where the barrier is asymmetric.
      if (Atomics::barrier::asymmetric() && rl::rand(2) == 0) {
        ring_->rescue([](item* rescued) { accept(*rescued); });
      } else if (item* const stolen = ring_->steal()) {
        accept(*stolen);
      }
    }
  }

  void after() {
    while (item* const left = ring_->take()) accept(*left);
    for (item const& i : items_) RL_ASSERT(i.pushed == i.taken);
  }

private:
  void own() {
    std::size_t next = 0;
    item* newest = nullptr;
    for (unsigned step = 0; step != 8; ++step) {
      auto const choice = rl::rand(8);
      if (choice < 4) {
        if (next == items_.size()) continue;
        item& pushed = items_[next];
        push_begins(pushed);
        if (!ring_->push(&pushed)) {
          pushed.pushed = false;  // full: what the caller keeps
          continue;
        }
        newest = &pushed;
        ++next;
      } else if (choice < 7) {
        // In steps, as worker::yield() does; what it does not get, take() does.
        bool const in_steps = choice == 5 && (ring_->has_leased() || ring_->lease());
        item* taken = in_steps ? ring_->take_leased() : nullptr;
        if (taken == nullptr) taken = ring_->take();
        if (taken != nullptr && choice == 6 && ring_->put_back(taken)) taken = ring_->take();
        if (taken != nullptr) accept(*taken);
      } else if (newest != nullptr && ring_->retake(newest)) {
        accept(*newest);
      }
    }
  }

  // More items than slots: indices wrap.
  aligned_place<detail::basic_ring<item*, 4, Atomics, mutex, LeaseShare>> ring_;
  std::array<item, 6> items_;
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  return weft::models::main(
      argc, argv,
      {explored<ring_model<relacy_atomics<membarrier>, 1>>("ring, long leases"),
       explored<ring_model<relacy_atomics<membarrier>, 2>>("ring, short leases"),
       explored<ring_model<relacy_atomics<no_barrier>, 1>>("ring, without membarrier"),
       explored<ring_model<relacy_atomics<broken_barrier>, 1>>("ring, barrier does nothing", weakened),
       explored<ring_model<relacy_atomics<membarrier, without_total_order>, 2>>("ring, seq_cst is acq_rel", weakened),
       explored<ring_model<relacy_atomics<membarrier, all_relaxed>, 2>>("ring, all relaxed", weakened),
       explored<ring_model<relacy_atomics<no_barrier, divisible>, 1>>("ring, divisible exchange", weakened)});
}
