/// @file
/// Calls that their caller may leave, and what a runtime that stops knows of calls that run.

#include <weft/runtime/offload.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include "job_pool.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

constexpr weft::offload_options abandon{.name = "job", .abandon_on_cancel = true};

/// What a call shares with the test: owned by both.
struct shared_state {
  weft::event started;
  weft::event gate;
  weft::event finished;
};

enum class where { computing, blocking, own_pool };

template <class F>
auto call(where w, weft::offload_pool& pool, weft::offload_options const& options, F f) {
  switch (w) {
    case where::computing: return weft::offload(options, std::move(f));
    case where::blocking: return weft::offload_blocking(options, std::move(f));
    case where::own_pool: break;
  }
  return pool.run(options, std::move(f));
}

struct seen_job {
  std::string pool;
  std::string name;
  std::string caller_name;
  std::uint64_t caller;
  std::chrono::nanoseconds age;
  bool left;
};

/// What the runtime of `home` says of its calls.
std::vector<seen_job> jobs_of(weft::detail::scheduler& home) {
  std::vector<seen_job> all;
  home.for_each_running_job([&all](weft::detail::running_job const& job) {
    all.push_back({std::string(job.pool), std::string(job.name), std::string(job.caller_name), job.caller.value(),
                   job.age, job.left});
  });
  return all;
}

weft::detail::scheduler& home_of_fiber() { return weft::detail::current_worker()->home; }

}  // namespace

TEST_CASE("abandon: a call that is not cancelled returns what it returns", "[offload][abandon]") {
  weft::offload_pool pool{{.threads = 1}};
  auto const w = GENERATE(where::computing, where::blocking, where::own_pool);
  run_on(some_workers(), [&] {
    for (bool const may_leave : {true, false}) {
      weft::offload_options const options{.name = "kept", .abandon_on_cancel = may_leave};
      verify(call(w, pool, options, [] { return 3; }) == 3);
      verify(*call(w, pool, options, [] { return std::make_unique<int>(4); }) == 4);
      call(w, pool, options, [] {});
      verify(throws<std::out_of_range>([&] { call(w, pool, options, [] { throw std::out_of_range("job"); }); }));
      verify(call(w, pool, options, [](std::stop_token token) { return token.stop_possible(); }));
    }
    // Arguments are owned: moved or copied into the call.
    int const n = 1;
    auto const sum = [](int a, std::unique_ptr<int> b) { return a + *b; };
    verify(weft::offload(abandon, sum, n, std::make_unique<int>(2)) == 3);
    verify(throws<std::invalid_argument>([] { weft::offload(abandon, std::function<void()>{}); }));
  });
}

TEST_CASE("abandon: rule 20: a cancelled caller leaves at once, and the call goes on", "[offload][abandon][rule20]") {
  weft::offload_pool pool{{.threads = 1}};
  auto const w = GENERATE(where::computing, where::blocking, where::own_pool);
  run_on(some_workers(), [&] {
    auto const state = std::make_shared<shared_state>();
    auto const told = std::make_shared<std::atomic<bool>>(false);
    auto t = weft::spawn([&] {
      call(w, pool, abandon, [state, told](std::stop_token token) {
        state->started.set();
        state->gate.wait();
        *told = token.stop_requested();
        state->finished.set();
      });
    });
    state->started.wait();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));  // though the gate is closed
    verify(!state->finished.is_set());
    state->gate.set();
    state->finished.wait();
    verify(told->load());
  });
}

TEST_CASE("abandon: without the option a named call is joined", "[offload][abandon][rule20]") {
  run_on(some_workers(), [] {
    weft::event started;
    weft::event gate;
    std::atomic<bool> finished{false};
    auto t = weft::spawn([&] {
      weft::offload({.name = "joined"}, [&] {
        started.set();
        gate.wait();
        finished = true;
      });
    });
    started.wait();
    t.cancel();
    verify(!t.wait_for(1ms));
    gate.set();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(finished.load());
  });
}

