/// @file
/// The runtime as an object: options, start and stop, several at once, and its answers to wrong use.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/threads.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// The message of the std::invalid_argument that these options are answered with.
std::string refusal(weft::runtime_options options) {
  try {
    weft::runtime rt{std::move(options)};
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "accepted";
}

bool names(std::string const& message, char const* argument) { return message.find(argument) != std::string::npos; }

std::size_t open_descriptors() {
  auto const all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// What the open descriptors lead to, such as "anon_inode:[eventfd]", sorted.
std::vector<std::string> descriptor_targets() {
  std::vector<std::string> targets;
  for (auto const& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // of the iterator's own descriptor by the time it is looked at
    targets.push_back(std::filesystem::read_symlink(entry.path(), gone).string());
  }
  std::sort(targets.begin(), targets.end());
  return targets;
}

}  // namespace

TEST_CASE("run returns what the function returns, and throws what it throws", "[runtime]") {
  CHECK(weft::run([] { return 3; }) == 3);
  CHECK(*weft::run([] { return std::make_unique<int>(4); }) == 4);
  CHECK_THROWS_AS(weft::run([] { throw std::out_of_range("x"); }), std::out_of_range);
  weft::run([] {});
}

TEST_CASE("run cancels and joins what was left behind", "[runtime]") {
  std::atomic<int> ended{0};
  std::atomic<int> by_shutdown{0};
  weft::run(
      [&] {
        for (int i = 0; i < 10; ++i) {
          weft::spawn([&] {
            try {
              weft::sleep_for(24h);
            } catch (weft::cancelled const& c) {
              if (c.reason() == weft::cancel_reason::shutdown) ++by_shutdown;
            }
            ++ended;
          }).detach();
        }
        weft::yield();
      },
      on(some_workers()));
  CHECK(ended.load() == by_shutdown.load());  // those that had not started never do
}

TEST_CASE("0 workers means as many as there are CPUs", "[runtime][bad-input]") {
  weft::runtime rt;
  CHECK(rt.workers() >= 1);
  CHECK(rt.run([] { return weft::this_fiber::worker(); }) >= 0);
}

TEST_CASE("options out of range are refused by name", "[runtime][bad-input]") {
  using weft::runtime_options;
  CHECK(names(refusal({.workers = 1'000'000}), "workers"));
  CHECK(names(refusal({.workers = 513}), "workers"));
  CHECK(names(refusal({.stack_size = 1}), "stack_size"));
  CHECK(names(refusal({.stack_size = std::size_t{1} << 40U}), "stack_size"));
  CHECK(names(refusal({.offload_threads = 5000}), "offload_threads"));
  CHECK(names(refusal({.offload_queue = 0}), "offload_queue"));
  CHECK(names(refusal({.workers = 2, .order = weft::scheduling::fifo}), "fifo"));
  CHECK(names(refusal({.workers = 1, .order = weft::scheduling::forced_migration}), "forced_migration"));
  CHECK(names(refusal({.workers = 2, .world = std::make_shared<weft::testing::virtual_time>()}), "workers"));
  CHECK(refusal({.workers = 1, .stack_size = 16 * 1024 + 1}) == "accepted");
  CHECK(refusal({.workers = 1, .guard = 0}) == "accepted");
  CHECK(refusal({.workers = 1, .guard = std::size_t{1} << 40U}) == "accepted");
  CHECK(refusal({.workers = 1, .name = std::string(1000, 'n')}) == "accepted");
  CHECK(refusal({.workers = 1, .name = ""}) == "accepted");
}

TEST_CASE("512 workers can be had", "[runtime][bad-input]") {
  if (under_sanitizer) return;
  weft::runtime rt{{.workers = 512}};
  std::atomic<int> ran{0};
  rt.run([&] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 1000; ++i) tasks.push_back(weft::spawn([&] { ++ran; }));
    for (auto& t : tasks) t.get();
  });
  CHECK(ran.load() == 1000);
}

