/// @file
/// A lock that is given on bias: three threads take it, each several times, and one of them sometimes as nobody in
/// particular. Never two hold it, and each sees what those before it wrote.

#include <weft/runtime/detail/biased_lock.hpp>

#include "explore.hpp"

#include <array>
#include <cstddef>

namespace weft::models {
namespace {

template <class Atomics>
class biased_lock_model : public model<biased_lock_model<Atomics>, 3, Atomics> {
  using lock_type = detail::basic_biased_lock<Atomics, 0>;

public:
  void run(unsigned thread) {
    for (std::size_t i = 0; i != rounds; ++i) {
      bool const as_nobody = thread == 2 && rl::rand(4) == 0;
      {
        void const* const who = as_nobody ? nullptr : &parties[thread];
        if (auto const inside = rl::rand(2) == 0 ? lock_.enter(who) : nullptr; inside != nullptr) {
          typename lock_type::bias_section const held{inside};
          count_ = count_ + 1;
        } else {
          typename lock_type::section held{lock_, who};
          held.count(who);
          count_ = count_ + 1;
        }
      }
      if (thread == 1 && i + 1 == rounds) {
        lock_.set_flag([&]() noexcept { count_ = count_ + 1; });
      }
      let_others_run(4);
    }
  }

  void after() { RL_ASSERT(count_ == 3 * rounds + 1 && lock_.flagged()); }

private:
  static constexpr std::size_t rounds = 6;

  /// In place of workers, of which only the addresses count.
  struct alignas(64) party {};
  static constexpr std::array<party, 3> parties{};

  lock_type lock_;
  plain<std::size_t> count_{0};  // guarded by the lock
};

}  // namespace
}  // namespace weft::models

int main(int argc, char** argv) {
  using namespace weft::models;
  constexpr auto weakened = expected::weakened;
  return weft::models::main(
      argc, argv,
      {explored<biased_lock_model<relacy_atomics<membarrier>>>("biased lock"),
       explored<biased_lock_model<relacy_atomics<no_barrier>>>("biased lock, without membarrier"),
       explored<biased_lock_model<relacy_atomics<broken_barrier>>>("biased lock, barrier does nothing", weakened),
       explored<biased_lock_model<relacy_atomics<membarrier, all_relaxed>>>("biased lock, all relaxed", weakened),
       explored<biased_lock_model<relacy_atomics<membarrier, divisible>>>("biased lock, divisible exchange",
                                                                          weakened)});
}
