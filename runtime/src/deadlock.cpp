/// @file
/// All fibers wait, and nothing will wake them: how that is found out. In a closed world the worker itself knows
/// (worker::end_deadlock()); here the monitor looks, in debug mode, when no worker has been awake for a while.

#include "deadlock.hpp"

#include "inspect.hpp"
#include "scheduler.hpp"
#include "sleeping_threads.hpp"

#include <weft/runtime/detail/wait_graph.hpp>
#include <weft/runtime/error.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <utility>

namespace weft::inline v0::detail {

void report_deadlock(scheduler const* home, std::string_view report) noexcept {
  try {
    if (home != nullptr && home->options.on_deadlock) return home->options.on_deadlock(report);
    std::fwrite(report.data(), 1, report.size(), stderr);
  } catch (...) {  // NOLINT: documented: what the handler throws is ignored
  }
}

namespace {

/// How many threads this process has; 0: not known.
std::size_t threads_of_process() noexcept {
  std::FILE* const status = std::fopen("/proc/self/status", "re");
  if (status == nullptr) return 0;
  std::size_t threads = 0;
  for (std::array<char, 256> line{}; std::fgets(line.data(), line.size(), status) != nullptr;) {
    if (std::sscanf(line.data(), "Threads: %zu", &threads) == 1) break;
  }
  std::fclose(status);
  return threads;
}

}  // namespace

/// Nothing is ready, nothing is due, no descriptor is waited for, no offloaded call runs, and nobody is on the way in.
bool scheduler::rests_for_good() const noexcept {
  if (live_fibers() == 0 || entrance.closed() || !entrance.vacated() || !injected.empty()) return false;
  if (offload.running() + offload.queued() + blocking.running() + blocking.queued() != 0 || !left.none()) return false;
  return std::all_of(workers.begin(), workers.end(), [](auto const& w) {
    return w->asleep.load(std::memory_order_relaxed) && w->timers.armed() == 0 && !w->loop.watches_any() &&
           !w->others_ready() && w->away.get() == nullptr;
  });
}

void scheduler::look_for_deadlock() noexcept {
  if (!rests_for_good()) return;
  try {
    auto const tasks = all_tasks();
    bool const all_wait = std::all_of(tasks.begin(), tasks.end(),
                                      [](auto const& t) { return t.state == task_state::parked; });
    std::size_t const own = workers.size() + 1;  // and the monitor
    bool const for_good = sleeping_thread::count() + own == threads_of_process();
    if (!all_wait || tasks.empty() || !rests_for_good()) return;
    std::ostringstream text;
    text << "weft: deadlock: all fibers of the runtime '" << options.name << "' wait, and "
         << (for_good ? "nothing will wake them, for the process has no other thread. They are cancelled.\n"
                      : "only another thread could wake them: no timer, no descriptor and no offloaded call will.\n");
    write_tasks(text, options.name, tasks, all_of_them);
    wait_graph::write_waits(text, *this);
    auto const report = std::move(text).str();
    if (for_good) {
      std::lock_guard const lock{deadlock_mutex_};
      deadlock_ = report;
    }
    report_deadlock(this, report);
    if (for_good) cancel_all();
  } catch (std::bad_alloc const&) {  // NOLINT: there is no memory to say so
  }
}

void scheduler::throw_if_deadlocked() {
  std::string report;
  {
    std::lock_guard const lock{deadlock_mutex_};
    report.swap(deadlock_);
  }
  if (!report.empty()) throw deadlock(report);
}

}  // namespace weft::inline v0::detail
