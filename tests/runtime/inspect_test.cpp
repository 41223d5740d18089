/// @file
/// Snapshots of fibers and counters: what they say, and that taking them is safe while fibers come and go.

#include <weft/runtime/inspect.hpp>

#include "scheduler.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;
using weft::task_state;

namespace {

std::optional<weft::task_info> find(std::vector<weft::task_info> const& all, std::string_view name) {
  auto const at = std::find_if(all.begin(), all.end(), [&](auto const& t) { return t.name == name; });
  return at != all.end() ? std::optional{*at} : std::nullopt;
}

/// The task of that name, once it is in that state.
weft::task_info eventually(weft::runtime const& rt, std::string_view name, task_state state) {
  for (;;) {
    auto const t = find(rt.all_tasks(), name);
    if (t && t->state == state) return *t;
    std::this_thread::yield();
  }
}

std::string id_of(weft::fiber_id id) { return std::to_string(id.value()); }

}  // namespace

TEST_CASE("a dump tells of each fiber what it does, waits for and since when", "[inspect]") {
  run_with(weft::testing::in_virtual_time({.name = "dumped"}), [] {
    weft::event gate;
    std::array<std::atomic<std::uint64_t>, 4> ids{};
    auto const self = weft::this_fiber::get_id();
    auto sleeper = weft::spawn({.name = "sleeper"}, [&] {
      ids[0] = weft::this_fiber::get_id().value();
      weft::sleep_for(24h);
    });
    auto waiter = weft::spawn({.name = "waiter"}, [&] {
      ids[1] = weft::this_fiber::get_id().value();
      weft::sleep_for(100ms);
      gate.wait();
    });
    auto nameless = weft::spawn([&] {
      ids[2] = weft::this_fiber::get_id().value();
      gate.wait();
    });
    weft::sleep_for(250ms);
    auto ready = weft::spawn({.name = "ready"}, [&] {
      ids[3] = weft::this_fiber::get_id().value();
      for (int i = 0; i < 2; ++i) weft::yield();
    });
    weft::yield();
    auto fresh = weft::spawn({.name = "fresh"}, [] {});
    std::ostringstream text;
    weft::dump(text);
    auto const parent = "; parent " + id_of(self) + "\n";
    auto const all = weft::all_tasks();
    auto const fresh_id = find(all, "fresh")->id;
    std::string const expected = "fiber " + id_of(self) + ": running; worker 0\n" + "fiber " + std::to_string(ids[0]) +
                                 " 'sleeper': parked for 250 ms, waits for: sleep; worker 0" + parent + "fiber " +
                                 std::to_string(ids[1]) + " 'waiter': parked for 150 ms, waits for: event; worker 0" +
                                 parent + "fiber " + std::to_string(ids[2]) +
                                 ": parked for 250 ms, waits for: event; worker 0" + parent + "fiber " +
                                 std::to_string(ids[3]) + " 'ready': queued; worker 0" + parent + "fiber " +
                                 id_of(fresh_id) + " 'fresh': unstarted" + parent +
                                 "runtime 'dumped': 6 fibers, 1 running, 1 queued, 3 parked, 1 unstarted\n";
    if (text.str() != expected) std::fprintf(stderr, "got:\n%s\nexpected:\n%s\n", text.str().c_str(), expected.c_str());
    verify(text.str() == expected);
    verify(std::is_sorted(all.begin(), all.end(), [](auto const& a, auto const& b) { return a.id < b.id; }));
    gate.set();
    for (auto* t : {&waiter, &nameless, &ready, &fresh}) t->get();
    sleeper.cancel();
  });
}

