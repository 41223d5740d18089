/// @file
/// condition_variable and condition_variable_any.

#include "compat/names.hpp"

#include <type_traits>
#include <vector>

#define BOTH_CONDITIONS fibers::condition_variable, fibers::condition_variable_any

namespace {
using lock_type = std::unique_lock<fibers::mutex>;
}

TEMPLATE_TEST_CASE("a condition variable neither copies nor moves", "[cv]", BOTH_CONDITIONS) {
  CHECK(std::is_default_constructible_v<TestType>);
  CHECK_FALSE(std::is_copy_constructible_v<TestType>);
  CHECK_FALSE(std::is_copy_assignable_v<TestType>);
}

TEMPLATE_TEST_CASE("a notification for nobody is lost", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  c.notify_one();
  c.notify_all();
  fibers::mutex m;
  lock_type lock(m);
  CHECK(c.wait_for(lock, 1ms) == fibers::cv_status::timeout);
}

TEMPLATE_TEST_CASE("one of those who wait is notified", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  int awake = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 3; ++i) {
    many.emplace_back([&] {
      lock_type lock(m);
      c.wait(lock);
      ++awake;
    });
  }
  this_fiber::yield();
  for (int expected = 0; expected < 3; ++expected) {
    CHECK(awake == expected);
    c.notify_one();
    this_fiber::yield();
    this_fiber::yield();
  }
  CHECK(awake == 3);
  for (auto& f : many) f.join();
}

TEMPLATE_TEST_CASE("all who wait are notified", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  int awake = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 5; ++i) {
    many.emplace_back([&] {
      lock_type lock(m);
      c.wait(lock);
      ++awake;
    });
  }
  this_fiber::yield();
  CHECK(awake == 0);
  c.notify_all();
  for (auto& f : many) f.join();
  CHECK(awake == 5);
}

TEMPLATE_TEST_CASE("they are notified in the order in which they came", "[cv]", BOTH_CONDITIONS) {
  trace t;
  TestType c;
  fibers::mutex m;
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c", "d"}) {
    many.emplace_back([&, name] {
      lock_type lock(m);
      c.wait(lock);
      t(name);
    });
  }
  this_fiber::yield();
  c.notify_one();
  c.notify_all();
  for (auto& f : many) f.join();
  CHECK(t.words() == "a b c d");
}

TEMPLATE_TEST_CASE("dispatched fibers wait and are notified", "[cv]", BOTH_CONDITIONS) {
  trace t;
  TestType c;
  fibers::mutex m;
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c"}) {
    many.emplace_back(fibers::launch::dispatch, [&, name] {
      lock_type lock(m);
      c.wait(lock);
      t(name);
    });
  }
  t("main");
  c.notify_all();
  for (auto& f : many) f.join();
  CHECK(t.words() == "main a b c");
}

TEMPLATE_TEST_CASE("the lock is released while one waits", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  fibers::fiber f([&] {
    lock_type lock(m);
    c.wait(lock);
  });
  this_fiber::yield();
  CHECK(m.try_lock());
  m.unlock();
  c.notify_one();
  f.join();
}

TEMPLATE_TEST_CASE("the lock is held after a wait", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  bool owns = false;
  bool let_go = false;
  fibers::fiber f([&] {
    lock_type lock(m);
    c.wait(lock);
    owns = lock.owns_lock() && lock.mutex() == &m;
    while (!let_go) this_fiber::yield();
  });
  this_fiber::yield();
  c.notify_one();
  this_fiber::yield();
  CHECK(owns);
  CHECK_FALSE(m.try_lock());
  let_go = true;
  f.join();
}

TEMPLATE_TEST_CASE("one that is notified waits for the lock", "[cv]", BOTH_CONDITIONS) {
  trace t;
  TestType c;
  fibers::mutex m;
  fibers::fiber f([&] {
    lock_type lock(m);
    c.wait(lock);
    t("fiber");
  });
  this_fiber::yield();
  {
    lock_type const lock(m);
    c.notify_one();
    this_fiber::yield();
    this_fiber::yield();
    t("main");
  }
  f.join();
  CHECK(t.words() == "main fiber");
}

