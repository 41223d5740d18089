/// @file
/// Which fiber runs when: one thread's fibers take turns, in the order in which they became ready.

#include "compat/names.hpp"

#include <vector>

TEST_CASE("a posted fiber does not run before its creator waits", "[order]") {
  trace t;
  fibers::fiber f(fibers::launch::post, [&t] { t("fiber"); });
  t("main");
  f.join();
  CHECK(t.words() == "main fiber");
}

TEST_CASE("without a policy a fiber is posted", "[order]") {
  trace t;
  fibers::fiber f([&t] { t("fiber"); });
  t("main");
  f.join();
  CHECK(t.words() == "main fiber");
}

TEST_CASE("a dispatched fiber runs at once", "[order]") {
  trace t;
  fibers::fiber f(fibers::launch::dispatch, [&t] { t("fiber"); });
  t("main");
  f.join();
  CHECK(t.words() == "fiber main");
}

TEST_CASE("posted fibers run in the order of their making", "[order]") {
  trace t;
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c", "d"}) many.emplace_back([&t, name] { t(name); });
  for (auto& f : many) f.join();
  CHECK(t.words() == "a b c d");
}

TEST_CASE("dispatched fibers run in the order of their making", "[order]") {
  trace t;
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c", "d"})
    many.emplace_back(fibers::launch::dispatch, [&t, name] { t(name); });
  t("main");
  for (auto& f : many) f.join();
  CHECK(t.words() == "a b c d main");
}

TEST_CASE("who dispatches goes behind those that are ready", "[order]") {
  trace t;
  fibers::fiber a([&t] { t("a"); });
  fibers::fiber b([&t] { t("b"); });
  fibers::fiber c(fibers::launch::dispatch, [&t] {
    t("c1");
    this_fiber::yield();
    t("c2");
  });
  t("main");
  a.join();
  b.join();
  c.join();
  CHECK(t.words() == "c1 a b main c2");
}

TEST_CASE("who dispatches a fiber that ends goes behind those that are ready", "[order]") {
  trace t;
  fibers::fiber a([&t] { t("a"); });
  fibers::fiber b(fibers::launch::dispatch, [&t] { t("b"); });
  t("main");
  a.join();
  b.join();
  CHECK(t.words() == "b a main");
}

TEST_CASE("a fiber that dispatches goes behind those that are ready", "[order]") {
  trace t;
  fibers::fiber first([&t] {
    t("first");
    fibers::fiber inner(fibers::launch::dispatch, [&t] {
      t("inner1");
      this_fiber::yield();
      t("inner2");
    });
    t("first2");
    inner.join();
    t("first3");
  });
  fibers::fiber second([&t] { t("second"); });
  first.join();
  second.join();
  CHECK(t.words() == "first inner1 second first2 inner2 first3");
}

TEST_CASE("a fiber that posts goes on", "[order]") {
  trace t;
  fibers::fiber first([&t] {
    t("first");
    fibers::fiber inner(fibers::launch::post, [&t] { t("inner"); });
    t("first2");
    inner.join();
    t("first3");
  });
  fibers::fiber second([&t] { t("second"); });
  first.join();
  second.join();
  CHECK(t.words() == "first first2 second inner first3");
}

TEST_CASE("fibers that yield take turns", "[order]") {
  trace t;
  auto const steps = [&t](char const* name) {
    for (char const* const step : {"1", "2", "3"}) {
      t(std::string(name) + step);
      this_fiber::yield();
    }
  };
  fibers::fiber a(steps, "a");
  fibers::fiber b(steps, "b");
  fibers::fiber c(steps, "c");
  a.join();
  b.join();
  c.join();
  CHECK(t.words() == "a1 b1 c1 a2 b2 c2 a3 b3 c3");
}

TEST_CASE("dispatched fibers that yield take turns", "[order]") {
  trace t;
  auto const steps = [&t](char const* name) {
    for (char const* const step : {"1", "2", "3"}) {
      t(std::string(name) + step);
      this_fiber::yield();
    }
  };
  fibers::fiber a(fibers::launch::dispatch, steps, "a");
  t("main");
  fibers::fiber b(fibers::launch::dispatch, steps, "b");
  t("main");
  a.join();
  b.join();
  CHECK(t.words() == "a1 main b1 a2 main b2 a3 b3");
}

