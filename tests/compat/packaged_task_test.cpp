/// @file
/// packaged_task and async.

#include "compat/names.hpp"
#include "compat/results.hpp"

#include <functional>
#include <type_traits>
#include <vector>

namespace {

int twice(int x) { return 2 * x; }

[[noreturn]] int fails() { std::rethrow_exception(some_error()); }

}  // namespace

// --- packaged_task

TEST_CASE("a packaged task moves and does not copy", "[packaged_task]") {
  using task = fibers::packaged_task<int()>;
  CHECK(std::is_nothrow_move_constructible_v<task>);
  CHECK(std::is_nothrow_move_assignable_v<task>);
  CHECK_FALSE(std::is_copy_constructible_v<task>);
  CHECK_FALSE(std::is_copy_assignable_v<task>);
}

TEST_CASE("a packaged task without a task says so", "[packaged_task][errors]") {
  fibers::packaged_task<int()> t;
  CHECK_FALSE(t.valid());
  CHECK_THROWS_AS(t.get_future(), fibers::packaged_task_uninitialized);
  CHECK_THROWS_AS(t(), fibers::packaged_task_uninitialized);
  CHECK_THROWS_AS(t.reset(), fibers::packaged_task_uninitialized);
  CHECK(error_of([&t] { t(); }) == number(fibers::future_errc::no_state));
}

