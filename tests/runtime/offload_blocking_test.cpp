/// @file
/// offload_blocking: a thread for each call that blocks, up to a limit; otherwise the rules of offload.

#include <weft/runtime/offload.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include "job_pool.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("blocking: results and exceptions come back", "[offload][blocking]") {
  run_on(some_workers(), [] {
    verify(weft::offload_blocking([] { return 3; }) == 3);
    verify(*weft::offload_blocking([] { return std::make_unique<int>(4); }) == 4);
    int target = 0;
    int& same = weft::offload_blocking([&]() -> int& { return target; });
    verify(&same == &target);
    weft::offload_blocking([](int& i) { i = 6; }, target);
    verify(target == 6);
    verify(throws<std::out_of_range>([] { weft::offload_blocking([] { throw std::out_of_range("job"); }); }));
    verify(throws<std::invalid_argument>([] { weft::offload_blocking(std::function<void()>{}); }));
  });
}

TEST_CASE("blocking: from a plain thread a runtime is needed", "[offload][blocking][bad-input]") {
  CHECK_THROWS_AS(weft::offload_blocking([] {}), weft::no_runtime);
}

TEST_CASE("blocking: a limit out of range is refused by name", "[offload][blocking][bad-input]") {
  auto const refusal = [](std::size_t limit) {
    try {
      weft::runtime const rt{{.workers = 1, .blocking_threads_max = limit}};
    } catch (std::invalid_argument const& e) {
      return std::string(e.what());
    }
    return std::string{};
  };
  CHECK(refusal(0).find("blocking_threads_max") != std::string::npos);
  CHECK(refusal(5000).find("blocking_threads_max") != std::string::npos);
}

TEST_CASE("blocking: as many calls block at once as there are, whatever the number of CPUs", "[offload][blocking]") {
  run_on(some_workers(), [] {
    constexpr int calls = 40;
    std::atomic<int> inside{0};
    weft::event all_inside;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < calls; ++i) {
      tasks.push_back(weft::spawn([&] {
        weft::offload_blocking([&] {
          if (++inside == calls) all_inside.set();
          all_inside.wait();  // ends only if all of them have a thread at the same time
        });
      }));
    }
    for (auto& t : tasks) t.get();
    verify(inside.load() == calls);
  });
}

TEST_CASE("blocking: at the limit callers wait, and go on in order", "[offload][blocking]") {
  run_with(weft::testing::fifo({.blocking_threads_max = 1}), [] {
    weft::event gate;
    std::vector<int> order;  // by the pool's one thread
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        weft::offload_blocking([&, i] {
          gate.wait();
          order.push_back(i);
        });
      }));
    }
    weft::yield();
    gate.set();
    for (auto& t : tasks) t.get();
    for (int i = 0; i < 20; ++i) verify(order[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("blocking: never more threads than the limit", "[offload][blocking]") {
  run_with(on(some_workers(), {.blocking_threads_max = 3}), [] {
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn([&] {
        weft::offload_blocking([&] {
          int const now = ++running;
          int seen = most.load();
          while (seen < now && !most.compare_exchange_weak(seen, now)) {
          }
          std::this_thread::yield();
          --running;
        });
      }));
    }
    for (auto& t : tasks) t.get();
    verify(most.load() <= 3);
  });
}

TEST_CASE("blocking: calls that block leave the pool for computing free", "[offload][blocking]") {
  run_with(on(some_workers(), {.offload_threads = 1}), [] {
    weft::event gate;
    weft::event inside;
    auto blocked = weft::spawn([&] {
      weft::offload_blocking([&] {
        inside.set();
        gate.wait();
      });
    });
    inside.wait();
    verify(weft::offload([] { return 1; }) == 1);
    gate.set();
    blocked.get();
  });
}

TEST_CASE("blocking: on a thread of either pool both kinds of call run in place", "[offload][blocking][rule20]") {
  run_with(on(1, {.offload_threads = 1, .blocking_threads_max = 1}), [] {
    auto const nested = [](auto const& outer, auto const& inner) {
      return outer([&inner] {
        auto const here = std::this_thread::get_id();
        return inner([here] { return std::this_thread::get_id() == here; });
      });
    };
    auto const computing = [](auto&& f) { return weft::offload(f); };
    auto const blocking = [](auto&& f) { return weft::offload_blocking(f); };
    verify(nested(computing, computing));
    verify(nested(computing, blocking));
    verify(nested(blocking, computing));
    verify(nested(blocking, blocking));
  });
}

TEST_CASE("blocking: rule 20: a call that runs is joined even when cancelled, and told by its token",
          "[offload][blocking][rule20]") {
  run_on(some_workers(), [] {
    weft::event started;
    std::atomic<bool> finished{false};
    auto t = weft::spawn([&] {
      weft::offload_blocking([&](std::stop_token token) {
        weft::event stopped;
        std::stop_callback const callback{token, [&] { stopped.set(); }};
        started.set();
        stopped.wait();
        finished = true;
      });
    });
    started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(finished.load());
  });
}

TEST_CASE("blocking: a thread that has been idle for its time ends, and one is made again when needed",
          "[offload][blocking]") {
  using weft::detail::job_pool;
  // Each thread's idle time is over at once; the pool is asked until they are gone.
  job_pool pool{{.name = "idle", .thread_name = "idle-", .threads = 8, .queue = 8, .idle_time = 0ns}};
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> callers;
    std::atomic<int> ran{0};
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] { weft::detail::run_borrowed({&pool}, [&] { ++ran; }); });
    }
    for (auto& c : callers) c.join();
    CHECK(ran.load() == 4);
    while (pool.threads() != 0) std::this_thread::yield();
  }
}

TEST_CASE("blocking: the thread that slept last is called first, so that the others can end", "[offload][blocking]") {
  using weft::detail::job_pool;
  job_pool pool{{.name = "newest", .thread_name = "new-", .threads = 4, .queue = 8}};
  weft::event gate;
  std::atomic<int> inside{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      weft::detail::run_borrowed({&pool}, [&] {
        ++inside;
        gate.wait();
      });
    });
  }
  while (inside.load() != 4) std::this_thread::yield();
  gate.set();
  for (auto& c : callers) c.join();
  CHECK(pool.threads() == 4);
  // One call at a time, each after the thread of the last one sleeps again: always the same thread.
  while (pool.sleeping() != 4) std::this_thread::yield();
  std::set<std::thread::id> used;
  for (int i = 0; i < 20; ++i) {
    used.insert(weft::detail::run_borrowed({&pool}, [] { return std::this_thread::get_id(); }));
    while (pool.sleeping() != 4) std::this_thread::yield();
  }
  CHECK(used.size() == 1);
}
