/// @file
/// The seam for determinism: the environment's choices and time are all that a schedule depends on.

#include <weft/runtime/environment.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// Any ready fiber may be next; time is virtual.
class seeded final : public weft::environment {
public:
  explicit seeded(unsigned seed) : random_(seed) {}
  [[nodiscard]] weft::time_point now() noexcept override { return now_; }
  [[nodiscard]] std::size_t choose(std::size_t ready) noexcept override {
    if (ready == 0) bad_questions.fetch_add(1);
    asked.fetch_add(1);
    return random_() % ready;
  }
  [[nodiscard]] bool skip_to(weft::time_point deadline) noexcept override {
    if (deadline == weft::never) return false;
    if (deadline > now_) now_ = deadline;
    return true;
  }
  std::atomic<int> asked{0};
  std::atomic<int> bad_questions{0};

private:
  std::mt19937 random_;
  weft::time_point now_{1h};
};

struct step {
  int fiber;
  int number;
  weft::time_point when;
  friend bool operator==(step const&, step const&) = default;
};

/// What some fibers that yield, sleep, wait, time out and are cancelled do, in order.
std::vector<step> trace(unsigned seed) {
  auto const world = std::make_shared<seeded>(seed);
  sequence<step> steps;
  run_with({.workers = 1, .world = world}, [&] {
    weft::event e;
    std::vector<weft::task<void>> tasks;
    for (int f = 0; f < 12; ++f) {
      tasks.push_back(weft::spawn([&, f] {
        for (int n = 0; n < 20; ++n) {
          steps.add({f, n, weft::detail::deadline_after(0ns)});  // the present, asked as the scheduler
          switch ((f + n) % 5) {
            case 0: weft::sleep_for(std::chrono::microseconds(10 * f)); break;
            case 1: (void)e.wait_for(15us); break;
            case 2: e.set(); break;
            case 3: {
              e.reset();
              auto dropped = weft::spawn([] { weft::sleep_for(1s); });
              weft::yield();
              break;
            }
            default: weft::yield();
          }
        }
      }));
    }
    tasks[3].cancel();
    for (auto& t : tasks) t.wait();
    (void)tasks[3].exception();
  });
  CHECK(world->asked.load() > 100);
  CHECK(world->bad_questions.load() == 0);
  return steps.steps();
}

}  // namespace

TEST_CASE("the same choices give the same schedule, to the step and the nanosecond", "[environment]") {
  auto const seed = GENERATE(range(1U, 6U));
  INFO("seed " << seed);
  auto const first = trace(seed);
  CHECK(first.size() >= 11 * 20);
  CHECK(trace(seed) == first);
}

TEST_CASE("other choices give another schedule", "[environment]") { CHECK(trace(1) != trace(2)); }