TEST_CASE("a runtime's fibers are seen from outside, with their stacks, parents and reasons", "[inspect]") {
  weft::runtime rt{on(some_workers())};
  CHECK(rt.all_tasks().empty());
  weft::event gate;
  auto parent = rt.spawn({.name = "parent"}, [&] {
    auto child = weft::spawn({.name = "child", .stack_size = 64 * 1024}, [&] { gate.wait(); });
    gate.wait();
    child.get();
  });
  auto const p = eventually(rt, "parent", task_state::parked);
  auto const c = eventually(rt, "child", task_state::parked);
  CHECK(rt.all_tasks().size() == 2);
  CHECK(p.parent == weft::fiber_id{});
  CHECK(c.parent == p.id);
  CHECK(p.waits_for == "event");
  CHECK(c.waits_for == "event");
  CHECK(p.stack_size == 256 * 1024);
  CHECK(c.stack_size == 64 * 1024);
  CHECK(p.worker >= 0);
  CHECK(p.worker < static_cast<int>(rt.workers()));
  CHECK(c.waiting >= 0ms);
  gate.set();
  parent.get();
  CHECK(rt.all_tasks().empty());
  rt.shutdown();
  CHECK(rt.all_tasks().empty());
  std::ostringstream text;
  rt.dump(text);
  CHECK(text.str() == "runtime 'weft': 0 fibers, 0 running, 0 queued, 0 parked, 0 unstarted\n");
}

TEST_CASE("a joiner is parked for the task, also while its worker runs that in its place", "[inspect]") {
  run_on(some_workers(), [] {
    auto const self = weft::this_fiber::get_id();
    auto const joiner_of = [&] {
      auto const all = weft::all_tasks();
      auto const at = std::find_if(all.begin(), all.end(), [&](auto const& t) { return t.id == self; });
      verify(at != all.end());
      return *at;
    };
    auto child = weft::spawn([&] {
      // Not at once, where the child is stolen before it is joined.
      for (auto joiner = joiner_of();; joiner = joiner_of()) {
        if (joiner.state == task_state::parked) {
          verify(joiner.waits_for == "task");
          break;
        }
      }
      weft::yield();  // opens the joiner's wait, if it had stepped aside
      for (auto joiner = joiner_of();; joiner = joiner_of()) {
        if (joiner.state != task_state::parked) continue;
        verify(joiner.waits_for == "task");
        break;
      }
    });
    child.get();
    verify(joiner_of().state == task_state::running);
  });
}

TEST_CASE("snapshots may be taken while fibers come and go", "[inspect][stress]") {
  weft::runtime rt{on(some_workers())};
  std::atomic<bool> stop{false};
  auto const check = [](std::vector<weft::task_info> const& all) {
    std::set<weft::fiber_id> ids;
    for (auto const& t : all) {
      verify(ids.insert(t.id).second);
      verify(t.name.empty() || t.name == "churner" || t.name == "inside" ||
             t.name == std::string(t.name.size(), t.name.front()));
      verify(t.state != task_state::parked || !t.waits_for.empty());
      verify(t.stack_size >= 16 * 1024);
    }
  };
  // Ends only when it has been looked at often enough: nothing here depends on how fast that goes.
  std::atomic<int> looks{0};
  auto const enough = static_cast<int>(scaled(2000));
  std::vector<weft::task<void>> fibers;
  for (int f = 0; f < 3; ++f) {
    fibers.push_back(rt.spawn({.name = "churner"}, [&, f] {
      for (unsigned round = 0; !stop; ++round) {
        std::vector<weft::task<void>> children;
        for (unsigned i = 0; i < 8; ++i) {
          std::string const name(1 + (round + i) % 40, static_cast<char>('a' + (round + i) % 26));
          children.push_back(weft::spawn({.name = name}, [] { weft::yield(); }));
          children.push_back(weft::spawn([] {}));
          if (i % 3 == 0) weft::spawn({.name = name}, [] {}).detach();
        }
        if (f == 0) weft::sleep_for(10us);
        for (auto& t : children) t.get();
      }
    }));
  }
  fibers.push_back(rt.spawn({.name = "inside"}, [&] {
    while (!stop) {
      check(weft::all_tasks());
      ++looks;
      weft::yield();
    }
  }));
  std::string failure;
  try {
    while (looks < enough) {
      check(rt.all_tasks());
      (void)rt.stats();
      ++looks;
      std::ostringstream text;
      if (looks % 64 == 0) rt.dump(text);
    }
  } catch (verification_failed const& e) {
    failure = e.what();
  }
  stop = true;
  for (auto& t : fibers) t.get();
  CHECK(failure.empty());
  rt.shutdown();
}