TEST_CASE("abandon: what a call threw that was left goes to on_unhandled_exception, its result nowhere",
          "[offload][abandon]") {
  weft::offload_pool pool{{.threads = 1}};
  auto const w = GENERATE(where::computing, where::blocking, where::own_pool);
  unhandled_log log;
  auto const result = std::make_shared<int>(1);
  {
    weft::runtime rt{on(some_workers(), {.on_unhandled_exception = log.handler()})};
    rt.run([&] {
      for (bool const fails : {true, false}) {
        auto const state = std::make_shared<shared_state>();
        auto t = weft::spawn([&] {
          (void)call(w, pool, abandon, [state, fails, result]() -> std::shared_ptr<int> {
            state->started.set();
            state->gate.wait();
            if (fails) throw std::runtime_error("late");
            return result;
          });
        });
        state->started.wait();
        t.cancel();
        verify(throws<weft::cancelled>([&] { t.get(); }));
        state->gate.set();
      }
    });
  }  // which waits for both
  CHECK(log.lines() == std::vector<std::string>{"job: late"});
  CHECK(result.use_count() == 1);
}

TEST_CASE("abandon: the shutdown of the caller's runtime waits for calls that were left, within its limit",
          "[offload][abandon][rule21]") {
  weft::offload_pool pool{{.threads = 1}};
  auto const w = GENERATE(where::computing, where::blocking, where::own_pool);
  auto const state = std::make_shared<shared_state>();
  weft::runtime rt{on(some_workers())};
  weft::detail::scheduler* home = nullptr;
  rt.run([&] {
    home = &home_of_fiber();
    auto t = weft::spawn([&] {
      call(w, pool, abandon, [state] {
        state->started.set();
        state->gate.wait();
        state->finished.set();
      });
    });
    state->started.wait();
    t.cancel();
    t.wait();
  });
  CHECK(rt.live_fibers() == 0);
  CHECK_FALSE(rt.shutdown(0s));
  auto const jobs = jobs_of(*home);
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].name == "job");
  CHECK(jobs[0].left);
  CHECK(jobs[0].pool == (w == where::computing ? "weft" : w == where::blocking ? "weft (blocking)" : "pool"));
  state->gate.set();
  CHECK(rt.shutdown(1h));
  CHECK(state->finished.is_set());
}

TEST_CASE("abandon: the result of a call that was left may call the pool when it is destroyed", "[offload][abandon]") {
  auto const state = std::make_shared<shared_state>();
  auto const closed = std::make_shared<std::atomic<bool>>(false);
  weft::offload_pool pool{{.threads = 1}};
  struct handle {
    weft::offload_pool* pool;
    std::shared_ptr<std::atomic<bool>> closed;
    handle(weft::offload_pool& of, std::shared_ptr<std::atomic<bool>> flag) : pool(&of), closed(std::move(flag)) {}
    handle(handle&& other) noexcept : pool(std::exchange(other.pool, nullptr)), closed(std::move(other.closed)) {}
    ~handle() {
      if (pool != nullptr) pool->run([this] { *closed = true; });
    }
  };
  run_on(some_workers(), [&] {
    auto t = weft::spawn([&] {
      (void)pool.run(abandon, [state, &pool, closed] {
        state->started.set();
        state->gate.wait();
        return handle{pool, closed};
      });
    });
    state->started.wait();
    t.cancel();
    t.wait();
    state->gate.set();
    verify(pool.shutdown(1h));
    verify(closed->load());
  });
}

TEST_CASE("abandon: a pool's shutdown waits for calls that were left", "[offload_pool][abandon][rule21]") {
  auto const state = std::make_shared<shared_state>();
  weft::offload_pool pool{{.threads = 1}};
  run_on(some_workers(), [&] {
    auto t = weft::spawn([&] {
      pool.run(abandon, [state] {
        state->started.set();
        state->gate.wait();
      });
    });
    state->started.wait();
    t.cancel();
    t.wait();
    verify(!pool.shutdown(0s));
    state->gate.set();
    verify(pool.shutdown(1h));
  });
}

