/// @file
/// spawn: options, order, and what it answers to bad input.

#include <weft/runtime/spawn.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/sequence.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

using namespace weft::test;

static_assert(weft::spawnable<void (*)()>);
static_assert(weft::spawnable<decltype([](int) {}), int>);
static_assert(!weft::spawnable<decltype([](int) {})>);

namespace {

int free_function(int a, int b) { return a * 10 + b; }

struct counts {
  int value = 5;
  [[nodiscard]] int get() const { return value; }
};

/// Throws when it is copied or moved for the `fuse`-th time.
struct throwing {
  explicit throwing(int* f) : fuse(f) {}
  throwing(throwing const& o) : fuse(o.fuse) { burn(); }
  throwing(throwing&& o) : fuse(o.fuse) { burn(); }  // NOLINT: it throws, that is the point
  throwing& operator=(throwing const&) = delete;
  ~throwing() = default;
  void operator()() const {}
  void burn() const {
    if (--*fuse == 0) throw std::runtime_error("copy");
  }
  int* fuse;
};

}  // namespace

TEST_CASE("arguments are moved or copied into the fiber", "[spawn]") {
  run_on(some_workers(), [] {
    verify(weft::spawn(free_function, 4, 2).get() == 42);
    verify(weft::spawn(&counts::get, counts{}).get() == 5);
    auto owned = std::make_unique<int>(8);
    verify(weft::spawn([](std::unique_ptr<int> p) { return *p; }, std::move(owned)).get() == 8);
    int target = 0;
    weft::spawn([](int& i) { i = 6; }, std::ref(target)).get();
    verify(target == 6);
    std::string text = "copied";
    auto t = weft::spawn([](std::string s) { return s; }, text);
    text = "changed";
    verify(t.get() == "copied");
    auto move_only = [p = std::make_unique<int>(1)] { return *p; };
    verify(weft::spawn(std::move(move_only)).get() == 1);
    verify(weft::spawn(std::function<int()>([] { return 2; })).get() == 2);
  });
}

TEST_CASE("a big callable and a big result have room", "[spawn]") {
  run_on(some_workers(), [] {
    std::array<int, 5000> big{};
    big[4999] = 3;
    auto t = weft::spawn([big] { return big; });
    verify(t.get()[4999] == 3);
    struct alignas(64) aligned {
      int value = 1;
    };
    auto u = weft::spawn([] {
      aligned const a;
      verify(reinterpret_cast<std::uintptr_t>(&a) % 64 == 0);
      return a;
    });
    verify(u.get().value == 1);
  });
}

TEST_CASE("an empty callable is refused at spawn", "[spawn][bad-input]") {
  run_on(some_workers(), [] {
    verify(throws<std::invalid_argument>([] { (void)weft::spawn(std::function<void()>{}); }));
    verify(throws<std::invalid_argument>([] { (void)weft::spawn(static_cast<void (*)()>(nullptr)); }));
    verify(throws<std::invalid_argument>(
        [] { (void)weft::spawn(static_cast<int (counts::*)() const>(nullptr), counts{}); }));
  });
}

TEST_CASE("rule 17: a copy or move that throws leaves spawn, and nothing behind", "[spawn][rule17][bad-input]") {
  run_on(some_workers(), [] {
    // How often a call to `spawn` fails before none of the copies and moves does. What the task fails with is none.
    auto const failures = [](auto spawn) {
      for (int n = 1;; ++n) {
        int fuse = n;
        throwing const original{&fuse};
        std::optional<weft::task<void>> t;
        if (throws<std::runtime_error>([&] { t.emplace(spawn(original)); })) continue;
        t->get();
        return n - 1;
      }
    };
    verify(failures([](throwing const& original) { return weft::spawn(original); }) >= 1);
    verify(failures([](throwing const& original) { return weft::spawn([](throwing const&) {}, original); }) >= 1);
  });
}