TEST_CASE("starting a runtime that runs is an error, and so is using one that does not",
          "[runtime][rule16][bad-input]") {
  weft::runtime rt{on(some_workers())};
  CHECK_THROWS_AS(rt.start(), weft::error);
  rt.shutdown();
  rt.shutdown();
  CHECK_THROWS_AS(rt.run([] {}), weft::runtime_stopped);
  CHECK_THROWS_AS(rt.spawn([] {}), weft::runtime_stopped);
  CHECK_THROWS_AS(rt.spawn(weft::spawn_options{.name = "x"}, [] {}), weft::runtime_stopped);
  CHECK(rt.live_fibers() == 0);
  CHECK(rt.shutdown(1s));
}

TEST_CASE("a runtime starts again after it was stopped", "[runtime]") {
  weft::runtime rt{on(some_workers())};
  for (int i = 0; i < 5; ++i) {
    CHECK(rt.run([i] { return weft::spawn([i] { return i; }).get(); }) == i);
    rt.shutdown();
    rt.start();
  }
  expect_no_leaks(rt);
}

TEST_CASE("nothing is left behind by a runtime", "[runtime]") {
  (void)weft::run([] { return 0; });
  auto const descriptors = open_descriptors();
  auto const threads = weft::test::threads_of_process();
  for (int i = 0; i < 10; ++i) {
    run_on(3, [] { weft::spawn([] {}).get(); });
  }
  CHECK(open_descriptors() == descriptors);
  CHECK(weft::test::threads_come_down_to(threads));
}

TEST_CASE("a runtime that cannot start leaves nothing behind", "[runtime][bad-input]") {
  (void)weft::run([] { return 0; });
  auto const threads = weft::test::threads_of_process();
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  for (std::size_t more = 1; more <= 15; ++more) {
    auto const before = descriptor_targets();
    rlimit const few{before.size() + more, old.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    bool const refused = throws<std::system_error>([] { weft::runtime const rt{{.workers = 8}}; });
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK(refused);
    // libuv 1.44 itself loses the epoll descriptor of the loop that uv_loop_init() could not finish. Nothing else may
    // go.
    auto const after = descriptor_targets();
    std::vector<std::string> lost;
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(lost));
    CHECK(lost.size() <= 1);
    for (auto const& target : lost) CHECK(target == "anon_inode:[eventpoll]");
  }
  CHECK(weft::test::threads_come_down_to(threads));
  CHECK(weft::run([] { return 1; }) == 1);
}

TEST_CASE("several runtimes live side by side", "[runtime]") {
  weft::runtime a{on(some_workers(), {.name = "a"})};
  weft::runtime b{on(2, {.name = "b"})};
  int const sum = a.run([&] {
    std::vector<weft::task<int>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(b.spawn([&a, i] { return a.run([i] { return i; }); }));
    }
    int total = 0;
    for (auto& t : tasks) total += t.get();
    return total;
  });
  CHECK(sum == 49 * 50 / 2);
  expect_no_leaks(a);
  expect_no_leaks(b);
}

TEST_CASE("rule 18: run inside a fiber is an error", "[runtime][rule18][bad-input]") {
  run_on(some_workers(), [] { verify(throws<weft::error>([] { weft::run([] {}); })); });
}

TEST_CASE("rule 18: run on another runtime, or ones own, parks only the fiber", "[runtime][rule18]") {
  weft::runtime other{on(1)};
  weft::runtime rt{on(1)};
  rt.run([&] {
    weft::event inner;
    auto sibling = weft::spawn([&] { inner.set(); });
    other.run([&] { inner.wait(); });
    sibling.get();
    weft::event own;
    auto again = weft::spawn([&] { own.set(); });
    rt.run([&] { own.wait(); });
    again.get();
  });
  expect_no_leaks(rt);
  expect_no_leaks(other);
}

