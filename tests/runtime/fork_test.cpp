/// @file
/// Rule 23, H21: fork without exec, under load, from a fiber, a plain thread and a pool thread. In the child every call
/// fails with a clear error, and nothing hangs: a child that did would leave the test waiting for its end.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/detail/descriptor_wait.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::test;

namespace {

/// How a forked child ended. (run_in_child() is for processes without other threads.)
struct child_end {
  bool exited = false;
  int status = 0;
  std::string output;
};

/// Forks; `in_child` must not return.
template <class F>
child_end fork_and_wait(F&& in_child) {
  std::array<int, 2> ends{};
  verify(::pipe(ends.data()) == 0);
  pid_t const child = ::fork();
  if (child == 0) {
    rlimit const no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::signal(SIGABRT, SIG_DFL);  // Catch2 has a handler
    in_child();
  }
  ::close(ends[1]);
  child_end end;
  std::array<char, 512> buffer{};
  for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    end.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  end.exited = WIFEXITED(status);
  end.status = end.exited ? WEXITSTATUS(status) : WTERMSIG(status);
  return end;
}

/// Whether `f` throws an error that tells of fork.
template <class F>
bool refused(F&& f) {
  try {
    f();
  } catch (weft::error const& e) {
    return std::strstr(e.what(), "forked") != nullptr;
  } catch (...) {
  }
  return false;
}

/// Work that allocates, spawns, yields, sleeps, waits and offloads, until the end.
class load {
public:
  explicit load(weft::runtime& rt) {
    for (int i = 0; i < 4; ++i) {
      tasks_.push_back(rt.spawn({.name = "load"}, [this, i] {
        while (!stop_) {
          std::vector<weft::task<void>> children;
          for (int k = 0; k < 10; ++k) children.push_back(weft::spawn({.name = "child"}, [] { weft::yield(); }));
          if (i == 0) weft::sleep_for(20us);
          if (i == 1) weft::offload([] {});
          for (auto& t : children) t.get();
          steps.fetch_add(1);
        }
      }));
    }
    spawner_ = std::thread{[this, &rt] {
      while (!stop_) rt.run([] { weft::yield(); });
    }};
  }
  load(load const&) = delete;
  ~load() {
    stop_ = true;
    spawner_.join();
    for (auto& t : tasks_) t.get();
  }
  std::atomic<int> steps{0};

private:
  std::atomic<bool> stop_{false};
  std::vector<weft::task<void>> tasks_;
  std::thread spawner_;
};

/// Everything that can throw. @returns the number of the first call that was not refused, or 0
/// @param text  made before the fork: to make one takes a lock of the standard library's, which may be another thread's
int all_refused(weft::runtime& rt, weft::task<int>& running, std::ostream& text) {
  weft::event never_set;
  int number = 0;
  auto const check = [&](auto&& f) {
    ++number;
    if (!refused(f)) throw number;
  };
  try {
    check([] { weft::run([] {}); });
    check([] { weft::runtime const own; });
    check([&] { rt.run([] {}); });
    check([&] { rt.spawn([] {}).detach(); });
    check([&] { rt.spawn({.name = "x"}, [] {}).detach(); });
    check([&] { rt.start(); });
    check([&] { rt.shutdown(); });
    check([&] { (void)rt.shutdown(1s); });
    check([&] { (void)rt.all_tasks(); });
    check([&] { rt.dump(text); });
    check([&] { (void)rt.stats(); });
    check([] { weft::spawn([] {}).detach(); });
    check([] { weft::spawn({.start = weft::start::eager}, [] {}).detach(); });
    check([] { (void)weft::all_tasks(); });
    check([&] { weft::dump(text); });
    check([] { weft::yield(); });
    check([] { weft::sleep_for(1us); });
    check([] { weft::sleep_for(0us); });
    check([&] { never_set.wait(); });
    check([&] { (void)never_set.wait_for(1h); });
    check([&] { (void)running.get(); });
    check([&] { (void)running.wait_for(1h); });
    check([&] { (void)running.wait_for(0s); });
    check([] { (void)weft::detail::wait_descriptor(0, weft::detail::readiness::readable, weft::never); });
  } catch (int failed) {
    return failed;
  }
  return 0;
}

}  // namespace

TEST_CASE("rule 23: in a child forked by a fiber under load every call fails, and nothing hangs",
          "[runtime][rule23][hazard][H21]") {
  weft::runtime rt{on(some_workers())};
  load const busy{rt};
  std::ostringstream text;
  weft::event gate;
  auto running = rt.spawn([&] {
    gate.wait();
    return 1;
  });
  std::size_t const rounds = under_sanitizer ? 4 : 16;
  for (std::size_t round = 0; round < rounds; ++round) {
    auto const end = rt.run([&] {
      weft::yield();
      return fork_and_wait([&] {
        int failed = all_refused(rt, running, text);
        if (failed == 0 && !refused([] { weft::offload([] {}); })) failed = 100;
        if (failed == 0 && weft::this_fiber::get_id() != weft::fiber_id{}) failed = 101;
        ::_exit(failed);
      });
    });
    CHECK(end.exited);
    CHECK(end.status == 0);
  }
  gate.set();
  CHECK(running.get() == 1);  // the parent has noticed nothing
}

