/// @file
/// Runtimes that come and go while threads of others still wake their fibers (H11). With -DWEFT_SOAK=ON once more at
/// full length: 10^5 runtimes.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

std::size_t entries_of(char const* directory) {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{directory}) count += e.path().empty() ? 0U : 1U;
  return count;
}

/// What this process has of the machine.
struct holdings {
  std::size_t descriptors;
  std::size_t resident;  ///< bytes
  std::size_t mapped;    ///< bytes
};

/// @param threads  that there are without a runtime: those of runtimes have been joined, but may be listed for a moment
holdings what_is_held(std::size_t threads) {
  while (entries_of("/proc/self/task") != threads) std::this_thread::yield();
  std::size_t mapped = 0;
  std::size_t resident = 0;
  std::ifstream{"/proc/self/statm"} >> mapped >> resident;
  constexpr std::size_t page = 4096;
  return {entries_of("/proc/self/fd"), resident * page, mapped * page};
}

/// Passes events on to threads outside, which set them, each again and again until the next comes.
class notifier {
public:
  explicit notifier(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  notifier(notifier const&) = delete;
  ~notifier() {
    stop_.store(true);
    for (auto& t : threads_) t.join();
  }

  void pass(std::shared_ptr<weft::event> e) {
    std::lock_guard const lock{mutex_};
    event_ = std::move(e);
  }

private:
  void run() {
    while (!stop_.load()) {
      std::shared_ptr<weft::event> e;
      {
        std::lock_guard const lock{mutex_};
        e = event_;
      }
      if (e != nullptr) e->set();
      std::this_thread::yield();
    }
  }

  std::mutex mutex_;
  std::shared_ptr<weft::event> event_;  // guarded by the mutex
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

/// A runtime is made, used and drained: fibers that others wake, that wait for others, that never end by themselves,
/// timers, and a call on a pool.
void one_life(std::size_t number, notifier& outside) {
  auto const woken = std::make_shared<weft::event>();
  auto options = on(1 + number % 3);
  options.offload_threads = 1;
  options.on_unhandled_exception = [](auto const&...) {};  // every() where the shutdown comes first
  weft::runtime rt{options};
  for (int i = 0; i < 3; ++i) rt.post([woken] { woken->wait(); });
  rt.post([] { weft::sleep_for(24h); });
  rt.post([] { weft::every(1h, [] {}).get(); });
  outside.pass(woken);
  auto const total = rt.run([number, &woken] {
    std::vector<weft::task<std::size_t>> tasks;
    for (std::size_t i = 0; i < 4; ++i) {
      tasks.push_back(weft::spawn([i, &woken] {
        woken->wait();
        return i;
      }));
    }
    std::size_t sum = 0;
    for (auto& t : tasks) sum += t.get();
    return number % 8 == 0 ? weft::offload([sum] { return sum; }) : sum;
  });
  if (total != 6) throw std::logic_error("the fibers' sum is " + std::to_string(total));
  // Half of them are drained here, half by the destructor.
  if (number % 2 == 0) rt.shutdown();
}

}  // namespace

TEST_CASE("H11: runtimes are made, used, drained and destroyed under foreign wakes, and nothing grows",
          "[hazard][H11][stress][soak]") {
  watchdog dog{"lives of runtimes"};
  std::size_t const lives = full_length ? 100'000 : scaled(300);
  std::size_t const warm_up = lives / 3;
  // Less than 200 bytes for each of 10^5 runtimes. What may come and go, whatever their number: arenas of malloc, one
  // for each of the threads that there are at once.
  constexpr std::size_t growth = std::size_t{16} << 20U;
  notifier outside{2};
  auto const threads = entries_of("/proc/self/task");  // those that are there without a runtime
  for (std::size_t i = 0; i < warm_up; ++i) {
    one_life(i, outside);
    dog.feed();
  }
  auto const before = what_is_held(threads);
  for (std::size_t i = warm_up; i < lives; ++i) {
    one_life(i, outside);
    dog.feed();
  }
  auto const after = what_is_held(threads);
  CHECK(after.descriptors == before.descriptors);
  if (full_length) {
    std::printf("%zu runtimes: resident %zu -> %zu KiB, mapped %zu -> %zu KiB\n", lives, before.resident / 1024,
                after.resident / 1024, before.mapped / 1024, after.mapped / 1024);
  }
  // A sanitizer keeps what has been freed for a while.
  if (under_sanitizer) return;
  CHECK(after.resident <= before.resident + growth);
}

TEST_CASE("H11: runtimes start and stop while foreign threads wake their fibers", "[hazard][H11][stress]") {
  watchdog dog{"start and stop"};
  auto const rounds = scaled(3'000);
  // The wakers touch the events of whatever round they find; the last wake often comes as the runtime goes down.
  struct round_state {
    weft::event first;
    weft::event second;
  };
  std::vector<std::unique_ptr<round_state>> states;
  for (std::size_t i = 0; i < rounds; ++i) states.push_back(std::make_unique<round_state>());
  std::atomic<std::size_t> current{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> wakers;
  for (int w = 0; w < 2; ++w) {
    wakers.emplace_back([&, w] {
      std::size_t seen = 0;
      while (!done.load()) {
        auto const now = current.load();
        if (now == seen && now != 0) {
          std::this_thread::yield();
          continue;
        }
        seen = now;
        auto& s = *states[now];
        (w == 0 ? s.first : s.second).set();
      }
    });
  }
  for (std::size_t i = 0; i < rounds; ++i) {
    auto& s = *states[i];
    weft::runtime rt{on(1 + i % 3)};
    auto a = rt.spawn([&] { s.first.wait(); });
    auto b = rt.spawn([&] { s.second.wait(); });
    current.store(i);
    if (i == 0) {
      s.first.set();
      s.second.set();
    }
    a.wait();
    b.wait();
    dog.feed();
  }
  done.store(true);
  for (auto& w : wakers) w.join();
}

TEST_CASE("H11: wakes that come after the fiber was cancelled by shutdown are dropped", "[hazard][H11][stress]") {
  watchdog dog{"late wakes"};
  auto const rounds = scaled(2'000);
  std::atomic<std::size_t> cancelled{0};
  for (std::size_t i = 0; i < rounds; ++i) {
    weft::event e;
    std::atomic<bool> waits{false};
    std::atomic<bool> go{false};
    std::thread waker{[&] {
      while (!go.load()) {
      }
      auto const later = std::chrono::steady_clock::now() + std::chrono::microseconds(i % 100);
      while (std::chrono::steady_clock::now() < later) {
      }
      e.set();
    }};
    {
      weft::runtime rt{on(1 + i % 2)};
      rt.spawn([&] {
          waits.store(true);
          try {
            e.wait();
          } catch (weft::cancelled const&) {
            ++cancelled;
            throw;
          }
        }).detach();
      while (!waits.load()) std::this_thread::yield();  // cancelled before it begins, it would never wait
      go.store(true);
    }
    waker.join();
    dog.feed();
  }
  CHECK(cancelled.load() > 0);
}

TEST_CASE("H11: one runtime is stopped and started again under foreign wakes", "[hazard][H11][stress]") {
  watchdog dog{"restart"};
  auto const rounds = scaled(2'000);
  weft::event e;
  std::atomic<bool> done{false};
  std::thread waker{[&] {
    while (!done.load()) {
      e.set();
      std::this_thread::yield();
      e.reset();
    }
  }};
  weft::runtime rt{on(2)};
  for (std::size_t i = 0; i < rounds; ++i) {
    rt.run([&] {
      weft::spawn([&] { e.wait(); }).detach();
      (void)e.wait_for(50us);
    });
    rt.shutdown();
    rt.start();
    dog.feed();
  }
  done.store(true);
  waker.join();
}
