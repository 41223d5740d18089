/// @file
/// Streams of signals. Signals are raised by threads of the test's own: then the handler has run when raise() returns.

#include <weft/io/signal_stream.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/select.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <pthread.h>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::test;
using weft::io::signal_stream;

/// On a thread that leaves them open.
void raise_signals(std::vector<int> const& signals) {
  std::thread{[&] {
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    for (int const signal : signals) ::raise(signal);
  }}.join();
}

using handler = void (*)(int);
handler disposition(int signal) {
  struct sigaction now{};
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler;
}

/// Runs `f` with each number of workers: dispositions and descriptors are then as before.
template <class F>
void run_clean(F&& f) {
  auto const workers = some_workers();
  run_on(1, [] { signal_stream const warm{SIGUSR1}; });  // what is there for good from then on
  auto const before = open_descriptors();
  std::vector<handler> dispositions;
  for (int const signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) dispositions.push_back(disposition(signal));
  run_on(workers, std::forward<F>(f));
  std::size_t i = 0;
  for (int const signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) CHECK(disposition(signal) == dispositions[i++]);
  CHECK(open_descriptors() == before);
}

}  // namespace

TEST_CASE("signals are received, each once", "[io][signals]") {
  run_clean([] {
    signal_stream signals{SIGUSR1, SIGUSR2};
    CHECK_FALSE(signals.try_receive());
    raise_signals({SIGUSR1});
    CHECK(signals.receive() == SIGUSR1);
    auto waiting = weft::spawn([&] { return signals.receive(); });
    weft::yield();
    raise_signals({SIGUSR2});
    CHECK(waiting.get() == SIGUSR2);
    CHECK(throws<weft::timeout_error>([&] { (void)signals.receive_for(1ms); }));
    CHECK(throws<weft::timeout_error>([&] { weft::with_timeout(1ms, [&] { (void)signals.receive(); }); }));
    raise_signals({SIGUSR1});
    CHECK(signals.receive_for(1h) == SIGUSR1);
  });
}

TEST_CASE("all streams of a signal get it, as often as it came", "[io][signals]") {
  static constexpr std::size_t times = 500;
  run_clean([] {
    signal_stream first{SIGUSR1};
    signal_stream second{SIGUSR1, SIGUSR2};
    signal_stream third{SIGUSR2};
    raise_signals(std::vector<int>(times, SIGUSR1));
    raise_signals(std::vector<int>(times, SIGUSR2));
    auto const count = [](signal_stream& from, std::size_t expected) {
      std::size_t ones = 0;
      std::size_t twos = 0;
      for (int const number : from) {
        ++(number == SIGUSR1 ? ones : twos);
        if (ones + twos == expected) break;
      }
      return std::pair{ones, twos};
    };
    CHECK(count(first, times) == std::pair{times, std::size_t{0}});
    CHECK(count(second, 2 * times) == std::pair{times, times});
    CHECK(count(third, times) == std::pair{std::size_t{0}, times});
    for (auto* const s : {&first, &second, &third}) CHECK_FALSE(s->try_receive());
  });
}

TEST_CASE("a flood of one signal does not keep back another", "[io][signals]") {
  run_clean([] {
    signal_stream signals{SIGUSR1, SIGUSR2};
    raise_signals(std::vector<int>(200, SIGUSR1));
    raise_signals({SIGUSR2});
    int before = 0;
    while (signals.receive() != SIGUSR2) ++before;
    CHECK(before < 100);  // what had been moved before it came, and turns
    while (++before <= 200) CHECK(signals.receive() == SIGUSR1);
  });
}

