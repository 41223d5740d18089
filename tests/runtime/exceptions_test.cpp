/// @file
/// The C++ exception state belongs to the fiber (H4): a fiber may wait inside a catch block, or a destructor during
/// unwinding, and go on on another thread.

#include <weft/runtime/spawn.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <boost/context/detail/fcontext.hpp>

#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// The ids of threads, asked for where no compiler can merge two questions.
[[gnu::noinline]] std::thread::id thread_now() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

struct named {
  int number;
};

/// Runs `f` where every resumption is on another worker.
template <class F>
void migrating(F&& f) {
  run_with(weft::testing::forced_migration({.workers = 2}), std::forward<F>(f));
}

struct waits_on_exit {
  int expected_uncaught;
  bool* waited;
  ~waits_on_exit() {
    verify_here(std::uncaught_exceptions() == expected_uncaught);
    weft::yield();
    weft::sleep_for(1us);
    verify_here(std::uncaught_exceptions() == expected_uncaught);
    *waited = true;
  }
  void verify_here(bool holds) const {
    if (!holds) std::terminate();
  }
};

}  // namespace

TEST_CASE("H3: forced migration does migrate, and weft's ids stay", "[hazard][H3]") {
  migrating([] {
    auto const id = weft::this_fiber::get_id();
    int moved = 0;
    for (int i = 0; i < 1000; ++i) {
      auto const before = thread_now();
      auto const worker = weft::this_fiber::worker();
      weft::yield();
      moved += thread_now() != before && weft::this_fiber::worker() != worker ? 1 : 0;
      verify(weft::this_fiber::get_id() == id);
    }
    verify(moved == 1000);
  });
}

TEST_CASE("H4: rethrow after migration keeps the exception", "[hazard][H4]") {
  migrating([] {
    for (int i = 0; i < 200; ++i) {
      try {
        try {
          throw named{i};
        } catch (named const&) {
          weft::yield();
          throw;
        }
      } catch (named const& n) {
        verify(n.number == i);
      }
      verify(std::uncaught_exceptions() == 0);
      verify(std::current_exception() == nullptr);
    }
  });
}

TEST_CASE("H4: three nested handlers survive migration", "[hazard][H4]") {
  migrating([] {
    try {
      throw named{1};
    } catch (named const&) {
      weft::yield();
      try {
        throw named{2};
      } catch (named const&) {
        weft::yield();
        try {
          throw named{3};
        } catch (named const& third) {
          weft::yield();
          verify(third.number == 3);
          try {
            std::rethrow_exception(std::current_exception());
          } catch (named const& n) {
            verify(n.number == 3);
          }
        }
        weft::yield();
        try {
          throw;
        } catch (named const& n) {
          verify(n.number == 2);
        }
      }
      weft::yield();
      try {
        throw;
      } catch (named const& n) {
        verify(n.number == 1);
      }
    }
    verify(std::current_exception() == nullptr);
  });
}

TEST_CASE("H4: a destructor may wait while an exception unwinds", "[hazard][H4][H20]") {
  migrating([] {
    for (int i = 0; i < 100; ++i) {
      bool waited = false;
      try {
        waits_on_exit const guard{1, &waited};
        throw named{i};
      } catch (named const& n) {
        verify(n.number == i);
      }
      verify(waited);
      verify(std::uncaught_exceptions() == 0);
    }
  });
}

TEST_CASE("H4: fibers in handlers do not see each others exceptions", "[hazard][H4]") {
  static constexpr auto count = static_cast<int>(scaled(2'000));
  auto const body = [] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < count; ++i) {
      tasks.push_back(weft::spawn([i] {
        verify(std::current_exception() == nullptr);
        verify(std::uncaught_exceptions() == 0);
        try {
          throw named{i};
        } catch (named const&) {
          for (int k = 0; k < 5; ++k) {
            weft::yield();
            try {
              throw;
            } catch (named const& n) {
              verify(n.number == i);
            }
          }
        }
        verify(std::current_exception() == nullptr);
      }));
      if (i % 100 == 0) weft::yield();
    }
    verify(std::current_exception() == nullptr);
    for (auto& t : tasks) t.get();
  };
  run_on(some_workers(), body);
  migrating(body);
}

TEST_CASE("H4: 100000 fibers end with no exception in flight", "[hazard][H4][stress]") {
  watchdog dog{"exceptions"};
  auto const count = scaled(100'000);
  migrating([&] {
    std::vector<weft::task<int>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
      tasks.push_back(weft::spawn([] {
        try {
          weft::yield();
          throw std::string("thrown");
        } catch (std::string const& s) {
          weft::yield();
          return static_cast<int>(s.size()) + std::uncaught_exceptions();
        }
      }));
      if (tasks.size() == 256) {
        for (auto& t : tasks) verify(t.get() == 6);
        tasks.clear();
        dog.feed();
      }
    }
    for (auto& t : tasks) verify(t.get() == 6);
    verify(std::uncaught_exceptions() == 0);
  });
}

TEST_CASE("H4: the exception state is saved once: the jump itself leaves it alone", "[hazard][H4]") {
  // Boost.Context saves it since 1.88, but in its classes, not in jump_fcontext, which weft uses.
  namespace bc = boost::context::detail;
  struct probe {
    static void entry(bc::transfer_t t) {
      *static_cast<bool*>(t.data) = std::current_exception() != nullptr;
      bc::jump_fcontext(t.fctx, nullptr);
    }
  };
  std::vector<char> memory(64 * 1024);
  bool seen = false;
  try {
    throw 1;
  } catch (int) {
    auto const c = bc::make_fcontext(memory.data() + memory.size(), memory.size(), &probe::entry);
    if (!under_sanitizer) {
      bc::jump_fcontext(c, &seen);
      CHECK(seen);  // nobody has put it aside
    }
  }
}

TEST_CASE("H20: a cancelled fiber waits in its destructors", "[hazard][H20]") {
  run_on(some_workers(), [] {
    bool waited = false;
    weft::event started;
    auto t = weft::spawn([&] {
      waits_on_exit const guard{1, &waited};
      started.set();
      weft::sleep_for(24h);
    });
    started.wait();
    t.cancel();
    t.wait();
    verify(waited);
  });
}
