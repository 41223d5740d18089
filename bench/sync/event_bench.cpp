/// An event with nobody waiting: set and reset; a wait for one that is set; and a signal for whoever comes next, given
/// and taken. Beside weft's, what has the same use elsewhere: the standard library's flag and binary semaphore, and
/// Boost.Fiber's mutex, condition variable and a bool.

#include "../runtime/micro.hpp"

#include <weft/sync/auto_reset_event.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <benchmark/benchmark.h>
#include <semaphore>

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/mutex.hpp>
#include <mutex>
#endif

namespace {

struct std_event {
  std::atomic<bool> is_set{false};

  void set() {
    is_set.store(true);
    is_set.notify_all();
  }
  void reset() { is_set.store(false); }
  void wait() { is_set.wait(false); }
};

/// libstdc++'s makes a system call whenever it goes from none to one.
struct std_signal {
  std::binary_semaphore signal{0};

  void set() { signal.release(); }
  void wait() { signal.acquire(); }
};

#ifdef WEFT_BENCH_WITH_BOOST_FIBER
template <bool AutoReset>
struct boost_event {
  boost::fibers::mutex mutex;
  boost::fibers::condition_variable changed;
  bool is_set = false;

  void set() {
    {
      std::lock_guard const lock{mutex};
      is_set = true;
    }
    AutoReset ? changed.notify_one() : changed.notify_all();
  }
  void reset() {
    std::lock_guard const lock{mutex};
    is_set = false;
  }
  void wait() {
    std::unique_lock lock{mutex};
    changed.wait(lock, [this] { return is_set; });
    if (AutoReset) is_set = false;
  }
};
#endif

template <class Event>
void set_reset(benchmark::State& state) {
  Event event;
  for (auto _ : state) {
    event.set();
    event.reset();
  }
}

template <class Event>
void wait_when_set(benchmark::State& state) {
  Event event;
  event.set();
  for (auto _ : state) event.wait();
}

template <class Event>
void set_and_wait(benchmark::State& state) {
  Event event;
  for (auto _ : state) {
    event.set();
    event.wait();
  }
}

template <void (*operation)(benchmark::State&)>
void on_fiber(benchmark::State& state) {
  micro::on_workers(1, [&state] { operation(state); });
}

BENCHMARK(on_fiber<set_reset<weft::event>>)->Name("event/set_reset/weft")->Apply(micro::timed);
BENCHMARK(on_fiber<set_reset<std_event>>)->Name("event/set_reset/std")->Apply(micro::timed);
BENCHMARK(on_fiber<wait_when_set<weft::event>>)->Name("event/wait_when_set/weft")->Apply(micro::timed);
BENCHMARK(on_fiber<wait_when_set<std_event>>)->Name("event/wait_when_set/std")->Apply(micro::timed);
BENCHMARK(on_fiber<set_and_wait<weft::auto_reset_event>>)->Name("event/set_and_wait/weft")->Apply(micro::timed);
BENCHMARK(on_fiber<set_and_wait<std_signal>>)->Name("event/set_and_wait/std")->Apply(micro::timed);
#ifdef WEFT_BENCH_WITH_BOOST_FIBER
BENCHMARK(set_reset<boost_event<false>>)->Name("event/set_reset/Boost.Fiber")->Apply(micro::timed);
BENCHMARK(wait_when_set<boost_event<false>>)->Name("event/wait_when_set/Boost.Fiber")->Apply(micro::timed);
BENCHMARK(set_and_wait<boost_event<true>>)->Name("event/set_and_wait/Boost.Fiber")->Apply(micro::timed);
#endif

}  // namespace
