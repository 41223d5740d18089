/// @file
/// Storms over generators: made, advanced, handed on, nested and destroyed at random, on every number of workers.

#include <weft/runtime/generator.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

using namespace weft::test;

namespace {

struct failure {
  std::uint32_t number;
};

std::atomic<std::int64_t> alive{0};
struct counted {
  counted() { ++alive; }
  counted(counted const&) = delete;
  ~counted() { --alive; }
};

using numbers = weft::generator<std::uint32_t>;

/// 0, 1, 2, ... up to `length`, by way of `depth` generators; it waits, catches and throws as `seed` has it.
numbers storm(std::uint32_t seed, std::uint32_t length, unsigned depth) {
  return numbers([seed, length, depth](auto& yield) {
    counted const outer;
    std::minstd_rand random{seed};
    auto inner = depth > 0 ? storm(static_cast<std::uint32_t>(random()), length, depth - 1) : numbers{};
    auto it = inner.begin();
    for (std::uint32_t i = 0; i < length; ++i) {
      counted const each;
      switch (random() % 5) {
        case 0: weft::yield(); break;
        case 1: try { throw failure{i};
          } catch (failure const&) {
            yield(i);
            try {
              throw;
            } catch (failure const& f) {
              verify(f.number == i);
            }
          }
          break;
        case 2: verify(std::uncaught_exceptions() == 0); break;
        default: break;
      }
      if (it != inner.end()) {
        verify(*it <= i);
        ++it;
      }
      yield(std::uint32_t{i});
    }
    if (random() % 2 == 0) throw failure{length};
  });
}

/// Generators that fibers leave for others to go on with.
class market {
public:
  void give(numbers g) {
    std::lock_guard const lock{mutex_};
    offered_.push_back(std::move(g));
  }
  numbers take(std::uint32_t choice) {
    std::lock_guard const lock{mutex_};
    if (offered_.empty()) return {};
    std::swap(offered_[choice % offered_.size()], offered_.back());
    numbers g = std::move(offered_.back());
    offered_.pop_back();
    return g;
  }
  void clear() { offered_.clear(); }

private:
  std::mutex mutex_;
  std::vector<numbers> offered_;
};

void run_storm(weft::runtime_options options, std::uint32_t seed, std::size_t rounds) {
  watchdog dog{"generators"};
  market shared;
  run_with(std::move(options), [&] {
    std::vector<weft::task<void>> tasks;
    for (std::uint32_t f = 0; f < 8; ++f) {
      tasks.push_back(weft::spawn([&, f] {
        std::minstd_rand random{seed + f};
        for (std::size_t round = 0; round < rounds; ++round) {
          auto g = random() % 3 == 0 ? shared.take(static_cast<std::uint32_t>(random())) : numbers{};
          if (g.begin() == g.end()) {
            g = storm(static_cast<std::uint32_t>(random()), 1 + static_cast<std::uint32_t>(random() % 20),
                      static_cast<unsigned>(random() % 4));
          }
          try {
            auto it = g.begin();
            for (auto steps = random() % 12; steps > 0 && it != g.end(); --steps) {
              ++it;
              if (random() % 4 == 0) weft::yield();
            }
          } catch (failure const& e) {
            verify(e.number != 0);
            verify(g.begin() == g.end());
          }
          verify(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
          if (random() % 2 == 0) shared.give(std::move(g));
          dog.feed();
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
  shared.clear();  // what is left, on a thread
  CHECK(alive == 0);
}

}  // namespace

TEST_CASE("generators made, advanced, handed on and destroyed at random", "[generator][stress]") {
  auto const seed = static_cast<std::uint32_t>(std::random_device{}());
  INFO("seed " << seed);
  auto const rounds = scaled(2'000);
  run_storm(on(some_workers()), seed, rounds);
  run_storm(weft::testing::forced_migration({.workers = 2}), seed, rounds);
}

TEST_CASE("a hundred thousand generators take the stacks of a few", "[generator][stress]") {
  auto const count = scaled(100'000);
  run_on(some_workers(), [&] {
    std::vector<weft::task<void>> tasks;
    for (int f = 0; f < 4; ++f) {
      tasks.push_back(weft::spawn([&] {
        for (std::size_t i = 0; i < count / 4; ++i) {
          numbers g([i](auto& yield) {
            yield(static_cast<std::uint32_t>(i));
            yield(1);
          });
          auto it = g.begin();
          verify(*it == i);
          if (i % 64 == 0) weft::yield();
          if (i % 2 == 0) ++it;
        }
      }));
    }
    for (auto& t : tasks) t.get();
  });
}