TEST_CASE("the main fiber takes its turn among the others", "[order]") {
  trace t;
  auto const steps = [&t](char const* name) {
    for (char const* const step : {"1", "2", "3"}) {
      t(std::string(name) + step);
      this_fiber::yield();
    }
  };
  fibers::fiber a(steps, "a");
  fibers::fiber b(steps, "b");
  steps("main");
  t("main4");
  a.join();
  b.join();
  CHECK(t.words() == "main1 a1 b1 main2 a2 b2 main3 a3 b3 main4");
}

TEST_CASE("a yield with nobody else returns", "[order]") {
  trace t;
  this_fiber::yield();
  t("main");
  fibers::fiber([&t] {
    this_fiber::yield();
    t("fiber");
  }).join();
  CHECK(t.words() == "main fiber");
}

TEST_CASE("one yield lets all run that are ready, and those once", "[order]") {
  trace t;
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c"}) {
    many.emplace_back([&t, name] {
      t(name);
      this_fiber::yield();
      t(name);
    });
  }
  this_fiber::yield();
  t("main");
  for (auto& f : many) f.join();
  CHECK(t.words() == "a b c main a b c");
}

TEST_CASE("fibers made during a yield run after who made them yields", "[order]") {
  trace t;
  fibers::fiber inner;
  fibers::fiber outer([&] {
    t("outer");
    inner = fibers::fiber([&t] { t("inner"); });
    this_fiber::yield();
    t("outer2");
  });
  this_fiber::yield();
  t("main");
  this_fiber::yield();
  t("main2");
  outer.join();
  inner.join();
  CHECK(t.words() == "outer main inner outer2 main2");
}

TEST_CASE("a joiner goes behind those that are ready when the fiber ends", "[order]") {
  trace t;
  fibers::fiber a([&t] { t("a"); });
  fibers::fiber b([&t] {
    t("b1");
    this_fiber::yield();
    t("b2");
  });
  fibers::fiber c([&t] { t("c"); });
  a.join();
  t("main");
  b.join();
  c.join();
  CHECK(t.words() == "a b1 c main b2");
}

TEST_CASE("joining what has ended gives way to nobody", "[order]") {
  trace t;
  fibers::fiber a(fibers::launch::dispatch, [&t] { t("a"); });
  fibers::fiber b([&t] { t("b"); });
  a.join();
  t("main");
  b.join();
  CHECK(t.words() == "a main b");
}

TEST_CASE("joiners of one fiber go on in the order in which they came", "[order]") {
  trace t;
  fibers::fiber ends([&t] {
    for (int i = 0; i < 3; ++i) this_fiber::yield();
    t("ends");
  });
  fibers::fiber a([&] {
    ends.join();
    t("a");
  });
  fibers::fiber b([&t] {
    t("b1");
    this_fiber::yield();
    t("b2");
  });
  b.join();
  a.join();
  CHECK(t.words() == "b1 b2 ends a");
}

TEST_CASE("a chain of joins unwinds from its end", "[order]") {
  trace t;
  fibers::fiber c([&t] { t("c"); });
  fibers::fiber b([&] {
    c.join();
    t("b");
  });
  fibers::fiber a([&] {
    b.join();
    t("a");
  });
  a.join();
  t("main");
  CHECK(t.words() == "c b a main");
}

TEST_CASE("an uncontended lock gives way to nobody", "[order][mutex]") {
  trace t;
  fibers::mutex m;
  fibers::fiber f([&t] { t("fiber"); });
  m.lock();
  t("locked");
  m.unlock();
  t("unlocked");
  f.join();
  CHECK(t.words() == "locked unlocked fiber");
}

TEST_CASE("an unlock gives way to nobody, though another waits", "[order][mutex]") {
  trace t;
  fibers::mutex m;
  m.lock();
  fibers::fiber f([&] {
    std::lock_guard<fibers::mutex> const lock(m);
    t("fiber");
  });
  this_fiber::yield();
  m.unlock();
  t("unlocked");
  f.join();
  CHECK(t.words() == "unlocked fiber");
}

TEST_CASE("who unlocks may lock again before who waits", "[order][mutex]") {
  trace t;
  fibers::mutex m;
  m.lock();
  fibers::fiber f([&] {
    m.lock();
    t("fiber");
    m.unlock();
  });
  this_fiber::yield();
  m.unlock();
  m.lock();
  t("main");
  this_fiber::yield();
  t("main2");
  m.unlock();
  f.join();
  CHECK(t.words() == "main main2 fiber");
}