TEST_CASE("no fiber ends while a snapshot looks at it", "[inspect]") {
  weft::runtime rt{{.workers = 2}};
  rt.run([] {
    std::atomic<bool> running{false};
    std::atomic<bool> may_end{false};
    std::atomic<bool> at_its_end{false};
    auto other = weft::spawn({.name = "other"}, [&] {
      running = true;
      while (!may_end) std::this_thread::yield();
      at_its_end = true;
    });
    while (!running) std::this_thread::yield();  // on the other worker, for this one is held
    bool ended = false;
    auto const self = weft::this_fiber::get_id().value();
    weft::detail::current_worker()->home.for_each_live([&](weft::detail::fiber_record const& fiber) {
      if (fiber.id == self) return;
      may_end = true;
      while (!at_its_end) std::this_thread::yield();
      // However long it is given, it must not end; without the protection this is long enough.
      for (int i = 0; i < 1000; ++i) {
        std::this_thread::yield();
        ended = ended || other.ready();
      }
    });
    verify(!ended);
    other.get();
  });
}

TEST_CASE("snapshots outside of a fiber need the runtime's own members", "[inspect][bad-input]") {
  CHECK_THROWS_AS(weft::all_tasks(), weft::no_runtime);
  std::ostringstream text;
  CHECK_THROWS_AS(weft::dump(text), weft::no_runtime);
  CHECK(text.str().empty());
}

TEST_CASE("stats count fibers, timers and stacks", "[inspect]") {
  weft::runtime rt{weft::testing::in_virtual_time()};
  CHECK(rt.stats().spawned == 0);
  rt.run([&] {
    auto const begin = rt.stats();
    verify(begin.spawned == 1 && begin.live == 1 && begin.finished == 0 && begin.workers == 1 && begin.timers == 0);
    verify(begin.ready == std::vector<std::size_t>{0});
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(weft::spawn([] { weft::sleep_for(1h); }));
    verify(rt.stats().ready == std::vector<std::size_t>{5});
    weft::yield();
    auto const asleep = rt.stats();
    verify(asleep.spawned == 6 && asleep.live == 6 && asleep.timers == 5 && asleep.ready.front() == 0);
    verify(asleep.stacks >= 6 && asleep.parked_workers == 0);
    tasks.pop_back();  // cancelled and joined: its timer is gone
    verify(rt.stats().timers == 4);
    for (auto& t : tasks) t.get();
    auto const end = rt.stats();
    verify(end.finished == 5 && end.live == 1 && end.timers == 0);
  });
  while (rt.stats().parked_workers != 1) std::this_thread::yield();
  while (rt.stats().polls == 0) std::this_thread::yield();  // it sleeps in its loop
  CHECK(rt.stats().finished == 6);
  rt.shutdown();
  CHECK(rt.stats().spawned == 0);
  CHECK(rt.stats().workers == 1);
}

TEST_CASE("stats count steals, injected fibers and offloaded calls", "[inspect]") {
  weft::runtime rt{{.workers = 2, .offload_threads = 1}};
  auto const before = rt.stats().steals;
  rt.run([] {
    std::atomic<bool> ran{false};
    auto other = weft::spawn([&] { ran = true; });
    while (!ran) std::this_thread::yield();  // holds this worker: the other one must steal
    other.get();
  });
  CHECK(rt.stats().steals > before);

  weft::event release;
  std::latch started{1};
  auto first = rt.spawn([&] {
    weft::offload([&] {
      started.count_down();
      release.wait();
    });
  });
  started.wait();
  auto second = rt.spawn([&] { weft::offload([] {}); });
  while (rt.stats().offload_queued != 1) std::this_thread::yield();
  CHECK(rt.stats().offload_threads == 1);
  release.set();
  first.get();
  second.get();
  CHECK(rt.stats().offload_queued == 0);

  // Both workers held: what comes from outside stays in the queue for all.
  std::atomic<bool> held{true};
  std::latch both{2};
  std::vector<weft::task<void>> holders;
  for (int i = 0; i < 2; ++i) {
    holders.push_back(rt.spawn([&] {
      both.count_down();
      while (held) std::this_thread::yield();
    }));
  }
  both.wait();
  auto outside = rt.spawn([] {});
  CHECK(rt.stats().injected == 1);
  held = false;
  outside.get();
  for (auto& t : holders) t.get();
  CHECK(rt.stats().injected == 0);
}
