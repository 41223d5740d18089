/// @file
/// Stacks as AddressSanitizer knows them (H15). A throw has it unpoison the whole stack that it believes the thread to
/// be on; were it told too much, or too late, the poison of what lies beside would go with it.

#include "stack.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#if defined(WEFT_TEST_ASAN)
#include <sanitizer/asan_interface.h>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// Poison on either side of the calling fiber's stack.
class canaries {
public:
  canaries() {
    auto const* const place = weft::detail::current_fiber()->place;
    auto const end = reinterpret_cast<std::uintptr_t>(place) + sizeof(weft::detail::stack);
    below_ = place->bottom - size;
    above_ = reinterpret_cast<std::byte*>((end + size - 1) / size * size);  // NOLINT: a colour, or the next one's guard
    __asan_poison_memory_region(below_, size);
    __asan_poison_memory_region(above_, size);
  }
  ~canaries() {
    __asan_unpoison_memory_region(below_, size);
    __asan_unpoison_memory_region(above_, size);
  }
  canaries(canaries const&) = delete;

  [[nodiscard]] bool alive() const { return whole(below_) && whole(above_); }

private:
  static constexpr std::size_t size = 64;

  static bool whole(std::byte const* region) {
    for (std::size_t i = 0; i < size; ++i) {
      if (__asan_address_is_poisoned(region + i) == 0) return false;
    }
    return true;
  }

  std::byte* below_;
  std::byte* above_;
};

/// Throws from below a frame that holds an array, whose own poison has to go with the frame.
[[gnu::noinline]] void fail_deep_down(int depth) {
  char volatile frame[256];
  frame[depth] = 1;
  if (depth == 0) throw std::runtime_error("deep down");
  fail_deep_down(depth - 1);
  frame[depth] = 2;
}

void fail_and_catch() {
  try {
    fail_deep_down(10);
    verify(false);
  } catch (std::runtime_error const&) {
    weft::yield();
  }
}

}  // namespace

TEST_CASE("H15: what is thrown on any path of a switch leaves the poison beside the stack alone",
          "[hazard][H15][stack]") {
  bool const migrating = GENERATE(false, true);
  auto const options = migrating ? weft::testing::forced_migration({.workers = 2}) : on(2);
  run_with(options, [] {
    weft::event gate;
    std::atomic<int> at_the_gate{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 64; ++i) {
      tasks.push_back(weft::spawn([&] {
        canaries const beside;
        for (int round = 0; round < 20; ++round) {
          fail_and_catch();  // first thing after a yield, too
          verify(beside.alive());
          weft::sleep_for(1us);
          fail_and_catch();
          verify(beside.alive());
          try {
            weft::spawn([] { fail_deep_down(3); }).get();  // maybe called by this one, and on its worker's other stack
            verify(false);
          } catch (std::runtime_error const&) {
          }
          verify(beside.alive());
        }
        at_the_gate.fetch_add(1);
        try {
          gate.wait();
        } catch (weft::cancelled const&) {  // thrown by the wait itself
          verify(beside.alive());
          throw;
        }
      }));
    }
    auto const failed = [](weft::task<void> const& t) { return t.ready(); };
    while (at_the_gate.load() < 64 && std::none_of(tasks.begin(), tasks.end(), failed)) weft::yield();
    for (auto& t : tasks) t.cancel();
    for (auto& t : tasks) verify(throws<weft::cancelled>([&] { t.get(); }));
  });
}

TEST_CASE("H15: poison beside the stack is noticed when it goes", "[hazard][H15][stack]") {
  run_on(1, [] {
    canaries const beside;
    verify(beside.alive());
    {
      canaries const others;  // of the same stack: the end of these is the end of those
    }
    verify(!beside.alive());
  });
}
#endif