TEST_CASE("a stack size out of range is refused, any other is taken", "[spawn][bad-input]") {
  run_on(some_workers(), [] {
    for (std::size_t const size : {std::size_t{1}, std::size_t{16} * 1024 - 1, (std::size_t{1} << 30U) + 1,
                                   std::size_t{1} << 40U, ~std::size_t{0}}) {
      bool ran = false;
      verify(throws<std::invalid_argument>(
          [&] { (void)weft::spawn(weft::spawn_options{.stack_size = size}, [&] { ran = true; }); }));
      verify(!ran);
    }
    for (std::size_t const size : {std::size_t{0}, std::size_t{16} * 1024, std::size_t{16} * 1024 + 1,
                                   std::size_t{100'001}, std::size_t{8} << 20U, std::size_t{1} << 30U}) {
      verify(weft::spawn(weft::spawn_options{.stack_size = size}, [] { return 1; }).get() == 1);
    }
  });
}

TEST_CASE("a stack has the size that was asked for", "[spawn]") {
  run_on(some_workers(), [] {
    auto const use = [](std::size_t bytes) {
      auto* const space = static_cast<char volatile*>(__builtin_alloca(bytes));
      for (std::size_t i = bytes; i > 0; i -= std::min<std::size_t>(i, 1024)) space[i - 1] = 1;
    };
    for (std::size_t const size : {std::size_t{64} << 10U, std::size_t{1} << 20U, std::size_t{8} << 20U}) {
      weft::spawn(weft::spawn_options{.stack_size = size}, [&] { use(size - 8192); }).get();
    }
  });
}

TEST_CASE("outside of a fiber, spawn says that it needs a runtime", "[spawn][rule18][bad-input]") {
  CHECK_THROWS_AS(weft::spawn([] {}), weft::no_runtime);
  weft::runtime rt{on(some_workers())};
  CHECK_THROWS_AS(weft::spawn([] {}), weft::no_runtime);
  auto t = rt.spawn([] {});
  t.wait();
  bool refused = false;
  auto u = rt.spawn([] {});
  u.wait();
  u.on_done([&] { refused = throws<weft::no_runtime>([] { (void)weft::spawn([] {}); }); });
  CHECK(refused);
}

TEST_CASE("names are copied, and readable within and without", "[spawn]") {
  run_on(some_workers(), [] {
    std::string name = "a name that is too long for any small buffer there might be";
    auto const kept = name;
    weft::event gate;
    auto t = weft::spawn(weft::spawn_options{.name = name}, [&] {
      gate.wait();
      return std::string(weft::this_fiber::name());
    });
    name.assign(name.size(), 'x');
    verify(t.name() == kept);
    gate.set();
    verify(t.get() == kept);
    auto unnamed = weft::spawn([] { return weft::this_fiber::name().empty(); });
    verify(unnamed.name().empty());
    verify(unnamed.get());
  });
}

TEST_CASE("fibers run in the order of spawning", "[spawn]") {
  run_with(weft::testing::fifo(), [] {
    sequence<int> order;
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 5000; ++i) tasks.push_back(weft::spawn([&order, i] { order.add(i); }));
    verify(order.steps().empty());
    weft::yield();
    auto const steps = order.steps();
    verify(steps.size() == 5000);
    verify(std::is_sorted(steps.begin(), steps.end()));
  });
}

TEST_CASE("an eager fiber runs at once until its first wait, and its parent is next in line", "[spawn]") {
  run_with(on(1), [] {
    if (migration_forced()) return;  // there the parent cannot go on here
    sequence<std::string> order;
    auto bystander = weft::spawn([&] { order.add("bystander"); });
    order.add("parent before");
    auto child = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [&] {
      order.add("child");
      weft::yield();
      order.add("child again");
    });
    order.add("parent after");
    bystander.get();
    child.get();
    verify(order.steps() ==
           std::vector<std::string>{"parent before", "child", "parent after", "bystander", "child again"});
  });
}

TEST_CASE("an eager fiber that never waits is done when spawn returns, if nobody stole the parent", "[spawn]") {
  auto const workers = some_workers();
  run_on(workers, [workers] {
    for (int i = 0; i < 100; ++i) {
      auto t = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [] { return 1; });
      if (workers == 1 && !migration_forced()) verify(t.ready());
      verify(t.get() == 1);
    }
    auto failing = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [] { throw 1; });
    verify(throws<int>([&] { failing.get(); }));
  });
}