TEMPLATE_TEST_CASE("a wait with a predicate returns at once if it holds", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  lock_type lock(m);
  int asked = 0;
  c.wait(lock, [&asked] { return ++asked > 0; });
  CHECK(asked == 1);
  CHECK(lock.owns_lock());
  CHECK(c.wait_for(lock, 0ms, [] { return true; }));
  CHECK(c.wait_until(lock, std::chrono::steady_clock::now(), [] { return true; }));
}

TEMPLATE_TEST_CASE("a wait with a predicate goes on until it holds", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  int value = 0;
  int seen = -1;
  fibers::fiber f([&] {
    lock_type lock(m);
    c.wait(lock, [&value] { return value == 3; });
    seen = value;
  });
  for (int i = 1; i <= 3; ++i) {
    this_fiber::yield();
    CHECK(seen == -1);
    lock_type const lock(m);
    value = i;
    c.notify_one();
  }
  f.join();
  CHECK(seen == 3);
}

TEMPLATE_TEST_CASE("the predicate is asked under the lock", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  bool held = true;
  bool ready = false;
  fibers::fiber f([&] {
    lock_type lock(m);
    c.wait(lock, [&] {
      held = held && lock.owns_lock();
      return ready;
    });
  });
  this_fiber::yield();
  ready = true;
  c.notify_all();
  f.join();
  CHECK(held);
}

TEMPLATE_TEST_CASE("the main fiber waits for a notification", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  bool ready = false;
  fibers::fiber f([&] {
    this_fiber::yield();
    lock_type const lock(m);
    ready = true;
    c.notify_one();
  });
  lock_type lock(m);
  c.wait(lock, [&ready] { return ready; });
  CHECK(ready);
  CHECK(lock.owns_lock());
  lock.unlock();
  f.join();
}

TEMPLATE_TEST_CASE("main waits without a predicate", "[cv]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  fibers::fiber f([&] { c.notify_one(); });
  lock_type lock(m);
  c.wait(lock);
  CHECK(lock.owns_lock());
  lock.unlock();
  f.join();
}

TEMPLATE_TEST_CASE("wait_for gives up when the time has passed", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  auto status = fibers::cv_status::no_timeout;
  bool owns = false;
  auto const began = std::chrono::steady_clock::now();
  fibers::fiber([&] {
    lock_type lock(m);
    status = c.wait_for(lock, 2ms);
    owns = lock.owns_lock();
  }).join();
  CHECK(status == fibers::cv_status::timeout);
  CHECK(owns);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
}

TEMPLATE_TEST_CASE("wait_until gives up when its time comes", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  lock_type lock(m);
  auto const until = std::chrono::steady_clock::now() + 2ms;
  CHECK(c.wait_until(lock, until) == fibers::cv_status::timeout);
  CHECK(std::chrono::steady_clock::now() >= until);
  CHECK(lock.owns_lock());
}

TEMPLATE_TEST_CASE("wait_until takes the system's clock", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  lock_type lock(m);
  CHECK(c.wait_until(lock, std::chrono::system_clock::now() + 1ms) == fibers::cv_status::timeout);
}

TEMPLATE_TEST_CASE("wait_for is notified in time", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  auto status = fibers::cv_status::timeout;
  fibers::fiber f([&] {
    lock_type lock(m);
    status = c.wait_for(lock, long_time);
  });
  this_fiber::yield();
  c.notify_one();
  f.join();
  CHECK(status == fibers::cv_status::no_timeout);
}

TEMPLATE_TEST_CASE("wait_until is notified in time", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  auto status = fibers::cv_status::timeout;
  fibers::fiber f([&] {
    lock_type lock(m);
    status = c.wait_until(lock, std::chrono::steady_clock::now() + long_time);
  });
  this_fiber::yield();
  c.notify_all();
  f.join();
  CHECK(status == fibers::cv_status::no_timeout);
}

