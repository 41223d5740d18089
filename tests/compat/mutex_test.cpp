/// @file
/// The four kinds of mutex.

#include "compat/names.hpp"

#include <type_traits>
#include <vector>

#define EVERY_MUTEX fibers::mutex, fibers::timed_mutex, fibers::recursive_mutex, fibers::recursive_timed_mutex
#define EVERY_TIMED_MUTEX fibers::timed_mutex, fibers::recursive_timed_mutex
#define EVERY_RECURSIVE_MUTEX fibers::recursive_mutex, fibers::recursive_timed_mutex
#define EVERY_SIMPLE_MUTEX fibers::mutex, fibers::timed_mutex

TEMPLATE_TEST_CASE("a mutex neither copies nor moves", "[mutex]", EVERY_MUTEX) {
  CHECK(std::is_default_constructible_v<TestType>);
  CHECK_FALSE(std::is_copy_constructible_v<TestType>);
  CHECK_FALSE(std::is_move_constructible_v<TestType>);
  CHECK_FALSE(std::is_copy_assignable_v<TestType>);
}

TEMPLATE_TEST_CASE("a free mutex is locked and unlocked", "[mutex]", EVERY_MUTEX) {
  TestType m;
  for (int i = 0; i < 3; ++i) {
    m.lock();
    m.unlock();
  }
  CHECK(m.try_lock());
  m.unlock();
}

TEMPLATE_TEST_CASE("std's locks work with a mutex", "[mutex]", EVERY_MUTEX) {
  TestType a;
  TestType b;
  {
    std::lock_guard<TestType> const lock(a);
  }
  {
    std::unique_lock<TestType> lock(a, std::defer_lock);
    CHECK_FALSE(lock.owns_lock());
    lock.lock();
    CHECK(lock.owns_lock());
    lock.unlock();
    CHECK(lock.try_lock());
  }
  {
    std::scoped_lock const both(a, b);
  }
  CHECK(a.try_lock());
  a.unlock();
}

TEMPLATE_TEST_CASE("a fiber waits until the mutex is free", "[mutex]", EVERY_MUTEX) {
  trace t;
  TestType m;
  m.lock();
  fibers::fiber f([&] {
    t("asks");
    m.lock();
    t("has");
    m.unlock();
  });
  this_fiber::yield();
  this_fiber::yield();
  t("main");
  m.unlock();
  f.join();
  CHECK(t.words() == "asks main has");
}

TEMPLATE_TEST_CASE("the main fiber waits until the mutex is free", "[mutex]", EVERY_MUTEX) {
  trace t;
  TestType m;
  fibers::fiber f(fibers::launch::dispatch, [&] {
    m.lock();
    this_fiber::yield();
    this_fiber::yield();
    t("fiber");
    m.unlock();
  });
  m.lock();
  t("main");
  m.unlock();
  f.join();
  CHECK(t.words() == "fiber main");
}

TEMPLATE_TEST_CASE("a mutex lets in one at a time", "[mutex]", EVERY_MUTEX) {
  TestType m;
  int inside = 0;
  int most = 0;
  int rounds = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 10; ++i) {
    many.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        std::lock_guard<TestType> const lock(m);
        most = std::max(most, ++inside);
        this_fiber::yield();
        --inside;
        ++rounds;
      }
    });
  }
  for (auto& f : many) f.join();
  CHECK(most == 1);
  CHECK(rounds == 200);
}

TEMPLATE_TEST_CASE("dispatched fibers queue for a mutex", "[mutex]", EVERY_MUTEX) {
  TestType m;
  int value = 0;
  std::vector<fibers::fiber> many;
  m.lock();
  for (int i = 0; i < 10; ++i) {
    many.emplace_back(fibers::launch::dispatch, [&] {
      std::lock_guard<TestType> const lock(m);
      int const before = value;
      this_fiber::yield();
      value = before + 1;
    });
  }
  CHECK(value == 0);
  m.unlock();
  for (auto& f : many) f.join();
  CHECK(value == 10);
}

TEMPLATE_TEST_CASE("a mutex is handed on in the order of asking", "[mutex]", EVERY_MUTEX) {
  trace t;
  TestType m;
  m.lock();
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c"}) {
    many.emplace_back([&, name] {
      m.lock();
      t(name);
      this_fiber::yield();
      m.unlock();
    });
  }
  this_fiber::yield();
  m.unlock();
  for (auto& f : many) f.join();
  CHECK(t.words() == "a b c");
}

