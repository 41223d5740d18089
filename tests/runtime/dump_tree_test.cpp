/// @file
/// Who waits for whom, and where each fiber was spawned: in snapshots and dumps.

#include <weft/runtime/inspect.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/runtime/gather.hpp>
#include <weft/runtime/race.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/task_group.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

std::optional<weft::task_info> find(std::vector<weft::task_info> const& all, std::string_view name) {
  auto const at = std::find_if(all.begin(), all.end(), [&](auto const& t) { return t.name == name; });
  return at != all.end() ? std::optional{*at} : std::nullopt;
}

/// The dump with ids in place of names: "fiber 'a'" is "a", and what differs from run to run is left out.
std::string shape_of(std::string const& dump) {
  std::istringstream lines{dump};
  std::string shape;
  for (std::string line; std::getline(lines, line);) {
    auto const name = line.find('\'');
    if (line.find("fiber ") == std::string::npos || line.starts_with("runtime")) continue;
    auto const indent = line.find_first_not_of(' ');
    shape += std::string(indent, ' ');
    shape += name == std::string::npos ? "?" : line.substr(name + 1, line.find('\'', name + 1) - name - 1);
    if (auto const also = line.find("; also awaited by"); also != std::string::npos) shape += " +";
    shape += "\n";
  }
  return shape;
}

std::string dumped() {
  std::ostringstream text;
  weft::dump(text);
  return text.str();
}

}  // namespace

TEST_CASE("fibers stand below the one that waits for them", "[inspect][tree]") {
  run_with(weft::testing::in_virtual_time({.name = "tree"}), [] {
    weft::event gate;
    auto const self = weft::this_fiber::get_id();
    auto leaf = weft::spawn({.name = "leaf"}, [&] { gate.wait(); });
    auto lone = weft::spawn({.name = "lone"}, [&] { gate.wait(); });
    auto middle = weft::spawn({.name = "middle"}, [&] { leaf.wait(); });
    auto second = weft::spawn({.name = "second"}, [&] { leaf.wait(); });
    auto top = weft::spawn({.name = "top"}, [&] {
      auto child = weft::spawn({.name = "child"}, [&] { gate.wait(); });
      middle.wait();
    });
    weft::sleep_for(1ms);
    auto const all = weft::all_tasks();
    auto const awaiting = [&](char const* name) { return find(all, name)->awaited_by; };
    auto const id = [&](char const* name) { return find(all, name)->id; };
    verify(awaiting("leaf") == std::vector{id("middle"), id("second")});
    verify(awaiting("middle") == std::vector{id("top")});
    verify(awaiting("top").empty() && awaiting("second").empty() && awaiting("lone").empty());
    verify(awaiting("child").empty());  // dropped by `top`, but only when that ends
    verify(find(all, "child")->parent == id("top") && find(all, "middle")->parent == self);
    auto const text = dumped();
    auto const expected = "?\nlone\nsecond\ntop\n  middle\n    leaf +\nchild\n";
    if (shape_of(text) != expected) std::fprintf(stderr, "%s", text.c_str());
    verify(shape_of(text) == expected);
    verify(text.find("; also awaited by " + std::to_string(id("second").value()) + "\n") != std::string::npos);
    gate.set();
    for (auto* t : {&leaf, &lone, &middle, &second, &top}) t->get();
    verify(weft::all_tasks().size() == 1);
  });
}

TEST_CASE("who gathers, races or waits for a group waits for each that has not ended", "[inspect][tree]") {
  run_with(weft::testing::in_virtual_time(), [] {
    weft::event gate;
    auto const wait = [&] { gate.wait(); };
    auto gathering = weft::spawn({.name = "gathering"}, [&] {
      auto other = weft::spawn({.name = "of its own"}, wait);
      weft::gather(wait, [] {}, wait, wait);
      other.get();
    });
    auto racing = weft::spawn({.name = "racing"}, [&] { (void)weft::race(wait, wait); });
    weft::task_group group;
    group.spawn({.name = "first"}, wait);
    group.spawn({.name = "second"}, [&] {
      group.spawn({.name = "third"}, wait);
      gate.wait();
    });
    group.spawn({.name = "gone"}, [] {});
    auto waiting = weft::spawn({.name = "waiting"}, [&] { group.wait(); });
    weft::sleep_for(1ms);
    auto const all = weft::all_tasks();
    auto const id = [&](char const* name) { return find(all, name)->id; };
    for (char const* name : {"first", "second", "third"}) {
      verify(find(all, name)->awaited_by == std::vector{id("waiting")});
    }
    verify(find(all, "of its own")->awaited_by.empty());
    std::map<weft::fiber_id, int> nameless;
    for (auto const& t : all) {
      if (!t.name.empty() || t.parent == weft::fiber_id{}) continue;
      verify(t.awaited_by == std::vector{t.parent});
      ++nameless[t.parent];
    }
    verify(nameless == std::map<weft::fiber_id, int>{{id("gathering"), 3}, {id("racing"), 2}});
    gate.set();
    gathering.get();
    racing.get();
    waiting.get();
  });
}