TEST_CASE("several receive from one stream, threads too, and cancellation loses nothing", "[io][signals]") {
  static constexpr std::size_t times = 300;
  run_clean([] {
    signal_stream signals{SIGUSR1};
    std::atomic<std::size_t> received{0};
    std::vector<weft::task<void>> receivers;
    for (int i = 0; i < 4; ++i) {
      receivers.push_back(weft::spawn([&, i] {
        for (;;) {
          // The limit may strike at any moment; what it strikes has not been taken.
          if (i == 0) {
            std::optional<int> got;
            (void)weft::move_on_after(10us, [&] { got = signals.receive(); });
            if (got) ++received;
            if (signals.closed()) return;
          } else if (signals.receive()) {
            ++received;
          } else {
            return;
          }
        }
      }));
    }
    std::thread plain{[&] {
      while (signals.receive()) ++received;
    }};
    for (std::size_t i = 0; i < times; ++i) raise_signals({SIGUSR1});
    while (received < times) weft::yield();
    signals.close();
    for (auto& r : receivers) r.get();
    plain.join();
    CHECK(received == times);
  });
}

TEST_CASE("a signal is a case of select", "[io][signals][select]") {
  run_clean([] {
    signal_stream signals{SIGUSR1};
    weft::channel<int> numbers{1};
    int seen = 0;
    auto const wait = [&] {
      return weft::select(weft::on_signal(signals, [&](int number) { seen = number; }),
                          weft::on_receive(numbers, [](std::optional<int>) {}), weft::on_timeout(1h, [] {}));
    };
    numbers.send(1);
    CHECK(wait() == 1);
    raise_signals({SIGUSR1});
    CHECK(wait() == 0);
    CHECK(seen == SIGUSR1);
    CHECK(weft::select(weft::on_signal(signals), weft::otherwise([] {})) == 1);
    auto selecting = weft::spawn(wait);
    weft::yield();
    raise_signals({SIGUSR1});
    CHECK(selecting.get() == 0);
    signals.close();
    CHECK(throws<weft::channel_closed>([&] { (void)wait(); }));
  });
}

TEST_CASE("a stream that is closed ends for all who receive", "[io][signals]") {
  run_clean([] {
    signal_stream signals{SIGUSR1};
    std::vector<weft::task<bool>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(weft::spawn([&] { return signals.receive().has_value(); }));
    weft::yield();
    signals.close();
    signals.close();
    {
      signal_stream at_once{SIGUSR2};
      at_once.close();  // before anything of it has run
      CHECK_FALSE(at_once.receive());
    }
    for (auto& t : waiting) CHECK_FALSE(t.get());
    for (int const number : signals) CHECK(number == 0);
    raise_signals({SIGUSR1});  // which is the stream's all the same, and ends nobody
  });
}

TEST_CASE("what handled a signal before does so again, unless it has been changed meanwhile", "[io][signals]") {
  static std::atomic<int> handled;
  handled = 0;
  handler const before = ::signal(SIGUSR1, [](int) { ++handled; });
  run_clean([] {
    {
      signal_stream first{SIGUSR1};
      {
        signal_stream const second{SIGUSR1};
        raise_signals({SIGUSR1});
      }
      raise_signals({SIGUSR1});
      CHECK(first.receive() == SIGUSR1);
      CHECK(first.receive() == SIGUSR1);
      CHECK(handled == 0);
    }
    raise_signals({SIGUSR1});
    CHECK(handled.exchange(0) == 1);
    handler const own = disposition(SIGUSR1);
    {
      signal_stream const third{SIGUSR1};
      ::signal(SIGUSR1, SIG_IGN);
    }
    CHECK(disposition(SIGUSR1) == SIG_IGN);
    ::signal(SIGUSR1, own);
  });
  ::signal(SIGUSR1, before);
}

