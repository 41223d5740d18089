/// @file
/// The names of Boost.Fiber on plain threads, as far as Boost has nothing to compare with: together with the rest of
/// weft; and how threads and programs end that leave fibers behind. No case here makes fibers on the main thread, which
/// so can fork.

#include <weft/compat/boost_fiber.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

namespace fibers = weft::compat::fibers;
namespace this_fiber = weft::compat::this_fiber;
using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// std::exit(), but for what comes after the destructors of thread_locals: a leak checker would look, and what runs on
/// a fiber cannot give back all it has.
template <int Status>
[[noreturn]] void exit_early() {
  std::atexit([] { ::_exit(Status); });
  std::exit(0);
}

/// Calls `f` on a thread of its own.
template <class F>
void on_a_thread(F&& f) {
  std::thread(std::forward<F>(f)).join();
}

}  // namespace

TEST_CASE("a thread's fibers may use all of weft", "[compat][threads]") {
  on_a_thread([] {
    int got = 0;
    fibers::fiber([&got] {
      weft::with_timeout(1h, [&] {
        auto t = weft::spawn([] {
          weft::sleep_for(1ms);
          return 5;
        });
        got = t.get();
      });
    }).join();
    verify(got == 5);
  });
}

TEST_CASE("a thread's exceptions are its own while its fibers run", "[compat][threads]") {
  std::string seen;
  on_a_thread([&seen] {
    fibers::fiber f([] {
      try {
        throw std::runtime_error("in the fiber");
      } catch (std::runtime_error const&) {
        this_fiber::yield();
        verify(std::current_exception() != nullptr);
      }
    });
    try {
      throw std::runtime_error("in the thread");
    } catch (std::runtime_error const& e) {
      this_fiber::yield();
      seen = e.what();
      f.join();
      try {
        throw;
      } catch (std::runtime_error const& again) {
        seen += again.what();
      }
    }
  });
  CHECK(seen == "in the threadin the thread");
}

TEST_CASE("a thread that waits is woken by others, whether it has fibers or not", "[compat][threads][stress]") {
  watchdog dog{"compat threads"};
  for (std::size_t i = scaled(200); i > 0; --i) {
    fibers::mutex m;
    fibers::condition_variable c;
    int turn = 0;
    auto const play = [&](int me, bool has_fibers) {
      if (has_fibers) fibers::fiber([] { this_fiber::yield(); }).detach();
      for (int n = 0; n < 10; ++n) {
        std::unique_lock<fibers::mutex> lock(m);
        c.wait(lock, [&] { return turn == me; });
        turn = 1 - me;
        c.notify_one();
      }
    };
    std::thread a(play, 0, true);
    std::thread b(play, 1, i % 2 == 0);
    a.join();
    b.join();
    dog.feed();
  }
}

TEST_CASE("threads with fibers come and go", "[compat][threads][stress]") {
  watchdog dog{"compat threads"};
  std::atomic<long> ended{0};
  std::size_t const rounds = scaled(200);
  for (std::size_t i = 0; i < rounds; ++i) {
    on_a_thread([&] {
      for (int n = 0; n < 5; ++n) {
        fibers::fiber([&ended] {
          this_fiber::yield();
          ++ended;
        }).detach();
      }
    });
    dog.feed();
  }
  CHECK(ended == static_cast<long>(5 * rounds));
}

TEST_CASE("a joinable fiber whose handle dies ends the process", "[compat][fiber][bad-input]") {
  CHECK(aborts_with("", [] { fibers::fiber const f([] {}); }));
  CHECK(aborts_with("", [] {
    fibers::fiber f([] {});
    f = fibers::fiber();
  }));
}

TEST_CASE("an exception that leaves a fiber ends the process", "[compat][fiber][bad-input]") {
  CHECK(aborts_with("nobody catches this",
                    [] { fibers::fiber([] { throw std::runtime_error("nobody catches this"); }).join(); }));
}

TEST_CASE("rule 23: a thread's fibers are not the child's, after fork", "[compat][threads]") {
  std::atomic<bool> right{false};
  on_a_thread([&right] {
    fibers::fiber f([] { this_fiber::yield(); });
    this_fiber::yield();
    auto const end = run_in_child([] {
      if (throws<weft::error>([] { this_fiber::yield(); })) exit_early<4>();  // and so destroys what the thread has
    });
    right = end.exited && end.status == 4;
    f.join();
  });
  CHECK(right);
}

TEST_CASE("static objects may use fiber-specific pointers and mutexes to the last", "[compat][threads]") {
  auto const end = run_in_child([] {
    static fibers::fiber_specific_ptr<int> p;
    struct last_words {
      ~last_words() {
        std::lock_guard<fibers::mutex> const lock(m);
        p.reset(new int(2));
        p.reset();
        ::_exit(5);
      }
      fibers::mutex m;
    };
    p.reset(new int(1));
    static last_words const spoken_last;
    fibers::fiber([] { this_fiber::yield(); }).detach();
    std::exit(0);
  });
  CHECK(end.exited);
  CHECK(end.status == 5);
}

TEST_CASE("a program may end from one of its fibers", "[compat][fiber]") {
  auto const end = run_in_child([] { fibers::fiber([] { exit_early<3>(); }).join(); });
  CHECK(end.exited);
  CHECK(end.status == 3);
}