TEST_CASE("a timed wait for a task counts while it lasts", "[inspect][tree]") {
  run_with(weft::testing::in_virtual_time(), [] {
    auto sleeper = weft::spawn({.name = "sleeper"}, [] { weft::sleep_for(10ms); });
    auto waiting = weft::spawn({.name = "waiting"}, [&] {
      (void)sleeper.wait_for(2ms);
      weft::sleep_for(24h);
    });
    weft::sleep_for(1ms);
    verify(find(weft::all_tasks(), "sleeper")->awaited_by == std::vector{find(weft::all_tasks(), "waiting")->id});
    weft::sleep_for(2ms);
    verify(find(weft::all_tasks(), "sleeper")->awaited_by.empty());
    sleeper.get();
    waiting.cancel();
  });
}

TEST_CASE("a joiner whose worker runs the task in its place is shown above it", "[inspect][tree]") {
  run_on(some_workers(), [] {
    // A chain of joins, each of the task that was spawned last; in part run in place, in part not.
    constexpr int deep = 20;
    std::function<void(int)> const descend = [&descend](int left) {
      if (left > 0) return weft::spawn({.name = std::to_string(left)}, [&descend, left] { descend(left - 1); }).get();
      for (;;) {
        auto const all = weft::all_tasks();
        bool complete = true;
        for (int i = 1; i < deep; ++i) {
          auto const t = find(all, std::to_string(i));
          auto const above = find(all, std::to_string(i + 1));
          verify(t && above);
          verify(t->awaited_by.size() <= 1);
          // A joiner on another worker may not have come to park yet.
          complete = complete && t->awaited_by == std::vector{above->id};
        }
        if (!complete) {
          std::this_thread::yield();
          continue;
        }
        break;
      }
    };
    descend(deep);
  });
}

TEST_CASE("trees are sound while fibers come, join and go", "[inspect][tree][stress]") {
  weft::runtime rt{on(some_workers())};
  std::atomic<bool> stop{false};
  std::vector<weft::task<void>> busy;
  for (int i = 0; i < 3; ++i) {
    busy.push_back(rt.spawn([&stop] {
      std::function<int(int)> const fib = [&fib](int n) {
        if (n < 2) return n;
        auto a = weft::spawn([&fib, n] { return fib(n - 1); });
        int const b = fib(n - 2);
        weft::yield();
        return a.get() + b;
      };
      while (!stop) verify(fib(7) == 13);
    }));
  }
  std::string failure;
  try {
    for (std::size_t i = 0; i < scaled(400); ++i) {
      auto const all = rt.all_tasks();
      for (auto const& t : all) {
        for (auto const by : t.awaited_by) verify(by != t.id && by != weft::fiber_id{});
        verify(std::is_sorted(t.awaited_by.begin(), t.awaited_by.end()));
      }
      std::ostringstream text;
      rt.dump(text);
      auto const written = text.str();
      auto const lines = std::count(written.begin(), written.end(), '\n');
      auto const sum = written.find("runtime '");
      verify(sum != std::string::npos && std::stol(written.substr(written.find(": ", sum) + 2)) == lines - 1);
    }
  } catch (verification_failed const& e) {
    failure = e.what();
  }
  stop = true;
  for (auto& t : busy) t.get();
  CHECK(failure.empty());
}

TEST_CASE("in debug mode each fiber tells where it was spawned", "[inspect][debug]") {
  run_with(on(some_workers(), {.debug = true}), [] {
    weft::event gate;
    int const line = __LINE__ + 1;
    auto with_options = weft::spawn({.name = "with options"}, [&] { gate.wait(); });
    weft::spawn_options named{.name = "with a place of its own"};
    named.where = {"elsewhere.cpp", 7};
    auto placed = weft::spawn(named, [&] { gate.wait(); });
    auto plain = weft::spawn([&] { gate.wait(); });
    auto owning = weft::spawn([&, p = std::make_unique<int>()] { gate.wait(); });
    auto const all = weft::all_tasks();
    verify(all.size() == 5);
    verify(find(all, "with options")->spawned_at == std::string(__FILE__).append(":").append(std::to_string(line)));
    verify(find(all, "with a place of its own")->spawned_at == "elsewhere.cpp:7");
    for (auto const& t : all) {
      verify(!t.spawned_at.empty());
      if (!t.name.empty() || t.parent == weft::fiber_id{}) continue;
      // An address in this program.
      verify(t.spawned_at.find(" +0x") != std::string::npos);
      verify(t.spawned_at.find(program_invocation_short_name) != std::string::npos);
    }
    verify(dumped().find("; spawned at elsewhere.cpp:7\n") != std::string::npos);
    gate.set();
  });
}

TEST_CASE("without debug mode nothing is noted, and no dump speaks of it", "[inspect][debug]") {
  run_on(some_workers(), [] {
    auto named = weft::spawn({.name = "named"}, [] { weft::sleep_for(24h); });
    for (auto const& t : weft::all_tasks()) verify(t.spawned_at.empty());
    verify(dumped().find("spawned at") == std::string::npos);
  });
}

TEST_CASE("in debug mode an exception that nobody collects is reported with the place of the spawn", "[debug]") {
  unhandled_log log;
  run_with(on(some_workers(), {.on_unhandled_exception = log.handler(), .debug = true}), [] {
    weft::spawn({.name = "named", .where = {"here.cpp", 1}}, [] { throw std::runtime_error("a"); }).wait();
    weft::spawn({.where = {"there.cpp", 2}}, [] { throw std::runtime_error("b"); }).wait();
  });
  CHECK(log.lines() == std::vector<std::string>{"named, spawned at here.cpp:1: a", "spawned at there.cpp:2: b"});
}