TEST_CASE("rule 23: in a child forked by a plain thread every call fails, and nothing hangs",
          "[runtime][rule23][hazard][H21]") {
  auto rt = std::make_unique<weft::runtime>(on(some_workers()));
  {
    load const busy{*rt};
    std::ostringstream text;
    weft::event gate;
    auto running = rt->spawn([&] {
      gate.wait();
      return 1;
    });
    auto ended = rt->spawn([] { return 7; });
    ended.wait();
    std::size_t const rounds = under_sanitizer ? 4 : 16;
    for (std::size_t round = 0; round < rounds; ++round) {
      auto const end = fork_and_wait([&] {
        int failed = all_refused(*rt, running, text);
        if (failed == 0 && ended.get() != 7) failed = 102;  // what has ended stays readable
        running = {};                                       // neither waits for what will never end,
        ended = {};
        rt.reset();  // nor does this
        ::_exit(failed);
      });
      CHECK(end.exited);
      CHECK(end.status == 0);
    }
    gate.set();
    CHECK(running.get() == 1);
  }
  rt->shutdown();
}

TEST_CASE("rule 23: a child closes its copies of sockets for which fibers of the other wait",
          "[runtime][rule23][hazard][H21]") {
  weft::runtime rt{on(some_workers())};
  std::optional<weft::io::tcp_listener> listener;
  rt.run([&] { listener.emplace(weft::io::tcp_listener::bind({weft::io::ip_address::loopback_v4(), 0})); });
  weft::event about_to_wait;
  auto server = rt.spawn([&] {
    about_to_wait.set();
    return listener->accept().is_open();
  });
  about_to_wait.wait();
  std::size_t const rounds = under_sanitizer ? 4 : 16;
  for (std::size_t round = 0; round < rounds; ++round) {
    rt.run([] { weft::yield(); });
    auto const end = fork_and_wait([&] {
      listener.reset();
      ::_exit(0);
    });
    CHECK(end.exited);
    CHECK(end.status == 0);
  }
  rt.run([&] { (void)weft::io::tcp_stream::connect(listener->local_endpoint()); });
  CHECK(server.get());
}

TEST_CASE("rule 23: in a child forked by a pool thread calls fail, and the job's end aborts",
          "[runtime][rule23][hazard][H21]") {
  weft::runtime rt{on(some_workers())};
  load const busy{rt};
  for (int round = 0; round < 4; ++round) {
    auto const end = rt.run([&] {
      return weft::offload([&] {
        return fork_and_wait(
            [&] { ::_exit(refused([&] { rt.run([] {}); }) && refused([] { weft::yield(); }) ? 0 : 1); });
      });
    });
    CHECK(end.exited);
    CHECK(end.status == 0);
  }
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  std::atomic<pid_t> child{0};
  rt.run([&] {
    weft::offload([&] {
      pid_t const made = ::fork();
      if (made == 0) {
        rlimit const no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::dup2(ends[1], STDERR_FILENO);
        ::signal(SIGABRT, SIG_DFL);
        return;  // into the pool, whose other threads are not there
      }
      child = made;
    });
  });
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  std::array<char, 512> buffer{};
  auto const n = ::read(ends[0], buffer.data(), buffer.size());
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(WIFSIGNALED(status));
  CHECK(std::string(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0).find("forked") != std::string::npos);
}

TEST_CASE("rule 23: a child that leaves the fiber, or cannot be answered by an exception, aborts with a message",
          "[runtime][rule23][hazard][H21]") {
  weft::runtime rt{on(some_workers())};
  load const busy{rt};
  enum { returns, throws, wakes, counts };
  for (int const how : {returns, throws, wakes, counts}) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    std::atomic<pid_t> child{0};
    weft::event gate;
    auto waiting = rt.spawn({.name = "waiting"}, [&] { gate.wait(); });
    for (bool parked = false; !parked;) {
      for (auto const& t : rt.all_tasks()) {
        parked = parked || (t.name == "waiting" && t.state == weft::task_state::parked);
      }
    }
    rt.run([&] {
      pid_t const made = ::fork();
      if (made != 0) {
        child = made;
        return;
      }
      rlimit const no_core{0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      ::dup2(ends[1], STDERR_FILENO);
      ::signal(SIGABRT, SIG_DFL);
      if (how == throws) weft::yield();
      if (how == wakes) gate.set();
      if (how == counts) (void)rt.live_fibers();
    });
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    std::array<char, 512> buffer{};
    auto const n = ::read(ends[0], buffer.data(), buffer.size());
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    CHECK(std::string(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0).find("forked") != std::string::npos);
    gate.set();
    waiting.get();
  }
}

TEST_CASE("rule 23: a child may exec", "[runtime][rule23][hazard][H21]") {
  weft::runtime rt{on(some_workers())};
  load const busy{rt};
  for (std::size_t round = 0; round < 4; ++round) {
    auto const end = rt.run([&] {
      return fork_and_wait([] {
        ::execl("/bin/sh", "sh", "-c", "exit 3", static_cast<char*>(nullptr));
        ::_exit(1);
      });
    });
    CHECK(end.exited);
    CHECK(end.status == 3);
  }
}

TEST_CASE("rule 23: a child forked while no runtime runs may use weft", "[runtime][rule23][hazard][H21]") {
  (void)weft::run([] { return 0; });
  auto const d = run_in_child([] { ::_exit(weft::run([] { return weft::spawn([] { return 4; }).get(); })); });
  CHECK(d.exited);
  CHECK(d.status == 4);
}

TEST_CASE("rule 23: a child forked while a pool is busy may destroy the pool, and end",
          "[runtime][rule23][hazard][H21]") {
  std::atomic<bool> started{false};
  std::atomic<bool> go_on{false};
  auto pool = std::make_unique<weft::offload_pool>(weft::offload_pool_options{.threads = 1});
  std::thread caller{[&] {
    pool->run([&] {
      started = true;
      while (!go_on) std::this_thread::yield();
    });
  }};
  while (!started) std::this_thread::yield();
  auto const end = fork_and_wait([&] {
    pool.reset();
    ::_exit(0);
  });
  go_on = true;
  caller.join();
  CHECK(end.exited);
  CHECK(end.status == 0);
}