TEST_CASE("eager fibers that end go back to who started them, the innermost first", "[spawn]") {
  run_with(on(1), [] {
    if (migration_forced()) return;  // there who started them cannot go on here
    constexpr int rounds = 100;
    int in_order = 0;
    for (int round = 0; round < rounds; ++round) {
      sequence<int> order;
      std::function<void(int)> const nest = [&](int depth) {
        if (depth < 5) {
          (void)weft::spawn({.start = weft::start::eager, .detached = true}, [&, depth] { nest(depth + 1); });
        }
        order.add(depth);
      };
      nest(0);
      while (order.steps().size() < 6) weft::yield();
      in_order += order.steps() == std::vector{5, 4, 3, 2, 1, 0} ? 1 : 0;
    }
    // Who has had to wait for long goes first, so it need not be all: but one round takes far less than that.
    verify(in_order > rounds / 2);
  });
}

TEST_CASE("eager fibers nest", "[spawn]") {
  run_on(some_workers(), [] {
    std::function<int(int)> const nest = [&](int depth) -> int {
      if (depth == 0) return 0;
      auto t = weft::spawn(weft::spawn_options{.start = weft::start::eager},
                           [&, depth] { return nest(depth - 1) + 1; });
      return t.get();
    };
    verify(nest(200) == 200);
  });
}

TEST_CASE("a detached fiber has no handle, and its failure is reported", "[spawn][bad-input]") {
  unhandled_log log;
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  run_with(on(some_workers(), options), [&] {
    weft::event done;
    auto t = weft::spawn(weft::spawn_options{.detached = true}, [&] { done.set(); });
    verify(!t.valid());
    done.wait();
    auto eager = weft::spawn(weft::spawn_options{.name = "alone", .start = weft::start::eager, .detached = true},
                             [] { throw std::runtime_error("unheard"); });
    verify(!eager.valid());
    while (log.lines().empty()) weft::yield();
  });
  CHECK(log.lines() == std::vector<std::string>{"alone: unheard"});
}

TEST_CASE("a handler that throws is ignored", "[spawn]") {
  weft::runtime_options options;
  std::atomic<int> calls{0};
  options.on_unhandled_exception = [&](std::exception_ptr, std::string_view) {
    ++calls;
    throw std::runtime_error("handler");
  };
  run_with(on(some_workers(), options), [&] {
    auto t = weft::spawn([] { throw 1; });
    t.wait();
    t = {};
  });
  CHECK(calls.load() == 1);
}