TEST_CASE("rule 18: run may be called by several OS threads at once", "[runtime][rule18]") {
  weft::runtime rt{on(some_workers())};
  std::atomic<int> sum{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 50; ++k) sum += rt.run([i] { return weft::spawn([i] { return i; }).get(); });
    });
  }
  for (auto& t : threads) t.join();
  CHECK(sum.load() == 50 * 6);
  expect_no_leaks(rt);
}

TEST_CASE("rule 18: waiting, sleeping and yielding work on a plain thread", "[runtime][rule18]") {
  weft::yield();
  auto const begin = weft::clock::now();
  weft::sleep_for(2ms);
  CHECK(weft::clock::now() - begin >= 2ms);
  weft::sleep_for(-1s);
  weft::sleep_until(std::chrono::system_clock::now());
  weft::event e;
  CHECK_FALSE(e.wait_for(1ms));
  std::thread other{[&] { e.set(); }};
  e.wait();
  other.join();
  CHECK(weft::this_fiber::get_id() == weft::fiber_id{});
  CHECK(weft::this_fiber::worker() == -1);
  CHECK(weft::this_fiber::name().empty());
  CHECK_FALSE(weft::this_fiber::cancel_requested());
}

TEST_CASE("shutdown with a limit says whether all have ended, and may be repeated", "[runtime]") {
  weft::runtime rt{on(some_workers())};
  weft::event released;
  weft::event stubborn_started;
  // Ignores cancellation until it is released: it waits while an exception unwinds its stack.
  auto t = rt.spawn([&] {
    struct waits_on_exit {
      weft::event& until;
      ~waits_on_exit() { until.wait(); }
    };
    waits_on_exit const guard{released};
    stubborn_started.set();
    weft::sleep_for(24h);
  });
  stubborn_started.wait();
  CHECK_FALSE(rt.shutdown(0s));
  CHECK_FALSE(rt.shutdown(5ms));
  CHECK(rt.live_fibers() == 1);
  CHECK_THROWS_AS(rt.spawn([] {}), weft::runtime_stopped);  // admission has ended
  released.set();
  CHECK(rt.shutdown(1h));
  CHECK_THROWS_AS(t.get(), weft::cancelled);
  CHECK(rt.live_fibers() == 0);
}

TEST_CASE("a fiber spawned while the runtime shuts down is refused", "[runtime][rule16]") {
  weft::runtime rt{on(some_workers())};
  weft::event started;
  std::atomic<bool> refused{false};
  auto t = rt.spawn([&] {
    started.set();
    try {
      weft::sleep_for(24h);
    } catch (weft::cancelled const&) {
      refused = throws<weft::runtime_stopped>([] { (void)weft::spawn([] {}); });
    }
  });
  started.wait();
  rt.shutdown();
  CHECK(refused.load());
}

TEST_CASE("shutdown from a fiber of another runtime parks only that fiber", "[runtime][rule18]") {
  weft::runtime rt{on(1)};
  rt.run([] {
    weft::runtime other{on(1)};
    weft::event released;
    weft::event started;
    auto t = other.spawn([&] {
      struct waits_on_exit {
        weft::event& until;
        ~waits_on_exit() { until.wait(); }
      };
      waits_on_exit const guard{released};
      started.set();
      weft::sleep_for(24h);
    });
    started.wait();
    auto sibling = weft::spawn([&] { released.set(); });  // runs only if shutdown leaves our one worker alone
    other.shutdown();
    sibling.get();
  });
  expect_no_leaks(rt);
}

