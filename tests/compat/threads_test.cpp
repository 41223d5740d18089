/// @file
/// Several threads, each with fibers of its own.

#include "compat/names.hpp"

#include <atomic>
#include <latch>
#include <set>
#include <thread>
#include <vector>

namespace {

/// Calls `f(i)` on each of `n` threads, and waits for them. None ends before all are through: in Boost.Fiber, who wakes
/// a fiber of another thread touches that thread's scheduler once more when the fiber may have run already.
template <class F>
void on_threads(int n, F const& f) {
  std::latch through(n);
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&f, &through, i] {
      f(i);
      through.arrive_and_wait();
    });
  }
  for (auto& t : threads) t.join();
}

}  // namespace

TEMPLATE_TEST_CASE("a thread has fibers of its own, which stay on it", "[threads]", posted, dispatched) {
  std::atomic<int> elsewhere{0};
  on_threads(3, [&](int) {
    auto const here = std::this_thread::get_id();
    std::vector<fibers::fiber> many;
    for (int i = 0; i < 5; ++i) {
      many.push_back(start<TestType>([&] {
        for (int n = 0; n < 5; ++n) {
          if (std::this_thread::get_id() != here) ++elsewhere;
          this_fiber::yield();
        }
      }));
    }
    for (auto& f : many) f.join();
  });
  CHECK(elsewhere == 0);
}

TEMPLATE_TEST_CASE("a thread ends when its detached fibers have", "[threads]", posted, dispatched) {
  std::atomic<int> ended{0};
  std::thread([&ended] {
    for (int i = 0; i < 3; ++i) {
      start<TestType>([&ended, i] {
        for (int n = 0; n <= i; ++n) this_fiber::yield();
        this_fiber::sleep_for(1ms);
        ++ended;
      }).detach();
    }
  }).join();
  CHECK(ended == 3);
}

TEST_CASE("threads have ids, contexts and values of their own", "[threads]") {
  fibers::fiber_specific_ptr<int> p;
  p.reset(new int(1));
  auto const main_id = this_fiber::get_id();
  auto const* const main_context = fibers::context::active();
  bool right = false;
  std::thread([&] {
    right = this_fiber::get_id() != main_id && fibers::context::active() != main_context && p.get() == nullptr;
  }).join();
  CHECK(right);
  CHECK(*p == 1);
}

TEMPLATE_TEST_CASE("fibers of several threads share a mutex", "[threads][mutex]", fibers::mutex, fibers::timed_mutex,
                   fibers::recursive_mutex, fibers::recursive_timed_mutex) {
  TestType m;
  int value = 0;
  on_threads(3, [&](int) {
    std::vector<fibers::fiber> many;
    for (int i = 0; i < 4; ++i) {
      many.emplace_back([&] {
        for (int n = 0; n < 25; ++n) {
          std::lock_guard<TestType> const lock(m);
          int const before = value;
          if (n % 5 == 0) this_fiber::yield();
          value = before + 1;
        }
      });
    }
    for (auto& f : many) f.join();
  });
  CHECK(value == 300);
}

TEST_CASE("threads without fibers share a mutex", "[threads][mutex]") {
  fibers::mutex m;
  int value = 0;
  on_threads(4, [&](int) {
    for (int n = 0; n < 200; ++n) {
      std::lock_guard<fibers::mutex> const lock(m);
      ++value;
    }
  });
  CHECK(value == 800);
}

TEST_CASE("a fiber of one thread notifies those of another", "[threads][cv]") {
  fibers::mutex m;
  fibers::condition_variable c;
  bool ready = false;
  int awake = 0;
  on_threads(2, [&](int thread) {
    if (thread == 1) {
      fibers::fiber([&] {
        std::unique_lock<fibers::mutex> const lock(m);
        ready = true;
        c.notify_all();
      }).join();
      return;
    }
    std::vector<fibers::fiber> many;
    for (int i = 0; i < 3; ++i) {
      many.emplace_back([&] {
        std::unique_lock<fibers::mutex> lock(m);
        c.wait(lock, [&ready] { return ready; });
        ++awake;
      });
    }
    for (auto& f : many) f.join();
  });
  CHECK(awake == 3);
}

TEST_CASE("a plain thread waits for a future of another's fiber", "[threads][future]") {
  fibers::promise<int> p;
  auto f = p.get_future();
  int got = 0;
  on_threads(2, [&](int thread) {
    if (thread == 0) {
      got = f.get();
    } else {
      fibers::fiber([&p] { p.set_value(7); }).join();
    }
  });
  CHECK(got == 7);
}

TEST_CASE("futures go from thread to thread, again and again", "[threads][future]") {
  int right = 0;
  for (int i = 0; i < 50; ++i) {
    fibers::promise<int> p;
    auto f = p.get_future();
    std::thread sets([&p, i] { p.set_value(i); });
    if (f.get() == i) ++right;
    sets.join();
  }
  CHECK(right == 50);
}

TEST_CASE("a buffered channel joins threads", "[threads][channel]") {
  fibers::buffered_channel<int> c(16);
  std::atomic<long> sum{0};
  std::atomic<int> producing{2};
  on_threads(3, [&](int thread) {
    std::vector<fibers::fiber> many;
    for (int i = 0; i < 3; ++i) {
      if (thread == 0) {
        many.emplace_back([&] {
          for (int const value : c) sum += value;
        });
      } else {
        many.emplace_back([&] {
          for (int n = 1; n <= 100; ++n) c.push(n);
        });
      }
    }
    for (auto& f : many) f.join();
    if (thread != 0 && --producing == 0) c.close();
  });
  CHECK(sum == 6 * 5050);
}

TEST_CASE("a barrier joins threads", "[threads][barrier]") {
  fibers::barrier b(4);
  std::atomic<int> told{0};
  on_threads(4, [&](int) {
    for (int i = 0; i < 10; ++i) {
      if (b.wait()) ++told;
    }
  });
  CHECK(told == 10);
}

TEST_CASE("a barrier joins fibers of several threads", "[threads][barrier]") {
  fibers::barrier b(6);
  std::atomic<int> told{0};
  on_threads(2, [&](int) {
    std::vector<fibers::fiber> many;
    for (int f = 0; f < 3; ++f) {
      many.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          if (b.wait()) ++told;
        }
      });
    }
    for (auto& f : many) f.join();
  });
  CHECK(told == 10);
}

TEST_CASE("fibers of several threads have different ids", "[threads]") {
  std::mutex guard;
  std::set<fibers::fiber::id> ids;
  fibers::barrier all(6);
  on_threads(2, [&](int) {
    std::vector<fibers::fiber> many;
    for (int f = 0; f < 3; ++f) {
      many.emplace_back([&] {
        {
          std::lock_guard const lock(guard);
          ids.insert(this_fiber::get_id());
        }
        all.wait();
      });
    }
    for (auto& f : many) f.join();
  });
  CHECK(ids.size() == 6);
}
