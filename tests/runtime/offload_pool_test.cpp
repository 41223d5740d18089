/// @file
/// offload_pool: a pool of the user's own, from fibers and threads; its shutdown, and what it says of what it waits
/// for.

#include <weft/runtime/offload_pool.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// While it lives, stderr goes into a pipe, which a call may read to find out what has been said.
class caught_stderr {
public:
  caught_stderr() : before_(::dup(STDERR_FILENO)) {
    if (::pipe(ends_.data()) != 0 || ::dup2(ends_[1], STDERR_FILENO) < 0) throw std::runtime_error("pipe");
  }
  caught_stderr(caught_stderr const&) = delete;
  ~caught_stderr() {
    ::dup2(before_, STDERR_FILENO);
    for (int const fd : {before_, ends_[0], ends_[1]}) ::close(fd);
  }
  /// Waits until `text` has been written.  @returns all that was read
  std::string read_until(std::string const& text) {
    std::string all;
    while (all.find(text) == std::string::npos) {
      std::array<char, 512> buffer{};
      auto const n = ::read(ends_[0], buffer.data(), buffer.size());
      if (n <= 0) throw std::runtime_error("read");
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return all;
  }

private:
  std::array<int, 2> ends_{};
  int before_;
};

}  // namespace

TEST_CASE("pool: results and exceptions come back, to fibers and to threads", "[offload_pool][rule20]") {
  weft::offload_pool pool{{.name = "mine", .threads = 2}};
  auto const use = [&pool] {
    verify(pool.run([] { return 3; }) == 3);
    verify(*pool.run([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(4)) == 4);
    int target = 0;
    int& same = pool.run([&]() -> int& { return target; });
    verify(&same == &target);
    verify(throws<std::out_of_range>([&] { pool.run([] { throw std::out_of_range("job"); }); }));
    verify(throws<std::invalid_argument>([&] { pool.run(std::function<void()>{}); }));
    auto const here = std::this_thread::get_id();
    verify(pool.run([here] { return std::this_thread::get_id() != here; }));
  };
  use();
  std::thread{use}.join();
  run_on(some_workers(), use);
  CHECK(pool.name() == "mine");
  CHECK(pool.threads() <= 2);
}

TEST_CASE("pool: one pool serves fibers of two runtimes and threads at once", "[offload_pool]") {
  weft::offload_pool pool{{.threads = 2, .queue = 2}};
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  auto const call = [&] {
    pool.run([&] {
      int const now = ++running;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      --running;
    });
    ++done;
  };
  weft::runtime one{on(2)};
  weft::runtime two{on(1)};
  std::vector<weft::task<void>> tasks;
  std::vector<std::thread> threads;
  for (int i = 0; i < 30; ++i) {
    tasks.push_back(one.spawn(call));
    tasks.push_back(two.spawn(call));
    if (i < 10) threads.emplace_back(call);
  }
  for (auto& t : tasks) t.get();
  for (auto& t : threads) t.join();
  CHECK(done.load() == 70);
  CHECK(most.load() <= 2);
}

TEST_CASE("pool: a full queue makes callers wait, fibers and threads, and they go on in order",
          "[offload_pool][bad-input]") {
  weft::offload_pool pool{{.threads = 1, .queue = 1}};
  weft::event gate;
  weft::event inside;
  std::vector<int> order;  // by the pool's one thread
  std::thread first{[&] {
    pool.run([&] {
      inside.set();
      gate.wait();
    });
  }};
  inside.wait();
  std::atomic<int> arrived{0};
  std::thread queued{[&] { pool.run([&] { order.push_back(0); }); }};
  while (pool.queued() != 1) std::this_thread::yield();
  run_with(weft::testing::fifo(), [&] {
    std::vector<weft::task<void>> tasks;
    for (int i = 1; i < 10; ++i) {
      tasks.push_back(weft::spawn([&, i] {
        ++arrived;
        pool.run([&, i] { order.push_back(i); });
      }));
    }
    weft::yield();
    verify(arrived.load() == 9);
    verify(pool.queued() == 1);  // the rest wait for room
    gate.set();
    for (auto& t : tasks) t.get();
  });
  first.join();
  queued.join();
  for (int i = 0; i < 10; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("pool: within a call of the pool another runs in place, also behind a call of another pool",
          "[offload_pool][rule20]") {
  weft::offload_pool a{{.threads = 1}};
  weft::offload_pool b{{.threads = 1}};
  auto const circle = [&] {
    return a.run([&] {
      auto const on_a = std::this_thread::get_id();
      bool const nested = a.run([&] { return std::this_thread::get_id() == on_a; });
      return nested && b.run([&] {
        auto const on_b = std::this_thread::get_id();
        // The one thread of `a` waits for us: only in place can this end.
        return on_b != on_a && a.run([&] { return std::this_thread::get_id() == on_b; });
      });
    });
  };
  CHECK(circle());
  run_on(1, [&] { verify(circle()); });
}

TEST_CASE("pool: within a call the runtime's pools need a fiber", "[offload_pool][bad-input]") {
  weft::offload_pool pool{{.threads = 1}};
  run_on(1, [&] {
    verify(pool.run([] { return throws<weft::no_runtime>([] { weft::offload([] {}); }); }));
    // But a call of the runtime's own pool further out makes room for one.
    verify(weft::offload([&] { return pool.run([] { return weft::offload([] { return true; }); }); }));
  });
}

TEST_CASE("pool: a caller that is cancelled before its call starts leaves, and the call never runs",
          "[offload_pool][rule20]") {
  auto const queue = GENERATE(std::size_t{1}, std::size_t{100});  // waiting for room, or queued
  weft::offload_pool pool{{.threads = 1, .queue = queue}};
  run_on(some_workers(), [&] {
    weft::event gate;
    weft::event busy;
    auto first = weft::spawn([&] {
      pool.run([&] {
        busy.set();
        gate.wait();
      });
    });
    busy.wait();
    std::atomic<int> ran{0};
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(weft::spawn([&] { pool.run([&] { ++ran; }); }));
    for (int i = 0; i < 100; ++i) weft::yield();
    for (auto& t : tasks) t.cancel();
    for (auto& t : tasks) verify(throws<weft::cancelled>([&] { t.get(); }));
    gate.set();
    first.get();
    pool.run([] {});  // the pool still works
    verify(ran.load() == 0);
  });
}

TEST_CASE("pool: an elastic pool has a thread for each call at once, and then none", "[offload_pool]") {
  weft::offload_pool pool{{.threads = 20, .growth = weft::pool_growth::elastic, .idle_time = 0ns}};
  run_on(some_workers(), [&] {
    std::atomic<int> inside{0};
    weft::event all_inside;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(weft::spawn([&] {
        pool.run([&] {
          if (++inside == 20) all_inside.set();
          all_inside.wait();
        });
      }));
    }
    for (auto& t : tasks) t.get();
  });
  while (pool.threads() != 0) std::this_thread::yield();
  CHECK(pool.run([] { return 1; }) == 1);
}

TEST_CASE("pool: a fixed pool keeps its threads", "[offload_pool]") {
  weft::offload_pool pool{{.threads = 1, .idle_time = 0ns}};
  auto const thread = [&] { return pool.run([] { return std::this_thread::get_id(); }); };
  auto const first = thread();
  for (int i = 0; i < 100; ++i) CHECK(thread() == first);
  CHECK(pool.threads() == 1);
}

TEST_CASE("pool: options out of range are refused by name", "[offload_pool][bad-input]") {
  auto const refusal = [](weft::offload_pool_options options) {
    try {
      weft::offload_pool const pool{std::move(options)};
    } catch (std::invalid_argument const& e) {
      return std::string(e.what());
    }
    return std::string{};
  };
  CHECK(refusal({.threads = 5000}).find("threads") != std::string::npos);
  CHECK(refusal({.queue = 0}).find("queue") != std::string::npos);
  CHECK(refusal({.idle_time = -1ns}).find("idle_time") != std::string::npos);
  CHECK(refusal({.report_every = 0ns}).find("report_every") != std::string::npos);
  CHECK(refusal({}).empty());
}

TEST_CASE("pool: after shutdown it takes no more calls; what it had taken has run", "[offload_pool][bad-input]") {
  weft::offload_pool pool{{.name = "closing", .threads = 1, .queue = 1}};
  weft::event gate;
  weft::event inside;
  std::atomic<int> ran{0};
  std::vector<std::thread> callers;
  callers.emplace_back([&] {
    pool.run([&] {
      inside.set();
      gate.wait();
      ++ran;
    });
  });
  inside.wait();
  callers.emplace_back([&] { pool.run([&] { ++ran; }); });
  while (pool.queued() != 1) std::this_thread::yield();
  {
    caught_stderr said;
    CHECK_FALSE(pool.shutdown(0s));
    auto const text = said.read_until(" ms\n");
    CHECK(text.find("'closing'") != std::string::npos);
    CHECK(text.find("1 call runs, 1 queued\n") != std::string::npos);
    CHECK(text.find("a call of a thread, for ") != std::string::npos);
  }
  CHECK_THROWS_AS(pool.run([] {}), weft::runtime_stopped);
  gate.set();
  CHECK(pool.shutdown(1h));
  CHECK(ran.load() == 2);
  CHECK(pool.threads() == 0);
  CHECK(pool.shutdown(0s));  // again
  CHECK_THROWS_AS(pool.run([] {}), weft::runtime_stopped);
  for (auto& c : callers) c.join();
}

TEST_CASE("pool: shutdown names the calls that remain at its limit: the call, the fiber, its name",
          "[offload_pool][rule21]") {
  weft::offload_pool pool{{.name = "stuck", .threads = 3}};
  weft::event gate;
  std::atomic<int> inside{0};
  weft::runtime rt{on(1)};
  auto const block = [&] {
    ++inside;
    gate.wait();
  };
  auto named = rt.spawn({.name = "asker"}, [&] { pool.run({.name = "question"}, block); });
  auto nameless = rt.spawn([&] { pool.run(block); });
  while (inside.load() != 2) std::this_thread::yield();
  {
    caught_stderr said;
    CHECK_FALSE(pool.shutdown(0s));
    std::fputs("end of report\n", stderr);
    auto const text = said.read_until("end of report\n");
    CHECK(text.find("'stuck'") != std::string::npos);
    CHECK(text.find("2 calls run\n") != std::string::npos);
    CHECK(text.find("'question' of fiber ") != std::string::npos);
    CHECK(text.find(" 'asker', for ") != std::string::npos);
    CHECK(text.find("a call of fiber ") != std::string::npos);
  }
  gate.set();
  named.get();
  nameless.get();
  CHECK(pool.shutdown(1h));
}

TEST_CASE("pool: in virtual time, too, shutdown waits for calls, and then none is taken", "[offload_pool]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::offload_pool pool{{.threads = 1}};
    auto const calls = weft::spawn([&] { pool.run([] { weft::testing::spend(1s); }); });
    weft::sleep_for(1ms);
    verify(!pool.shutdown(0s));
    verify(!calls.ready());
    verify(pool.shutdown(1h));
    verify(throws<weft::runtime_stopped>([&] { pool.run([] {}); }));
  });
}