TEMPLATE_TEST_CASE("what a task returns comes to its future", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  CHECK(t.valid());
  auto f = t.get_future();
  CHECK(f.wait_for(0ms) == fibers::future_status::timeout);
  t();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a task's future may be fetched after it ran", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  t();
  auto f = t.get_future();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("what a task throws comes to its future", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t([]() -> TestType { std::rethrow_exception(some_error()); });
  auto f = t.get_future();
  CHECK_NOTHROW(t());
  CHECK(throws_some_error([&f] { (void)f.get(); }));
}

TEMPLATE_TEST_CASE("a task gives its future once", "[packaged_task][errors]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  auto const f = t.get_future();
  CHECK_THROWS_AS(t.get_future(), fibers::future_already_retrieved);
  CHECK(error_of([&t] { (void)t.get_future(); }) == number(fibers::future_errc::future_already_retrieved));
}

TEMPLATE_TEST_CASE("a task runs once", "[packaged_task][errors]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  auto f = t.get_future();
  t();
  CHECK_THROWS_AS(t(), fibers::promise_already_satisfied);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a task that dies without having run breaks its promise", "[packaged_task][errors]", EVERY_RESULT) {
  fibers::future<TestType> f;
  {
    fibers::packaged_task<TestType()> t(sample<TestType>::make);
    f = t.get_future();
  }
  CHECK_THROWS_AS(f.get(), fibers::broken_promise);
}

TEMPLATE_TEST_CASE("a task moves, and leaves none", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> a(sample<TestType>::make);
  auto f = a.get_future();
  fibers::packaged_task<TestType()> b(std::move(a));
  CHECK_FALSE(a.valid());  // NOLINT
  CHECK_THROWS_AS(a.get_future(), fibers::packaged_task_uninitialized);
  fibers::packaged_task<TestType()> c;
  c = std::move(b);
  CHECK_FALSE(b.valid());  // NOLINT
  c();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a task that is assigned to breaks its promise", "[packaged_task][errors]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  auto f = t.get_future();
  t = fibers::packaged_task<TestType()>();
  CHECK_FALSE(t.valid());
  CHECK_THROWS_AS(f.get(), fibers::broken_promise);
}

TEMPLATE_TEST_CASE("tasks swap", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> a(sample<TestType>::make);
  fibers::packaged_task<TestType()> b;
  auto f = a.get_future();
  a.swap(b);
  CHECK_FALSE(a.valid());
  using std::swap;
  swap(a, b);
  CHECK(a.valid());
  CHECK_FALSE(b.valid());
  a();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a task runs again after reset", "[packaged_task]", EVERY_RESULT) {
  fibers::packaged_task<TestType()> t(sample<TestType>::make);
  auto first = t.get_future();
  t();
  t.reset();
  CHECK(t.valid());
  auto second = t.get_future();
  CHECK(second.wait_for(0ms) == fibers::future_status::timeout);
  t();
  CHECK(sample<TestType>::got(first));
  CHECK(sample<TestType>::got(second));
}

TEMPLATE_TEST_CASE("a task takes an allocator", "[packaged_task]", EVERY_RESULT) {
  int allocated = 0;
  {
    fibers::packaged_task<TestType()> t(std::allocator_arg, counting_allocator<char>(allocated),
                                        sample<TestType>::make);
    CHECK(allocated == 1);
    auto f = t.get_future();
    t();
    CHECK(sample<TestType>::got(f));
  }
  CHECK(allocated == 0);
}

TEST_CASE("a task takes arguments", "[packaged_task]") {
  fibers::packaged_task<int(int, int)> t([](int a, int b) { return 10 * a + b; });
  auto f = t.get_future();
  t(4, 2);
  CHECK(f.get() == 42);
}

TEST_CASE("a task takes arguments that only move", "[packaged_task]") {
  fibers::packaged_task<int(std::unique_ptr<int>)> t([](std::unique_ptr<int> p) { return *p; });
  auto f = t.get_future();
  t(std::make_unique<int>(6));
  CHECK(f.get() == 6);
}

TEST_CASE("a task holds a callable that only moves", "[packaged_task]") {
  fibers::packaged_task<int()> t([p = std::make_unique<int>(8)] { return *p; });
  auto f = t.get_future();
  t();
  CHECK(f.get() == 8);
}

TEST_CASE("a task holds a function pointer and a std::function", "[packaged_task]") {
  fibers::packaged_task<int(int)> a(&twice);
  fibers::packaged_task<int(int)> b(std::function<int(int)>{twice});
  auto f = a.get_future();
  auto g = b.get_future();
  a(1);
  b(2);
  CHECK(f.get() == 2);
  CHECK(g.get() == 4);
}

TEMPLATE_TEST_CASE("a task runs as a fiber", "[packaged_task]", posted, dispatched) {
  fibers::packaged_task<int(int)> t(twice);
  auto f = t.get_future();
  auto runs = start<TestType>(std::move(t), 21);
  CHECK(f.get() == 42);
  runs.join();
}

TEMPLATE_TEST_CASE("who waits for a task's future waits for the task", "[packaged_task]", posted, dispatched) {
  trace t;
  fibers::packaged_task<int()> task([&t] {
    this_fiber::yield();
    t("task");
    return 1;
  });
  auto f = task.get_future();
  auto runs = start<TestType>(std::move(task));
  f.wait();
  t("main");
  runs.join();
  CHECK(t.words() == "task main");
}

// --- async

TEMPLATE_TEST_CASE("async returns what the call returns", "[async]", EVERY_RESULT) {
  auto f = fibers::async(sample<TestType>::make);
  CHECK(f.valid());
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a dispatched async returns what the call returns", "[async]", EVERY_RESULT) {
  auto f = fibers::async(fibers::launch::dispatch, sample<TestType>::make);
  CHECK(f.wait_for(long_time) == fibers::future_status::ready);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a posted async returns what the call returns", "[async]", EVERY_RESULT) {
  auto f = fibers::async(fibers::launch::post, sample<TestType>::make);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("async throws what the call throws", "[async]", posted, dispatched) {
  auto f = fibers::async(TestType::policy, fails);
  CHECK(throws_some_error([&f] { (void)f.get(); }));
}

TEMPLATE_TEST_CASE("async passes arguments", "[async]", posted, dispatched) {
  auto f = fibers::async(TestType::policy, [](int a, std::string const& b) { return b + std::to_string(a); }, 4, "x");
  CHECK(f.get() == "x4");
}

TEMPLATE_TEST_CASE("async moves what only moves", "[async]", posted, dispatched) {
  auto f = fibers::async(TestType::policy, [](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(5));
  CHECK(*f.get() == 5);
}

TEMPLATE_TEST_CASE("async takes a stack allocator", "[async]", posted, dispatched) {
  auto f = fibers::async(TestType::policy, std::allocator_arg, fibers::fixedsize_stack(64 * 1024), twice, 4);
  CHECK(f.get() == 8);
}

TEMPLATE_TEST_CASE("async takes a stack allocator and another", "[async]", posted, dispatched) {
  int allocated = 0;
  {
    auto f = fibers::async(TestType::policy, std::allocator_arg, fibers::fixedsize_stack(64 * 1024),
                           counting_allocator<char>(allocated), twice, 4);
    CHECK(allocated == 1);
    CHECK(f.get() == 8);
  }
  this_fiber::yield();
  CHECK(allocated == 0);
}

TEMPLATE_TEST_CASE("a future of async that dies waits for nobody", "[async]", posted, dispatched) {
  trace t;
  {
    auto const f = fibers::async(TestType::policy, [&t] {
      this_fiber::yield();
      t("call");
    });
  }
  t("main");
  for (int i = 0; i < 4; ++i) this_fiber::yield();
  CHECK(t.words() == "main call");
}

TEMPLATE_TEST_CASE("many calls at once", "[async]", posted, dispatched) {
  std::vector<fibers::future<int>> many;
  for (int i = 0; i < 30; ++i) {
    many.push_back(fibers::async(
        TestType::policy,
        [](int x) {
          this_fiber::yield();
          return x;
        },
        i));
  }
  int sum = 0;
  for (auto& f : many) sum += f.get();
  CHECK(sum == 435);
}

TEMPLATE_TEST_CASE("calls make calls", "[async]", posted, dispatched) {
  std::function<int(int)> const sum_to = [&](int n) {
    if (n == 0) return 0;
    return n + fibers::async(TestType::policy, sum_to, n - 1).get();
  };
  CHECK(fibers::async(TestType::policy, sum_to, 10).get() == 55);
}