TEST_CASE("rule 17: without a stack the callable does not run, and the task ends with stack_unavailable",
          "[spawn][rule17][bad-input]") {
  if (under_sanitizer) return;  // the shadow memory needs the address space that is taken away here
  death const d = run_in_child([] {
    weft::runtime rt{on(2)};
    rt.run([] {});
    std::ignore = rt;
    rlimit const little{std::size_t{256} << 20U, std::size_t{256} << 20U};
    ::setrlimit(RLIMIT_AS, &little);
    auto const destroyed = std::make_shared<int>();
    bool const passed = rt.run([&] {
      bool ran = false;
      auto t = weft::spawn(weft::spawn_options{.stack_size = std::size_t{1} << 30U}, [&ran, destroyed] { ran = true; });
      bool const refused = throws<weft::stack_unavailable>([&] { t.get(); });
      auto eager = weft::spawn(weft::spawn_options{.stack_size = std::size_t{1} << 30U, .start = weft::start::eager},
                               [&ran, destroyed] { ran = true; });
      bool const refused_too = throws<weft::stack_unavailable>([&] { eager.get(); });
      // Whose destructor waits: for the end of a task that would never end by itself.
      bool ended = false;
      weft::event begun;
      auto endless = weft::spawn([&ended, &begun] {
        struct at_the_end {
          bool& ended;
          ~at_the_end() { ended = true; }
        } const note{ended};
        begun.set();
        weft::sleep_for(std::chrono::hours{24});
      });
      begun.wait();
      auto owner = weft::spawn(weft::spawn_options{.stack_size = std::size_t{1} << 30U},
                               [&ran, endless = std::move(endless)] { ran = endless.valid(); });
      bool const refused_owner = throws<weft::stack_unavailable>([&] { owner.get(); }) && ended;
      // The runtime goes on.
      return refused && refused_too && refused_owner && !ran && destroyed.use_count() == 1 &&
             weft::spawn([] { return 1; }).get() == 1;
    });
    rt.shutdown();
    ::_exit(passed ? 0 : 1);
  });
  INFO(d.output);
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 17: with no memory left at all, any number of tasks end with stack_unavailable or cancelled",
          "[spawn][rule17][bad-input]") {
  if (under_sanitizer) return;
  death const d = run_in_child([] {
    weft::runtime rt{on(1)};
    bool const passed = rt.run([&] {
      weft::event gate;
      std::vector<weft::task<void>> tasks;
      for (int i = 0; i < 20'000; ++i) tasks.push_back(weft::spawn([&] { gate.wait(); }));
      for (std::size_t i = 0; i < tasks.size(); i += 2) tasks[i].cancel();
      std::vector<void*> taken(1U << 16U);
      std::size_t held = 0;
      rlimit before{};
      ::getrlimit(RLIMIT_AS, &before);
      rlimit const none{0, before.rlim_max};
      ::setrlimit(RLIMIT_AS, &none);
      for (std::size_t size = std::size_t{1} << 20U; size >= 16; size /= 2) {
        while (held < taken.size()) {
          void* const memory = std::malloc(size);
          if (memory == nullptr) break;
          taken[held++] = memory;
        }
      }
      weft::yield();
      gate.set();
      weft::yield();
      bool const starved = held < taken.size();
      while (held > 0) std::free(taken[--held]);
      ::setrlimit(RLIMIT_AS, &before);
      std::size_t refused = 0;
      std::size_t cancelled = 0;
      for (auto& t : tasks) {
        t.wait();
        refused += throws<weft::stack_unavailable>([&] { t.get(); }) ? 1U : 0U;
        cancelled += throws<weft::cancelled>([&] { t.get(); }) ? 1U : 0U;
      }
      if (!starved || refused == 0 || cancelled != tasks.size() / 2) {
        std::fprintf(stderr, "starved %d, refused %zu, cancelled %zu\n", starved, refused, cancelled);
        return false;
      }
      return true;
    });
    ::_exit(passed ? 0 : 1);
  });
  INFO(d.output);
  CHECK(d.exited);
  CHECK(d.status == 0);
}

TEST_CASE("rule 17: spawning until memory ends throws bad_alloc or ends tasks with stack_unavailable",
          "[spawn][rule17][bad-input]") {
  if (under_sanitizer) return;
  death const d = run_in_child([] {
    weft::runtime rt{on(2)};
    rt.run([] {});
    rlimit const little{std::size_t{512} << 20U, std::size_t{512} << 20U};
    ::setrlimit(RLIMIT_AS, &little);
    bool const passed = rt.run([&] {
      weft::event gate;
      std::vector<weft::task<void>> tasks;
      bool out_of_memory = false;
      try {
        while (tasks.size() < 20'000) {
          tasks.push_back(weft::spawn([&] { gate.wait(); }));
          if (tasks.size() % 64 == 0) weft::yield();
        }
      } catch (std::bad_alloc const&) {
        out_of_memory = true;
      }
      gate.set();
      std::size_t ran = 0;
      std::size_t refused = 0;
      for (auto& t : tasks) {
        t.wait();
        if (t.exception() == nullptr) {
          ++ran;
        } else if (throws<weft::stack_unavailable>([&] { t.get(); })) {
          ++refused;
        }
      }
      return ran > 0 && (out_of_memory || refused > 0) && ran + refused == tasks.size();
    });
    ::_exit(passed ? 0 : 1);
  });
  INFO(d.output);
  CHECK(d.exited);
  CHECK(d.status == 0);
}
