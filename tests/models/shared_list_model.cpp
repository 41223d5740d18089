/// @file
/// The list of unused stacks between the workers. No two who take get the same one, none is lost, and who takes one
/// sees what was done by who gave it.

#include "shared_list.hpp"

#include "explore.hpp"

#include <array>
#include <cstddef>

namespace weft::models {
namespace {

struct item {
  plain<item*> next{nullptr};
  plain<int> user{-1};  // stands for the stack: written by whoever has it
  bool taken = true;    // the model's own knowledge
};

template <class Atomics, class Mutex = mutex>
class shared_list_model : public model<shared_list_model<Atomics, Mutex>, 3, Atomics> {
public:
  /// As a worker's cache does: fetches a batch, gives back a part of what it has.
  void run(unsigned thread) {
    item* own = &items_[thread];  // a new one, made by this worker
    for (unsigned step = 0; step != 3; ++step) {
      if (rl::rand(2) == 0) {
        item* const batch = list_.take(1 + rl::rand(2));
        if (batch == nullptr) continue;
        item* last = batch;
        for (item* at = batch; at != nullptr; at = at->next) {
          RL_ASSERT(!at->taken);
          at->taken = true;
          at->user = static_cast<int>(thread);
          last = at;
        }
        last->next = own;
        own = batch;
      } else if (own != nullptr) {
        item* last = own;
        if (item* const second = own->next; second != nullptr && rl::rand(2) == 0) last = second;
        item* const rest = last->next;
        last->next = nullptr;
        for (item* at = own; at != nullptr; at = at->next) {
          at->user = static_cast<int>(thread);
          at->taken = false;
        }
        list_.give(own, last);
        own = rest;
      }
    }
    left_[thread] = own;
  }

  void after() {
    std::size_t found = 0;
    for (item* own : left_) {
      for (; own != nullptr; own = own->next, ++found) RL_ASSERT(own->taken);
    }
    for (item* at = list_.take(items_.size()); at != nullptr; at = at->next, ++found) RL_ASSERT(!at->taken);
    RL_ASSERT(found == items_.size());
    RL_ASSERT(list_.take(1) == nullptr);
  }

private:
  detail::basic_shared_list<item, Atomics, Mutex> list_;
  std::array<item, 3> items_;
  std::array<item*, 3> left_{};
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  using atomics = relacy_atomics<no_barrier>;  // it needs none: a lock guards all
  return weft::models::main(
      argc, argv,
      {explored<shared_list_model<atomics>>("shared list"),
       explored<shared_list_model<atomics, open_mutex>>("shared list, no lock", expected::weakened)});
}