TEST_CASE("pool: shutdown parks only the fiber that calls it, and can be cancelled", "[offload_pool]") {
  weft::offload_pool pool{{.threads = 1}};
  run_on(1, [&] {
    weft::event gate;
    weft::event inside;
    auto call = weft::spawn([&] {
      pool.run([&] {
        inside.set();
        gate.wait();
      });
    });
    inside.wait();
    weft::event closing;
    auto closer = weft::spawn([&] {
      closing.set();
      pool.shutdown();
    });
    closing.wait();
    weft::yield();
    closer.cancel();
    verify(throws<weft::cancelled>([&] { closer.get(); }));
    auto again = weft::spawn([&] { pool.shutdown(); });
    weft::yield();
    gate.set();
    again.get();
    call.get();
  });
}

TEST_CASE("pool: the destructor says again and again what it waits for", "[offload_pool][rule21]") {
  caught_stderr said;
  std::string text;
  std::thread caller;
  {
    weft::offload_pool pool{{.name = "slow", .threads = 1, .report_every = 1ms}};
    weft::event inside;
    caller = std::thread{[&] {
      pool.run({.name = "read"}, [&] {
        inside.set();
        for (int report = 0; report < 3; ++report) text += said.read_until("'read' of a thread, for ");
      });
    }};
    inside.wait();
  }  // ends only if the call has read three reports
  caller.join();
  CHECK(text.find("the offload pool 'slow' is being destroyed, and waits: 1 call runs\n") != std::string::npos);
}