TEST_CASE("abandon: a thread whose time limit passes leaves the call, too, and the pool waits for it",
          "[offload_pool][abandon]") {
  auto const state = std::make_shared<shared_state>();
  bool left = false;
  {
    weft::offload_pool pool{{.threads = 1}};
    weft::cancel_scope scope;
    std::thread canceller{[&, state] {
      state->started.wait();
      scope.cancel();
    }};
    left = !scope.run([&] {
      pool.run(abandon, [state] {
        state->started.set();
        state->gate.wait();
        state->finished.set();
      });
    });
    canceller.join();
    CHECK_FALSE(state->finished.is_set());
    CHECK(pool.running() == 1);
    state->gate.set();
  }
  CHECK(left);
  CHECK(state->finished.is_set());
}

TEST_CASE("abandon: a call whose caller is cancelled before it starts never runs", "[offload][abandon]") {
  run_with(on(some_workers(), {.offload_threads = 1}), [] {
    weft::event gate;
    weft::event busy;
    auto first = weft::spawn([&] {
      weft::offload([&] {
        busy.set();
        gate.wait();
      });
    });
    busy.wait();
    auto const ran = std::make_shared<std::atomic<int>>(0);
    auto t = weft::spawn([&] { weft::offload(abandon, [ran] { ++*ran; }); });
    for (int i = 0; i < 100; ++i) weft::yield();
    t.cancel();
    verify(throws<weft::cancelled>([&] { t.get(); }));
    verify(ran.use_count() == 1);  // it is gone
    gate.set();
    first.get();
    weft::offload([] {});
    verify(ran->load() == 0);
  });
}

TEST_CASE("abandon: calls and cancellations at random: each is run, left or taken back, and none is leaked",
          "[offload][abandon][stress]") {
  auto const seed = GENERATE(1U, 2U);
  INFO("seed " << seed);
  weft::offload_pool pool{{.threads = 2, .queue = 2}};
  auto const alive = std::make_shared<int>(0);
  unhandled_log log;
  std::atomic<int> failed{0};
  std::atomic<int> collected{0};
  run_with(on(some_workers(), {.offload_threads = 2, .offload_queue = 2, .on_unhandled_exception = log.handler()}),
           [&] {
             std::minstd_rand random{seed};
             for (std::size_t round = 0; round < scaled(300) + 5; ++round) {
               std::vector<weft::task<void>> tasks;
               for (int i = 0; i < 16; ++i) {
                 auto const w = static_cast<where>(random() % 3);
                 bool const fails = random() % 4 == 0;
                 tasks.push_back(weft::spawn([&, w, fails] {
                   try {
                     call(w, pool, abandon, [alive, fails, &failed] {
                       if (fails) {
                         ++failed;
                         throw std::runtime_error("planned");
                       }
                     });
                   } catch (std::runtime_error const&) {
                     ++collected;
                   }
                 }));
               }
               for (auto n = random() % 20; n > 0; --n) weft::yield();
               for (auto& t : tasks) {
                 if (random() % 2 == 0) t.cancel();
               }
               for (auto& t : tasks) t.wait();
             }
           });
  CHECK(alive.use_count() == 1);
  CHECK(log.lines().size() + static_cast<std::size_t>(collected.load()) == static_cast<std::size_t>(failed.load()));
}