TEMPLATE_TEST_CASE("try_lock fails while another has the mutex", "[mutex]", EVERY_MUTEX) {
  TestType m;
  m.lock();
  bool got = true;
  fibers::fiber([&] { got = m.try_lock(); }).join();
  CHECK_FALSE(got);
  m.unlock();
  fibers::fiber([&] {
    got = m.try_lock();
    if (got) m.unlock();
  }).join();
  CHECK(got);
}

TEMPLATE_TEST_CASE("a failed try_lock lets others run", "[mutex]", EVERY_MUTEX) {
  TestType m;
  int tries = 0;
  fibers::fiber holder(fibers::launch::dispatch, [&] {
    m.lock();
    for (int i = 0; i < 5; ++i) this_fiber::yield();
    m.unlock();
  });
  while (!m.try_lock()) ++tries;  // without a yield: would go on for ever otherwise
  m.unlock();
  holder.join();
  CHECK(tries >= 1);
}

TEMPLATE_TEST_CASE("a fiber's failed try_lock lets others run", "[mutex]", EVERY_MUTEX) {
  trace t;
  TestType m;
  m.lock();
  fibers::fiber tries([&] {
    t("try");
    while (!m.try_lock()) t("again");
    m.unlock();
    t("got");
  });
  fibers::fiber other([&] { t("other"); });
  other.join();
  t("main");
  m.unlock();
  tries.join();
  CHECK(t.words().substr(0, 9) == "try other");
  CHECK(t.words().substr(t.words().size() - 3) == "got");
}

TEMPLATE_TEST_CASE("only the owner may unlock", "[mutex][errors]", EVERY_MUTEX) {
  TestType m;
  m.lock();
  int error = 0;
  bool is_lock_error = false;
  fibers::fiber([&] {
    try {
      m.unlock();
    } catch (fibers::lock_error const& e) {
      is_lock_error = true;
      error = e.code().value();
    }
  }).join();
  CHECK(is_lock_error);
  CHECK(error == number(std::errc::operation_not_permitted));
  m.unlock();
}

TEMPLATE_TEST_CASE("the main fiber may not unlock what a fiber has", "[mutex][errors]", EVERY_MUTEX) {
  TestType m;
  bool leave = false;
  fibers::fiber f(fibers::launch::dispatch, [&] {
    std::lock_guard<TestType> const lock(m);
    while (!leave) this_fiber::yield();
  });
  CHECK_THROWS_AS(m.unlock(), fibers::lock_error);
  leave = true;
  f.join();
  CHECK(m.try_lock());
  m.unlock();
}

TEMPLATE_TEST_CASE("unlocking what is free is an error", "[mutex][errors]", EVERY_MUTEX) {
  TestType m;
  CHECK_THROWS_AS(m.unlock(), fibers::lock_error);
  CHECK(error_of([&m] { m.unlock(); }) == number(std::errc::operation_not_permitted));
}

TEMPLATE_TEST_CASE("unlocking twice is an error", "[mutex][errors]", EVERY_MUTEX) {
  TestType m;
  m.lock();
  m.unlock();
  CHECK(error_of([&m] { m.unlock(); }) == number(std::errc::operation_not_permitted));
}

TEMPLATE_TEST_CASE("locking what one has is an error", "[mutex][errors]", EVERY_SIMPLE_MUTEX) {
  TestType m;
  m.lock();
  CHECK_THROWS_AS(m.lock(), fibers::lock_error);
  CHECK(error_of([&m] { m.lock(); }) == number(std::errc::resource_deadlock_would_occur));
  m.unlock();
}

TEMPLATE_TEST_CASE("a fiber that locks what it has is told so", "[mutex][errors]", EVERY_SIMPLE_MUTEX) {
  TestType m;
  int error = 0;
  fibers::fiber([&] {
    std::lock_guard<TestType> const lock(m);
    error = error_of([&m] { m.lock(); });
  }).join();
  CHECK(error == number(std::errc::resource_deadlock_would_occur));
  CHECK(m.try_lock());
  m.unlock();
}

TEMPLATE_TEST_CASE("trying to lock what one has is an error", "[mutex][errors]", EVERY_SIMPLE_MUTEX) {
  TestType m;
  m.lock();
  CHECK_THROWS_AS(m.try_lock(), fibers::lock_error);
  CHECK(error_of([&m] { (void)m.try_lock(); }) == number(std::errc::resource_deadlock_would_occur));
  m.unlock();
}