TEST_CASE("pool: destruction on a fiber lets the callers on the same worker leave first", "[offload_pool]") {
  run_on(1, [] {
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> ran{0};
      weft::event gate;
      std::vector<weft::task<void>> tasks;
      {
        weft::offload_pool pool{{.threads = 1}};
        for (int i = 0; i < 8; ++i) {
          tasks.push_back(weft::spawn([&] {
            pool.run([&] {
              gate.wait();
              ++ran;
            });
          }));
        }
        while (pool.running() != 1 || pool.queued() != 7) weft::yield();  // all are inside
        gate.set();
      }
      for (auto& t : tasks) t.get();
      verify(ran.load() == 8);
    }
  });
}

TEST_CASE("pool: to end the pool within one of its own calls is an error, or an abort", "[offload_pool][bad-input]") {
  CHECK(aborts_with("destroyed within one of its own calls", [] {
    auto* const pool = new weft::offload_pool{{.threads = 1}};
    pool->run([pool] { delete pool; });
  }));
  weft::offload_pool pool{{.threads = 1}};
  CHECK(pool.run([&] { return throws<weft::error>([&] { (void)pool.shutdown(0s); }); }));
  CHECK(pool.run([] { return 1; }) == 1);
}

TEST_CASE("pool: calls, cancellations and shutdown at random: each call runs at most once and none is forgotten",
          "[offload_pool][stress]") {
  auto const seed = GENERATE(1U, 2U);
  INFO("seed " << seed);
  run_on(some_workers(), [&] {
    std::minstd_rand random{seed};
    for (std::size_t round = 0; round < scaled(300) + 5; ++round) {
      std::vector<std::atomic<int>> runs(16);
      std::vector<weft::task<void>> tasks;
      auto const threads = std::size_t{1} + random() % 3;
      auto const growth = random() % 2 == 0 ? weft::pool_growth::fixed : weft::pool_growth::elastic;
      weft::offload_pool pool{{.threads = threads, .queue = 2, .growth = growth, .idle_time = 0ns}};
      for (std::size_t i = 0; i < 16; ++i) tasks.push_back(weft::spawn([&, i] { pool.run([&, i] { ++runs[i]; }); }));
      for (auto n = random() % 20; n > 0; --n) weft::yield();
      for (auto& t : tasks) {
        if (random() % 2 == 0) t.cancel();
      }
      if (random() % 2 == 0) pool.shutdown();
      for (std::size_t i = 0; i < 16; ++i) {
        tasks[i].wait();
        verify(runs[i].load() <= 1);
        if (tasks[i].exception() == nullptr) verify(runs[i].load() == 1);
      }
    }
  });
}

TEST_CASE("a pool that was shut down in vain may go while its last caller leaves", "[offload][stress]") {
  for (std::size_t i = scaled(2'000); i > 0; --i) {
    auto pool = std::make_unique<weft::offload_pool>(weft::offload_pool_options{.threads = 1});
    std::latch begun{1};
    std::thread caller{[&, &its = *pool] { its.run([&] { begun.count_down(); }); }};
    begun.wait();
    try {
      weft::cancel_scope scope;
      scope.cancel();
      pool->shutdown();
    } catch (weft::cancelled const&) {  // NOLINT: mostly; and then it is said again
    }
    pool.reset();
    caller.join();
  }
}