TEST_CASE("running calls are listed with their pool, name, caller and age", "[offload][rule21]") {
  weft::runtime rt{on(2)};
  rt.run([] {
    auto& home = home_of_fiber();
    verify(jobs_of(home).empty());
    weft::event gate;
    std::atomic<int> inside{0};
    auto const block = [&] {
      ++inside;
      gate.wait();
    };
    auto older = weft::spawn({.name = "reader"}, [&] {
      weft::offload_blocking({.name = "read"}, block);
      return weft::this_fiber::get_id().value();
    });
    while (inside.load() != 1) weft::yield();
    // Not before the clock of ages has moved on: so the two differ.
    auto const age = [&] { return jobs_of(home).at(0).age; };
    while (age() <= 0ns) weft::yield();
    auto newer = weft::spawn([&] { weft::offload(block); });
    while (inside.load() != 2) weft::yield();
    auto const jobs = jobs_of(home);
    verify(jobs.size() == 2);
    auto const& computing = jobs[0];
    auto const& blocking = jobs[1];
    verify(computing.pool == "weft" && blocking.pool == "weft (blocking)");
    verify(computing.name.empty() && blocking.name == "read");
    verify(computing.caller_name.empty() && blocking.caller_name == "reader");
    verify(computing.caller != 0 && computing.caller != blocking.caller);
    verify(computing.age >= 0ns && blocking.age > computing.age);
    verify(!computing.left && !blocking.left);
    gate.set();
    verify(older.get() == blocking.caller);
    newer.get();
    // An ended call is out of the list before its caller goes on.
    verify(jobs_of(home).empty());
  });
}

TEST_CASE("rule 21: when shutdown expires because of a call that is stuck, the call can be found out",
          "[offload][rule21][bad-input]") {
  weft::event started;
  weft::event gate;
  weft::runtime rt{on(some_workers())};
  std::atomic<weft::detail::scheduler*> home{nullptr};
  rt.spawn({.name = "owner"}, [&] {
      home = &home_of_fiber();
      weft::offload({.name = "stuck"}, [&] {
        started.set();
        gate.wait();
      });
    }).detach();
  started.wait();
  CHECK_FALSE(rt.shutdown(0s));
  auto const jobs = jobs_of(*home);
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].name == "stuck");
  CHECK(jobs[0].caller_name == "owner");
  gate.set();
  CHECK(rt.shutdown(1h));
}

TEST_CASE("abandon: a runtime that its own abandoned call outlives says so, and does not wait for itself",
          "[offload][bad-input]") {
  CHECK(aborts_with("a runtime is destroyed within a call that its own fiber has offloaded", [] {
    auto rt = std::make_shared<weft::runtime>(weft::runtime_options{.workers = 1});
    std::latch begun{1};
    std::latch alone{1};
    auto const caller = rt->spawn([&, weak = std::weak_ptr{rt}] {
      weft::offload(abandon, [&, own = weak.lock()] {
        begun.count_down();
        alone.wait();
      });
    });
    begun.wait();
    caller.cancel();
    caller.wait();
    rt.reset();
    alone.count_down();
    for (;;) ::pause();
  }));
}

TEST_CASE("a runtime is not shut down without limit by a call that its own fiber has offloaded",
          "[offload][bad-input]") {
  weft::runtime rt{{.workers = 1, .on_shutdown_report = [](std::string_view) {}}};
  auto caller = rt.spawn([&] {
    weft::offload([&] {
      verify(throws<weft::error>([&] { rt.shutdown(); }));
      verify(!rt.shutdown(0ns));  // but its caller has been cancelled
    });
  });
  CHECK_THROWS_AS(caller.get(), weft::cancelled);
}

TEST_CASE("abandon: what a call that was left owns may wait for another call of the same pool", "[offload][abandon]") {
  watchdog dog{"a call behind the remains of another"};
  for (bool const may_grow : {false, true}) {
    run_on(some_workers(), [&] {
      auto const state = std::make_shared<shared_state>();
      weft::offload_pool pool{{.threads = 1}};
      std::optional<weft::offload_pool> wide;
      if (may_grow) wide.emplace(weft::offload_pool_options{.threads = 2, .growth = weft::pool_growth::elastic});
      auto& through = may_grow ? *wide : pool;
      auto queued = weft::spawn([state, &through] {
        state->started.wait();
        through.run([] {});
      });
      auto left = weft::spawn([&] {
        through.run(abandon, [state, owned = std::move(queued)] {
          state->started.set();
          state->gate.wait();
        });
      });
      state->started.wait();
      for (int i = 0; i < 10; ++i) weft::yield();  // the other has queued its call, or is about to
      left.cancel();
      left.wait();
      state->gate.set();
      verify(through.shutdown(1h));
    });
  }
}