TEST_CASE("those who wait for a mutex get it in the order in which they came", "[order][mutex]") {
  trace t;
  fibers::mutex m;
  m.lock();
  std::vector<fibers::fiber> many;
  for (char const* const name : {"a", "b", "c", "d"}) {
    many.emplace_back([&, name] {
      std::lock_guard<fibers::mutex> const lock(m);
      t(name);
    });
  }
  this_fiber::yield();
  t("main");
  m.unlock();
  for (auto& f : many) f.join();
  CHECK(t.words() == "main a b c d");
}

TEST_CASE("a notification gives way to nobody", "[order][condition_variable]") {
  trace t;
  fibers::mutex m;
  fibers::condition_variable c;
  bool ready = false;
  fibers::fiber f([&] {
    std::unique_lock<fibers::mutex> lock(m);
    c.wait(lock, [&ready] { return ready; });
    t("fiber");
  });
  this_fiber::yield();
  {
    std::lock_guard<fibers::mutex> const lock(m);
    ready = true;
  }
  c.notify_one();
  t("main");
  f.join();
  CHECK(t.words() == "main fiber");
}

TEST_CASE("a push with room gives way to nobody", "[order][channel]") {
  trace t;
  fibers::buffered_channel<int> channel(4);
  fibers::fiber f([&] {
    int value = 0;
    while (channel.pop(value) == fibers::channel_op_status::success) t(std::to_string(value));
  });
  this_fiber::yield();
  channel.push(1);
  t("main");
  channel.push(2);
  t("main");
  channel.close();
  t("closed");
  f.join();
  CHECK(t.words() == "main main closed 1 2");
}

TEST_CASE("a full channel gives way to who empties it", "[order][channel]") {
  trace t;
  fibers::buffered_channel<int> channel(2);
  fibers::fiber f([&] {
    int value = 0;
    while (channel.pop(value) == fibers::channel_op_status::success) t("popped" + std::to_string(value));
  });
  for (int i = 1; i <= 3; ++i) {
    channel.push(i);
    t("pushed" + std::to_string(i));
  }
  channel.close();
  f.join();
  CHECK(t.words() == "pushed1 popped1 pushed2 popped2 pushed3 popped3");
}

TEST_CASE("a rendezvous wakes who pushes behind who pops", "[order][channel]") {
  trace t;
  fibers::unbuffered_channel<int> channel;
  fibers::fiber f([&] {
    for (int i = 1; i <= 2; ++i) {
      channel.push(i);
      t("pushed" + std::to_string(i));
    }
  });
  for (int i = 1; i <= 2; ++i) {
    t("popped" + std::to_string(channel.value_pop()));
  }
  f.join();
  CHECK(t.words() == "popped1 pushed1 popped2 pushed2");
}

TEST_CASE("setting a value gives way to nobody", "[order][future]") {
  trace t;
  fibers::promise<int> p;
  auto future = p.get_future();
  fibers::fiber f([&] { t("got" + std::to_string(future.get())); });
  this_fiber::yield();
  p.set_value(3);
  t("set");
  f.join();
  CHECK(t.words() == "set got3");
}

TEST_CASE("async posts unless told otherwise", "[order][async]") {
  trace t;
  auto a = fibers::async([&t] { t("a"); });
  auto b = fibers::async(fibers::launch::post, [&t] { t("b"); });
  auto c = fibers::async(fibers::launch::dispatch, [&t] { t("c"); });
  t("main");
  a.get();
  b.get();
  c.get();
  CHECK(t.words() == "c a b main");
}

TEST_CASE("the last one to a barrier goes on at once", "[order][barrier]") {
  trace t;
  fibers::barrier b(3);
  auto const come = [&](char const* name) {
    b.wait();
    t(name);
  };
  fibers::fiber a(come, "a");
  fibers::fiber c(come, "c");
  this_fiber::yield();
  come("main");
  a.join();
  c.join();
  CHECK(t.words() == "main a c");
}

TEST_CASE("fibers of the same moment take turns with a sleeper that is due", "[order]") {
  trace t;
  bool woke = false;
  fibers::fiber sleeper([&] {
    this_fiber::sleep_for(1ms);
    woke = true;
  });
  fibers::fiber spinner([&] {
    while (!woke) this_fiber::yield();
    t("spinner");
  });
  spinner.join();
  sleeper.join();
  CHECK(t.words() == "spinner");
}
