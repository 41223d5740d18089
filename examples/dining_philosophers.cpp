/// Five philosophers, five forks, and two to eat with. Who takes one fork and then waits for the other may wait for
/// good: a simulation finds a schedule in which all do, and says who waits for what. Taking both at once, by
/// std::scoped_lock, never does.

#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr std::array<char const*, 5> names{"Plato", "Hypatia", "Kant", "Arendt", "Hume"};
constexpr std::size_t seats = names.size();

/// @returns how many meals there were
template <class Eat>
int dinner(Eat eat) {
  std::array<weft::mutex, seats> forks;
  std::atomic<int> meals{0};
  std::vector<weft::task<void>> guests;
  for (std::size_t i = 0; i < seats; ++i) {
    guests.push_back(weft::spawn({.name = names[i]}, [&, i] {
      for (int course = 0; course < 3; ++course) {
        weft::sleep_for(10min);  // thinks
        eat(forks[i], forks[(i + 1) % seats]);
        ++meals;
      }
    }));
  }
  for (auto& g : guests) g.get();
  return meals;
}

void one_fork_after_the_other(weft::mutex& left, weft::mutex& right) {
  std::lock_guard const one{left};
  weft::yield();  // looks for the other
  std::lock_guard const two{right};
  weft::sleep_for(5min);
}

void both_forks_at_once(weft::mutex& left, weft::mutex& right) {
  std::scoped_lock const both{left, right};
  weft::sleep_for(5min);
}

/// Simulates dinners until one ends in a deadlock.  @returns the report; empty: none did
template <class Eat>
std::string find_deadlock(std::uint64_t dinners, Eat eat) {
  for (std::uint64_t seed = 1; seed <= dinners; ++seed) {
    weft::testing::simulation sim{seed, {.report_failure = false}};
    try {
      sim.run([&] { dinner(eat); });
    } catch (weft::testing::deadlock const& e) {
      return e.what();
    }
  }
  return {};
}

}  // namespace

int main() {
  auto report = find_deadlock(1000, one_fork_after_the_other);
  for (auto at = report.find(" fiber "); at != std::string::npos; at = report.find(" fiber ", at + 1)) {
    if (report[at - 1] == ',' || report[at - 1] == ':') report.replace(at, 1, "\n  ");  // a line for each
  }
  report.erase(0, report.find("deadlock"));  // which seed it was is told before
  std::printf("One fork after the other: %s\n", report.c_str());
  std::printf("Both at once: %s\n",
              find_deadlock(1000, both_forks_at_once).empty() ? "no deadlock in 1000" : "a deadlock");
  int meals = 0;
  weft::run([&] { meals = dinner(both_forks_at_once); }, weft::testing::in_virtual_time());
  std::printf("%d meals\n", meals);
}

// Prints:
//   One fork after the other: deadlock: all fibers wait, and nothing will wake them:
//     fiber 0 waits for the end of fiber 1,
//     fiber 1 'Plato' waits for 'mutex',
//     fiber 2 'Hypatia' waits for 'mutex',
//     fiber 3 'Kant' waits for 'mutex',
//     fiber 4 'Arendt' waits for 'mutex',
//     fiber 5 'Hume' waits for 'mutex'.
//   Both at once: no deadlock in 1000
//   15 meals