TEST_CASE("rule 22: SIGINT comes to a stream in place of weft::run()", "[io][signals][rule22]") {
  auto const workers = some_workers();
  handler const before = ::signal(SIGINT, SIG_DFL);
  std::optional<int> got;
  weft::run(
      [&] {
        signal_stream signals{SIGINT};
        raise_signals({SIGINT, SIGINT, SIGINT});
        for (int i = 0; i < 3; ++i) got = signals.receive();
        CHECK_FALSE(weft::this_fiber::cancel_requested());
      },
      on(workers));
  CHECK(got == SIGINT);
  CHECK(disposition(SIGINT) == SIG_DFL);
  // When the stream is gone, weft::run() has it again.
  CHECK_THROWS_AS(weft::run(
                      [&] {
                        {
                          signal_stream const signals{SIGINT};
                        }
                        raise_signals({SIGINT});
                        weft::event{}.wait();
                      },
                      on(workers)),
                  weft::cancelled);
  CHECK(disposition(SIGINT) == SIG_DFL);
  // And a stream that outlives it leaves what was there before that.
  std::unique_ptr<signal_stream> left;
  weft::run([&] { left = std::make_unique<signal_stream>(std::initializer_list<int>{SIGINT}); }, on(workers));
  CHECK_FALSE(left->receive());  // its runtime is gone
  left.reset();
  CHECK(disposition(SIGINT) == SIG_DFL);
  ::signal(SIGINT, before);
}

TEST_CASE("signals that cannot be received are told", "[io][signals][bad-input]") {
  run_clean([] {
    auto const refused = [](std::initializer_list<int> signals) {
      try {
        signal_stream const s{signals};
      } catch (std::system_error const& e) {
        return e.code() == std::errc::invalid_argument;
      }
      return false;
    };
    for (int const signal : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGABRT}) {
      CHECK(refused({signal}));
      CHECK(refused({SIGUSR1, signal}));
    }
    CHECK(refused({}));
    signal_stream twice{SIGUSR1, SIGUSR1};
    raise_signals({SIGUSR1});
    CHECK(twice.receive() == SIGUSR1);
    CHECK_FALSE(twice.try_receive());
  });
}

TEST_CASE("streams of signals end at a number of them, and places are used again", "[io][signals][bad-input]") {
  run_clean([] {
    for (int round = 0; round < 2; ++round) {
      std::vector<std::unique_ptr<signal_stream>> many;
      std::error_code why;
      try {
        for (int i = 0; i < 1000; ++i)
          many.push_back(std::make_unique<signal_stream>(std::initializer_list<int>{SIGUSR1}));
      } catch (std::system_error const& e) {
        why = e.code();
      }
      CHECK(why == std::errc::resource_unavailable_try_again);
      CHECK(many.size() == 256);
      raise_signals({SIGUSR1});
      for (auto& s : many) CHECK(s->receive() == SIGUSR1);
    }
  });
}

TEST_CASE("no descriptor is left for a stream of signals: the error says so", "[io][signals][bad-input]") {
  run_clean([] {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    int const lowest_free = ::dup(0);
    REQUIRE(lowest_free >= 0);
    ::close(lowest_free);
    rlimit const none_left{static_cast<rlim_t>(lowest_free), before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none_left) == 0);
    std::error_code why;
    try {
      signal_stream const s{SIGUSR1};
    } catch (std::system_error const& e) {
      why = e.code();
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(why == std::errc::too_many_files_open);
  });
}

TEST_CASE("outside of a runtime, and in a simulation, there are no streams of signals", "[io][signals][bad-input]") {
  CHECK_THROWS_AS(signal_stream({SIGUSR1}), weft::no_runtime);
  weft::testing::simulation world{1};
  world.run([] { CHECK(throws<weft::error>([] { signal_stream const s{SIGUSR1}; })); });
  CHECK(disposition(SIGUSR1) == SIG_DFL);
}

TEST_CASE("streams of signals come and go while signals come", "[io][signals][stress]") {
  run_clean([] {
    signal_stream keeps_it{SIGUSR1};
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> raised{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        sigset_t none;
        sigemptyset(&none);
        ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
        while (!stop) {
          ::raise(SIGUSR1);
          ++raised;
          std::this_thread::yield();
        }
      });
    }
    for (std::size_t i = 0; i < scaled(500); ++i) {
      signal_stream passing{SIGUSR1};
      if (i % 2 == 0) CHECK(passing.receive() == SIGUSR1);
    }
    stop = true;
    for (auto& t : threads) t.join();
    for (std::size_t i = 0; i < raised; ++i) CHECK(keeps_it.receive() == SIGUSR1);
    CHECK_FALSE(keeps_it.try_receive());
  });
}
