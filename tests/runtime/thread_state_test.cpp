/// @file
/// What the system keeps per thread: signal masks (H22) and floating-point control (H23).

#include <weft/runtime/spawn.hpp>

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/runtime/offload.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <pthread.h>
#include <random>
#include <sys/time.h>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

std::atomic<int> signals_elsewhere{0};   // NOLINT: a signal's handler has no other place
std::atomic<int> signals_on_workers{0};  // NOLINT

void count_signal(int) { (weft::this_fiber::worker() >= 0 ? signals_on_workers : signals_elsewhere).fetch_add(1); }

/// Both kinds of interval timer, each 1000 times a second.
class signal_storm {
public:
  signal_storm() {
    struct sigaction action{};
    action.sa_handler = &count_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGALRM, &action, &alarm_);
    ::sigaction(SIGPROF, &action, &prof_);
    set(1000);
  }
  signal_storm(signal_storm const&) = delete;
  ~signal_storm() {
    set(0);
    ::sigaction(SIGALRM, &alarm_, nullptr);
    ::sigaction(SIGPROF, &prof_, nullptr);
  }

private:
  static void set(suseconds_t interval) {
    itimerval const every{{0, interval}, {0, interval}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    ::setitimer(ITIMER_PROF, &every, nullptr);
  }
  struct sigaction alarm_{};
  struct sigaction prof_{};
};

bool blocks(int signal) {
  sigset_t mask;
  sigemptyset(&mask);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

void verify_mask() {
  for (int const s : {SIGALRM, SIGPROF, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE}) verify(blocks(s));
  for (int const s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) verify(!blocks(s));
}

/// What the present rounding mode makes of a third, computed now.
[[gnu::noinline]] double third() {
  double volatile const one = 1;
  double volatile const three = 3;
  return one / three;
}

constexpr std::array modes{FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

[[gnu::noinline]] int mode_now() {
  asm volatile("" ::: "memory");
  return std::fegetround();
}

}  // namespace

TEST_CASE("H22: worker and pool threads block asynchronous signals, and none that a fault raises", "[hazard][H22]") {
  run_on(some_workers(), [] {
    std::vector<weft::task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(weft::spawn([] {
        verify_mask();
        weft::yield();
        verify_mask();
        weft::offload([] { verify_mask(); });
        verify_mask();
      }));
    }
    for (auto& t : tasks) t.get();
  });
  CHECK_FALSE(blocks(SIGALRM));  // the caller's own mask is as before
  CHECK_FALSE(blocks(SIGTERM));
}

TEST_CASE("H22: 1000 signals of each kind a second disturb neither yields, sleeps, events nor offloaded calls",
          "[hazard][H22][stress]") {
  watchdog dog{"signals"};
  auto const workers = some_workers();
  signals_elsewhere.store(0);
  signals_on_workers.store(0);
  {
    signal_storm const storm;
    run_on(workers, [&] {
      std::vector<weft::task<void>> tasks;
      for (unsigned f = 0; f < 16; ++f) {
        tasks.push_back(weft::spawn([&, f] {
          std::minstd_rand random{f + 1};
          // Until enough signals have come, so that none is waited for by guess.
          for (int step = 0; step < 200 || signals_elsewhere.load() < 20; ++step) {
            switch (random() % 4) {
              case 0: {
                auto const end = weft::clock::now() + 50us;
                weft::sleep_for(50us);
                verify(weft::clock::now() >= end);
                break;
              }
              case 1: verify(weft::offload([step] { return step; }) == step); break;
              case 2: {
                weft::event e;
                auto setter = weft::spawn([&] { e.set(); });
                e.wait();
                setter.get();
                break;
              }
              default: weft::yield();
            }
            dog.feed();
          }
        }));
      }
      for (auto& t : tasks) t.get();
    });
  }
  CHECK(signals_elsewhere.load() >= 20);
  CHECK(signals_on_workers.load() == 0);
}

TEST_CASE("H23: the rounding mode is a fiber's own", "[hazard][H23]") {
  std::array<double, modes.size()> expected{};
  for (std::size_t m = 0; m < modes.size(); ++m) {
    std::fesetround(modes[m]);
    expected[m] = third();
  }
  std::fesetround(FE_TONEAREST);
  REQUIRE(expected[1] > expected[2]);
  auto const workers = some_workers();
  auto const use = [&] {
    std::vector<weft::task<void>> tasks;
    for (std::size_t f = 0; f < 16; ++f) {
      tasks.push_back(weft::spawn([&, m = f % modes.size()] {
        verify(mode_now() == FE_TONEAREST);
        std::fesetround(modes[m]);
        for (std::size_t i = 0; i < scaled(2000); ++i) {
          if (i % 64 == 0) {
            weft::sleep_for(1us);
          } else {
            weft::yield();
          }
          verify(mode_now() == modes[m]);
          verify(third() == expected[m]);
        }
      }));
    }
    for (auto& t : tasks) t.get();
    verify(mode_now() == FE_TONEAREST);
  };
  run_on(workers, use);
  run_with(weft::testing::forced_migration(), use);
}

TEST_CASE("H23: a new fiber starts with the defaults, whoever spawned it and whoever had its stack", "[hazard][H23]") {
  run_on(some_workers(), [] {
    std::fesetround(FE_UPWARD);
    for (int round = 0; round < 100; ++round) {
      // Those of one round are handed on the same warm stack; the waiting ones come back through the cache.
      std::vector<weft::task<void>> tasks;
      for (unsigned f = 0; f < 20; ++f) {
        auto const options = weft::spawn_options{.start = f % 5 == 0 ? weft::start::eager : weft::start::queued};
        tasks.push_back(weft::spawn(options, [f] {
          verify(mode_now() == FE_TONEAREST);
#if defined(__x86_64__)
          verify((_mm_getcsr() & 0x1F80U) == 0x1F80U);  // no exception traps
#endif
          std::fesetround(FE_DOWNWARD);
          if (f % 3 == 0) weft::yield();
          verify(mode_now() == FE_DOWNWARD);
        }));
      }
      for (auto& t : tasks) t.get();
      verify(mode_now() == FE_UPWARD);
    }
  });
}

#if defined(__x86_64__)
TEST_CASE("H23: fibers start with all sticky flags set, so that no operation makes a switch slow", "[hazard][H23]") {
  run_on(some_workers(), [] {
    auto const flags = [] { return _mm_getcsr() & 0x3FU; };
    verify(flags() == 0x3FU);
    for (int i = 0; i < 100; ++i) {
      weft::spawn([&] {
        verify(flags() == 0x3FU);
        (void)third();
        _mm_setcsr(_mm_getcsr() & ~0x3FU);
      }).get();
    }
    weft::yield();
    verify(flags() == 0x3FU);
  });
}
#endif
