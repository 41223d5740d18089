/// @file
/// What a fiber that blocks its worker for two seconds does to the others, with and without spare workers: how late
/// timers are before and meanwhile, and what the monitor reports.  weft_spare [WORKERS [SPARES]]

#include "latency.hpp"
#include "workload.hpp"

#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

using std::chrono::steady_clock;

constexpr std::size_t sleepers = 200;
constexpr auto period = 20ms;

}  // namespace

int main(int argc, char** argv) {
  std::atomic<int> reports{0};
  std::atomic<int> of_the_blocker{0};
  weft::runtime_options options;
  options.workers = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 2;
  options.spare_workers = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
  options.on_slow_callback = [&](weft::slow_callback const& slow) {
    reports.fetch_add(1);
    if (slow.name == "blocker" && !slow.stack.empty()) of_the_blocker.fetch_add(1);
  };
  bench::latency_histogram calm;
  bench::latency_histogram blocked;
  std::atomic<bool> blocking{false};
  std::atomic<bool> stop{false};
  weft::run(
      [&] {
        std::vector<weft::task<void>> tasks;
        for (std::size_t i = 0; i < sleepers; ++i) {
          tasks.push_back(weft::spawn([&, i] {
            auto deadline = steady_clock::now() + period * i / sleepers;
            for (; !stop.load(); deadline += period) {
              weft::sleep_until(deadline);
              bool const meanwhile = blocking.load();
              auto const late = std::chrono::nanoseconds(steady_clock::now() - deadline).count();
              (meanwhile ? blocked : calm).add(late);
            }
          }));
        }
        weft::sleep_for(2s);
        // As many as there are workers: nobody but a spare one is left.
        std::vector<weft::task<void>> blockers;
        for (std::size_t i = 0; i < options.workers; ++i) {
          blockers.push_back(weft::spawn(weft::spawn_options{.name = i == 0 ? "blocker" : "another"}, [&] {
            blocking.store(true);
            std::this_thread::sleep_for(2s);  // not weft's: it blocks the thread
            blocking.store(false);
          }));
        }
        for (auto& b : blockers) b.get();
        stop.store(true);
        for (auto& t : tasks) t.get();
      },
      options);
  calm.report("calm");
  blocked.report("blocked");
  bench::metric("p99_growth_us", blocked.quantile_us(0.99) - calm.quantile_us(0.99), "us");
  bench::metric("timers_meanwhile", static_cast<double>(blocked.total()), "timers");
  bench::metric("reports", reports.load(), "reports");
  bench::metric("reports_of_the_blocker", of_the_blocker.load(), "reports");
}