TEST_CASE("H20: a runtime is torn down with 10000 parked fibers", "[runtime][hazard][H20]") {
  std::atomic<int> unwound{0};
  std::atomic<int> started{0};
  {
    weft::runtime rt{on(some_workers(), {.stack_size = 64 * 1024})};
    int const count = static_cast<int>(scaled(10'000));
    weft::event all;
    for (int i = 0; i < count; ++i) {
      rt.spawn([&] {
          struct witness {
            std::atomic<int>& n;
            ~witness() { ++n; }
          };
          witness const w{unwound};
          if (++started == count) all.set();
          weft::sleep_for(24h);
        }).detach();
    }
    all.wait();
    CHECK(rt.live_fibers() == static_cast<std::size_t>(count));
    auto const begin = weft::clock::now();
    rt.shutdown();
    if (full_length) {
      auto const took = std::chrono::duration_cast<std::chrono::microseconds>(weft::clock::now() - begin);
      std::printf("%d parked fibers, %zu workers: drained in %lld us\n", count, rt.workers(),
                  static_cast<long long>(took.count()));
    }
  }
  CHECK(unwound.load() == started.load());
}

TEST_CASE("H20: fibers that swallow cancellation meet it again at the next wait", "[runtime][hazard][H20]") {
  std::atomic<int> caught{0};
  std::atomic<bool> from_noexcept{false};
  {
    weft::runtime rt{on(some_workers())};
    weft::event started;
    rt.spawn([&] {
        started.set();
        for (int i = 0; i < 5; ++i) {
          try {
            weft::sleep_for(24h);
          } catch (...) {
            ++caught;
          }
        }
        auto const leaf = [&]() noexcept {
          try {
            weft::sleep_for(24h);
          } catch (weft::cancelled const&) {
            from_noexcept = true;
          }
        };
        leaf();
      }).detach();
    started.wait();
  }
  CHECK(caught.load() == 5);
  CHECK(from_noexcept.load());
}

TEST_CASE("shutdown or destruction on ones own fiber", "[runtime][bad-input]") {
  run_on(1, [] {});
  weft::runtime rt{on(some_workers())};
  rt.run([&] {
    verify(throws<weft::error>([&] { rt.shutdown(); }));
    verify(throws<weft::error>([&] { (void)rt.shutdown(1s); }));
  });
  rt.shutdown();
  CHECK(aborts_with("destroyed on one of its own fibers", [] {
    auto own = std::make_unique<weft::runtime>(on(1));
    own->run([&] { own.reset(); });
  }));
}

TEST_CASE("live_fibers counts those that have not ended", "[runtime]") {
  weft::runtime rt{on(some_workers())};
  CHECK(rt.live_fibers() == 0);
  weft::event gate;
  std::vector<weft::task<void>> tasks;
  for (int i = 0; i < 7; ++i) tasks.push_back(rt.spawn([&] { gate.wait(); }));
  CHECK(rt.live_fibers() == 7);
  rt.run([&] {
    auto inner = weft::spawn([&] { gate.wait(); });
    verify(rt.live_fibers() == 9);
    gate.set();
    inner.get();
  });
  for (auto& t : tasks) t.get();
  CHECK(rt.live_fibers() == 0);
}

TEST_CASE("a wait in an on_done callback aborts with a message", "[runtime][rule18]") {
  CHECK(aborts_with("a wait on a worker outside of any fiber", [] {
    weft::runtime rt{on(1)};
    rt.run([] {
      weft::event gate;
      weft::event called;
      auto t = weft::spawn([&] { gate.wait(); });
      t.on_done([] { weft::sleep_for(1ms); });
      gate.set();
      t.get();
      called.wait();
    });
  }));
}

TEST_CASE("a stopping runtime refuses spawns from threads that race with it",
          "[runtime][stress][rule16][hazard][H11]") {
  auto const rounds = scaled(300);
  for (std::size_t round = 0; round < rounds; ++round) {
    weft::runtime rt{on(2)};
    std::atomic<bool> running{false};
    std::thread spawner{[&] {
      try {
        for (;;) {
          auto t = rt.spawn([] {});
          running = true;
          t.get();
        }
      } catch (weft::runtime_stopped const&) {
      } catch (weft::cancelled const&) {
      }
    }};
    while (!running) std::this_thread::yield();
    rt.shutdown();
    spawner.join();
  }
}