TEMPLATE_TEST_CASE("a recursive mutex counts", "[mutex]", EVERY_RECURSIVE_MUTEX) {
  TestType m;
  bool got = true;
  auto const try_on_a_fiber = [&] {
    got = m.try_lock();
    if (got) m.unlock();
  };
  m.lock();
  m.lock();
  CHECK(m.try_lock());
  m.unlock();
  m.unlock();
  fibers::fiber(try_on_a_fiber).join();
  CHECK_FALSE(got);
  m.unlock();
  fibers::fiber(try_on_a_fiber).join();
  CHECK(got);
}

TEMPLATE_TEST_CASE("a fiber locks a recursive mutex again over waits", "[mutex]", EVERY_RECURSIVE_MUTEX) {
  TestType m;
  trace t;
  fibers::fiber a([&] {
    std::lock_guard<TestType> const outer(m);
    this_fiber::yield();
    std::lock_guard<TestType> const inner(m);
    this_fiber::yield();
    t("a");
  });
  fibers::fiber b([&] {
    std::lock_guard<TestType> const lock(m);
    t("b");
  });
  a.join();
  b.join();
  CHECK(t.words() == "a b");
}

TEMPLATE_TEST_CASE("a recursive mutex is unlocked as often as locked", "[mutex][errors]", EVERY_RECURSIVE_MUTEX) {
  TestType m;
  m.lock();
  m.lock();
  m.unlock();
  m.unlock();
  CHECK(error_of([&m] { m.unlock(); }) == number(std::errc::operation_not_permitted));
}

TEMPLATE_TEST_CASE("a timed lock of a free mutex succeeds", "[mutex][time]", EVERY_TIMED_MUTEX) {
  TestType m;
  CHECK(m.try_lock_for(long_time));
  m.unlock();
  CHECK(m.try_lock_until(std::chrono::steady_clock::now() + long_time));
  m.unlock();
  CHECK(m.try_lock_until(std::chrono::system_clock::now() + long_time));
  m.unlock();
}

TEMPLATE_TEST_CASE("a timed lock gives up when its time has passed", "[mutex][time]", EVERY_TIMED_MUTEX) {
  TestType m;
  m.lock();
  bool got = true;
  auto const began = std::chrono::steady_clock::now();
  fibers::fiber([&] { got = m.try_lock_for(2ms); }).join();
  CHECK_FALSE(got);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  fibers::fiber([&] { got = m.try_lock_until(std::chrono::steady_clock::now() + 1ms); }).join();
  CHECK_FALSE(got);
  m.unlock();
  CHECK(m.try_lock());
  m.unlock();
}

TEMPLATE_TEST_CASE("the main fiber's timed lock gives up", "[mutex][time]", EVERY_TIMED_MUTEX) {
  TestType m;
  bool leave = false;
  fibers::fiber f(fibers::launch::dispatch, [&] {
    std::lock_guard<TestType> const lock(m);
    while (!leave) this_fiber::sleep_for(1ms);
  });
  CHECK_FALSE(m.try_lock_for(2ms));
  leave = true;
  f.join();
  CHECK(m.try_lock_for(long_time));
  m.unlock();
}

TEMPLATE_TEST_CASE("a timed lock gets what is released in time", "[mutex][time]", EVERY_TIMED_MUTEX) {
  TestType m;
  m.lock();
  bool got = false;
  fibers::fiber f([&] {
    got = m.try_lock_for(long_time);
    if (got) m.unlock();
  });
  this_fiber::yield();
  this_fiber::yield();
  CHECK_FALSE(got);
  m.unlock();
  f.join();
  CHECK(got);
}

TEMPLATE_TEST_CASE("one that gave up does not take what is released later", "[mutex][time]", EVERY_TIMED_MUTEX) {
  trace t;
  TestType m;
  m.lock();
  fibers::fiber gives_up([&] { t(m.try_lock_for(1ms) ? "got" : "gave-up"); });
  fibers::fiber waits([&] {
    std::lock_guard<TestType> const lock(m);
    t("waited");
  });
  gives_up.join();
  m.unlock();
  waits.join();
  CHECK(t.words() == "gave-up waited");
}

TEST_CASE("a recursive timed mutex is locked again by a timed lock", "[mutex][time]") {
  fibers::recursive_timed_mutex m;
  CHECK(m.try_lock_for(long_time));
  CHECK(m.try_lock_until(std::chrono::steady_clock::now() + long_time));
  m.unlock();
  m.unlock();
}