TEMPLATE_TEST_CASE("wait_for with a predicate says what it says at last", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  bool ready = false;
  bool first = true;
  bool second = false;
  fibers::fiber([&] {
    lock_type lock(m);
    first = c.wait_for(lock, 1ms, [&ready] { return ready; });
  }).join();
  fibers::fiber f([&] {
    lock_type lock(m);
    second = c.wait_for(lock, long_time, [&ready] { return ready; });
  });
  this_fiber::yield();
  ready = true;
  c.notify_one();
  f.join();
  CHECK_FALSE(first);
  CHECK(second);
}

TEMPLATE_TEST_CASE("wait_until with a predicate says what it says at last", "[cv][time]", BOTH_CONDITIONS) {
  TestType c;
  fibers::mutex m;
  bool ready = false;
  lock_type lock(m);
  CHECK_FALSE(c.wait_until(lock, std::chrono::steady_clock::now() + 1ms, [&ready] { return ready; }));
  fibers::fiber f([&] {
    lock_type const inner(m);
    ready = true;
    c.notify_one();
  });
  CHECK(c.wait_until(lock, std::chrono::steady_clock::now() + long_time, [&ready] { return ready; }));
  lock.unlock();
  f.join();
}

TEMPLATE_TEST_CASE("who gave up is not notified", "[cv][time]", BOTH_CONDITIONS) {
  trace t;
  TestType c;
  fibers::mutex m;
  fibers::fiber gives_up([&] {
    lock_type lock(m);
    if (c.wait_for(lock, 1ms) == fibers::cv_status::timeout) t("gave-up");
  });
  fibers::fiber waits([&] {
    lock_type lock(m);
    c.wait(lock);
    t("notified");
  });
  gives_up.join();
  c.notify_one();
  waits.join();
  CHECK(t.words() == "gave-up notified");
}

TEMPLATE_TEST_CASE("two fibers hand a turn to and fro", "[cv]", BOTH_CONDITIONS) {
  trace t;
  TestType c;
  fibers::mutex m;
  int turn = 0;
  auto const play = [&](int me, char const* name) {
    for (int i = 0; i < 3; ++i) {
      lock_type lock(m);
      c.wait(lock, [&] { return turn == me; });
      t(name);
      turn = 1 - me;
      c.notify_one();
    }
  };
  fibers::fiber a(play, 0, "ping");
  fibers::fiber b(play, 1, "pong");
  a.join();
  b.join();
  CHECK(t.words() == "ping pong ping pong ping pong");
}

TEST_CASE("a condition for any lock takes a recursive mutex", "[cv]") {
  fibers::condition_variable_any c;
  fibers::recursive_mutex m;
  bool owns = false;
  fibers::fiber f([&] {
    std::unique_lock<fibers::recursive_mutex> lock(m);
    c.wait(lock);
    owns = lock.owns_lock();
  });
  this_fiber::yield();
  c.notify_one();
  f.join();
  CHECK(owns);
}

TEST_CASE("a condition for any lock takes a timed mutex", "[cv]") {
  fibers::condition_variable_any c;
  fibers::timed_mutex m;
  std::unique_lock<fibers::timed_mutex> lock(m);
  fibers::fiber f([&] { c.notify_one(); });
  c.wait(lock);
  CHECK(lock.owns_lock());
  lock.unlock();
  f.join();
}

TEST_CASE("a condition for any lock takes the mutex itself", "[cv]") {
  fibers::condition_variable_any c;
  fibers::mutex m;
  m.lock();
  CHECK(c.wait_for(m, 1ms) == fibers::cv_status::timeout);
  m.unlock();
}

TEST_CASE("a condition for any lock takes a lock of the user's", "[cv]") {
  struct counting {
    int locks = 0;
    int unlocks = 0;
    void lock() { ++locks; }
    void unlock() { ++unlocks; }
  } lock;
  fibers::condition_variable_any c;
  fibers::fiber f([&] { c.notify_all(); });
  lock.lock();
  c.wait(lock);
  f.join();
  CHECK(lock.locks == 2);
  CHECK(lock.unlocks == 1);
}
