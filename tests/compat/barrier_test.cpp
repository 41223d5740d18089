/// @file
/// barrier.

#include "compat/names.hpp"

#include <type_traits>
#include <vector>

TEST_CASE("a barrier for nobody is an error", "[barrier][errors]") {
  CHECK_THROWS_AS(fibers::barrier(0), fibers::fiber_error);
  CHECK(error_of([] { fibers::barrier const b(0); }) == number(std::errc::invalid_argument));
}

TEST_CASE("a barrier neither copies nor moves", "[barrier]") {
  CHECK_FALSE(std::is_copy_constructible_v<fibers::barrier>);
  CHECK_FALSE(std::is_copy_assignable_v<fibers::barrier>);
}

TEST_CASE("a barrier for one never waits", "[barrier]") {
  fibers::barrier b(1);
  for (int i = 0; i < 3; ++i) CHECK(b.wait());
}

TEMPLATE_TEST_CASE("nobody passes a barrier before all have come", "[barrier]", posted, dispatched) {
  fibers::barrier b(4);
  int before = 0;
  int least = 4;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(start<TestType>([&, i] {
      for (int n = 0; n < i; ++n) this_fiber::yield();
      ++before;
      b.wait();
      least = std::min(least, before);
    }));
  }
  for (auto& f : many) f.join();
  CHECK(least == 4);
}

TEMPLATE_TEST_CASE("a barrier says true to one of them", "[barrier]", posted, dispatched) {
  fibers::barrier b(5);
  int told = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 5; ++i) {
    many.push_back(start<TestType>([&] {
      if (b.wait()) ++told;
    }));
  }
  for (auto& f : many) f.join();
  CHECK(told == 1);
}

TEMPLATE_TEST_CASE("a barrier is used again and again", "[barrier]", posted, dispatched) {
  fibers::barrier b(3);
  int told = 0;
  std::vector<int> round(3, 0);
  bool together = true;
  std::vector<fibers::fiber> many;
  for (std::size_t i = 0; i < 3; ++i) {
    many.push_back(start<TestType>([&, i] {
      for (int n = 1; n <= 10; ++n) {
        round[i] = n;
        if (b.wait()) ++told;
        for (int const r : round) together = together && r >= n && r <= n + 1;
      }
    }));
  }
  for (auto& f : many) f.join();
  CHECK(told == 10);
  CHECK(together);
}

TEMPLATE_TEST_CASE("the main fiber comes to a barrier, too", "[barrier]", posted, dispatched) {
  trace t;
  fibers::barrier b(2);
  auto f = start<TestType>([&] {
    t("fiber");
    b.wait();
  });
  b.wait();
  t("main");
  f.join();
  CHECK(t.words() == "fiber main");
}

TEST_CASE("the one who comes last is told", "[barrier]") {
  fibers::barrier b(2);
  bool fiber_told = true;
  fibers::fiber f([&] { fiber_told = b.wait(); });
  this_fiber::yield();
  CHECK(b.wait());
  f.join();
  CHECK_FALSE(fiber_told);
}
