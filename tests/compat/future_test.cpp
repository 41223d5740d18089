/// @file
/// promise, future and shared_future.

#include "compat/names.hpp"
#include "compat/results.hpp"

#include <type_traits>
#include <vector>

// --- promise

TEMPLATE_TEST_CASE("a promise moves and does not copy", "[promise]", EVERY_RESULT) {
  using promise = fibers::promise<TestType>;
  CHECK(std::is_default_constructible_v<promise>);
  CHECK(std::is_move_constructible_v<promise>);
  CHECK(std::is_move_assignable_v<promise>);
  CHECK_FALSE(std::is_copy_constructible_v<promise>);
  CHECK_FALSE(std::is_copy_assignable_v<promise>);
}

TEMPLATE_TEST_CASE("a promise's value comes to its future", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  sample<TestType>::set(p);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a future may be fetched after the value was set", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  sample<TestType>::set(p);
  auto f = p.get_future();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a promise's exception comes to its future", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  p.set_exception(some_error());
  CHECK(throws_some_error([&f] { (void)f.get(); }));
}

TEMPLATE_TEST_CASE("a promise gives its future once", "[promise][errors]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto const f = p.get_future();
  CHECK(f.valid());
  CHECK_THROWS_AS(p.get_future(), fibers::future_already_retrieved);
  CHECK(error_of([&p] { (void)p.get_future(); }) == number(fibers::future_errc::future_already_retrieved));
}

TEMPLATE_TEST_CASE("a promise is satisfied once", "[promise][errors]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  sample<TestType>::set(p);
  CHECK_THROWS_AS(sample<TestType>::set(p), fibers::promise_already_satisfied);
  CHECK_THROWS_AS(p.set_exception(some_error()), fibers::promise_already_satisfied);
  auto f = p.get_future();
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a promise with an exception takes no value", "[promise][errors]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  p.set_exception(some_error());
  CHECK_THROWS_AS(sample<TestType>::set(p), fibers::promise_already_satisfied);
  CHECK(error_of([&p] { sample<TestType>::set(p); }) == number(fibers::future_errc::promise_already_satisfied));
  auto f = p.get_future();
  CHECK(throws_some_error([&f] { (void)f.get(); }));
}

TEMPLATE_TEST_CASE("a promise that dies without a value is broken", "[promise][errors]", EVERY_RESULT) {
  fibers::future<TestType> f;
  {
    fibers::promise<TestType> p;
    f = p.get_future();
    CHECK(f.wait_for(0ms) == fibers::future_status::timeout);
  }
  CHECK(f.wait_for(0ms) == fibers::future_status::ready);
  CHECK_THROWS_AS(f.get(), fibers::broken_promise);
}

TEMPLATE_TEST_CASE("a promise that dies with a value is not broken", "[promise]", EVERY_RESULT) {
  fibers::future<TestType> f;
  {
    fibers::promise<TestType> p;
    f = p.get_future();
    sample<TestType>::set(p);
  }
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a moved promise keeps its future", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> a;
  auto f = a.get_future();
  fibers::promise<TestType> b(std::move(a));
  sample<TestType>::set(b);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a promise that was moved from is none", "[promise][errors]", EVERY_RESULT) {
  fibers::promise<TestType> a;
  fibers::promise<TestType> const b(std::move(a));
  CHECK_THROWS_AS(a.get_future(), fibers::promise_uninitialized);            // NOLINT
  CHECK_THROWS_AS(sample<TestType>::set(a), fibers::promise_uninitialized);  // NOLINT
  CHECK_THROWS_AS(a.set_exception(some_error()), fibers::promise_uninitialized);
  CHECK(error_of([&a] { (void)a.get_future(); }) == number(fibers::future_errc::no_state));
}

TEMPLATE_TEST_CASE("a promise is assigned by a move", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> a;
  auto f = a.get_future();
  fibers::promise<TestType> b;
  b = std::move(a);
  sample<TestType>::set(b);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a promise that is assigned to is broken", "[promise][errors]", EVERY_RESULT) {
  fibers::promise<TestType> a;
  auto f = a.get_future();
  a = fibers::promise<TestType>();
  CHECK_THROWS_AS(f.get(), fibers::broken_promise);
}

TEMPLATE_TEST_CASE("promises swap", "[promise]", EVERY_RESULT) {
  fibers::promise<TestType> a;
  fibers::promise<TestType> b;
  auto f = a.get_future();
  a.swap(b);
  sample<TestType>::set(b);
  CHECK(sample<TestType>::got(f));
  using std::swap;
  swap(a, b);
  CHECK_THROWS_AS(a.get_future(), fibers::future_already_retrieved);
  CHECK_NOTHROW((void)b.get_future());
}

TEMPLATE_TEST_CASE("a promise takes an allocator", "[promise]", EVERY_RESULT) {
  int allocated = 0;
  {
    fibers::promise<TestType> p(std::allocator_arg, counting_allocator<char>(allocated));
    CHECK(allocated == 1);
    auto f = p.get_future();
    sample<TestType>::set(p);
    CHECK(sample<TestType>::got(f));
  }
  CHECK(allocated == 0);
}

// --- future

TEMPLATE_TEST_CASE("a future moves and does not copy", "[future]", EVERY_RESULT) {
  using future = fibers::future<TestType>;
  CHECK(std::is_default_constructible_v<future>);
  CHECK(std::is_nothrow_move_constructible_v<future>);
  CHECK(std::is_nothrow_move_assignable_v<future>);
  CHECK_FALSE(std::is_copy_constructible_v<future>);
  CHECK_FALSE(std::is_copy_assignable_v<future>);
}

TEMPLATE_TEST_CASE("a future that is none says so", "[future][errors]", EVERY_RESULT) {
  fibers::future<TestType> f;
  CHECK_FALSE(f.valid());
  CHECK_THROWS_AS(f.get(), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait(), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait_for(1ms), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait_until(std::chrono::steady_clock::now()), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.get_exception_ptr(), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.share(), fibers::future_uninitialized);
  CHECK(error_of([&f] { f.wait(); }) == number(fibers::future_errc::no_state));
}

TEMPLATE_TEST_CASE("a future is valid until its value is got", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  sample<TestType>::set(p);
  f.wait();
  CHECK(f.valid());
  CHECK(sample<TestType>::got(f));
  CHECK_FALSE(f.valid());
  CHECK_THROWS_AS(f.get(), fibers::future_uninitialized);
}

TEMPLATE_TEST_CASE("a future is not valid after its exception", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  p.set_exception(some_error());
  CHECK(f.valid());
  CHECK(throws_some_error([&f] { (void)f.get(); }));
  CHECK_FALSE(f.valid());
}

TEMPLATE_TEST_CASE("a future moves", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto a = p.get_future();
  fibers::future<TestType> b(std::move(a));
  CHECK_FALSE(a.valid());  // NOLINT
  CHECK(b.valid());
  a = std::move(b);
  CHECK(a.valid());
  CHECK_FALSE(b.valid());  // NOLINT
  sample<TestType>::set(p);
  CHECK(sample<TestType>::got(a));
}

TEMPLATE_TEST_CASE("get waits for the value", "[future]", EVERY_RESULT) {
  trace t;
  fibers::promise<TestType> p;
  auto f = p.get_future();
  fibers::fiber waits([&] { t(sample<TestType>::got(f) ? "got" : "wrong"); });
  this_fiber::yield();
  t("main");
  sample<TestType>::set(p);
  waits.join();
  CHECK(t.words() == "main got");
}

TEMPLATE_TEST_CASE("the main fiber waits for a value", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  fibers::fiber sets([&] {
    this_fiber::yield();
    sample<TestType>::set(p);
  });
  CHECK(sample<TestType>::got(f));
  sets.join();
}

TEMPLATE_TEST_CASE("a fiber sets what another gets", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  bool right = false;
  fibers::fiber gets(fibers::launch::dispatch,
                     [&right, f = p.get_future()]() mutable { right = sample<TestType>::got(f); });
  fibers::fiber sets(fibers::launch::dispatch, [p = std::move(p)]() mutable { sample<TestType>::set(p); });
  gets.join();
  sets.join();
  CHECK(right);
}

TEMPLATE_TEST_CASE("wait waits, any number of times", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  fibers::fiber sets([&] { sample<TestType>::set(p); });
  f.wait();
  f.wait();
  CHECK(f.valid());
  CHECK(sample<TestType>::got(f));
  sets.join();
}

TEMPLATE_TEST_CASE("wait does not throw what get throws", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  p.set_exception(some_error());
  CHECK_NOTHROW(f.wait());
  CHECK(f.wait_for(long_time) == fibers::future_status::ready);
  CHECK(throws_some_error([&f] { (void)f.get(); }));
}

TEMPLATE_TEST_CASE("wait_for gives up", "[future][time]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto const f = p.get_future();
  auto const began = std::chrono::steady_clock::now();
  CHECK(f.wait_for(2ms) == fibers::future_status::timeout);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  CHECK(f.valid());
}

TEMPLATE_TEST_CASE("wait_until gives up", "[future][time]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto const f = p.get_future();
  CHECK(f.wait_until(std::chrono::steady_clock::now() + 1ms) == fibers::future_status::timeout);
  CHECK(f.wait_until(std::chrono::system_clock::now() + 1ms) == fibers::future_status::timeout);
}

TEMPLATE_TEST_CASE("a timed wait gets the value that comes in time", "[future][time]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  auto first = fibers::future_status::timeout;
  auto second = fibers::future_status::timeout;
  fibers::fiber waits([&] {
    first = f.wait_for(long_time);
    second = f.wait_until(std::chrono::steady_clock::now() + long_time);
  });
  this_fiber::yield();
  sample<TestType>::set(p);
  waits.join();
  CHECK(first == fibers::future_status::ready);
  CHECK(second == fibers::future_status::ready);
}

TEMPLATE_TEST_CASE("get_exception_ptr is null for a value", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  sample<TestType>::set(p);
  CHECK(f.get_exception_ptr() == nullptr);
  CHECK(f.valid());
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("get_exception_ptr waits for the exception", "[future]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  fibers::fiber sets([&] { p.set_exception(some_error()); });
  auto const error = f.get_exception_ptr();
  REQUIRE(error != nullptr);
  CHECK(throws_some_error([&error] { std::rethrow_exception(error); }));
  CHECK(f.valid());
  sets.join();
}

TEMPLATE_TEST_CASE("a broken promise wakes who waits", "[future][errors]", EVERY_RESULT) {
  fibers::promise<TestType> p;
  int error = 0;
  fibers::fiber waits([&error, f = p.get_future()]() mutable { error = error_of([&f] { (void)f.get(); }); });
  this_fiber::yield();
  p = fibers::promise<TestType>();
  waits.join();
  CHECK(error == number(fibers::future_errc::broken_promise));
}

// --- shared_future

TEMPLATE_TEST_CASE("a shared future copies and moves", "[shared_future]", SHARED_RESULTS) {
  using shared = fibers::shared_future<TestType>;
  CHECK(std::is_default_constructible_v<shared>);
  CHECK(std::is_copy_constructible_v<shared>);
  CHECK(std::is_copy_assignable_v<shared>);
  CHECK(std::is_nothrow_move_constructible_v<shared>);
  CHECK(std::is_constructible_v<shared, fibers::future<TestType>>);
}

TEMPLATE_TEST_CASE("a shared future that is none says so", "[shared_future][errors]", SHARED_RESULTS) {
  fibers::shared_future<TestType> f;
  CHECK_FALSE(f.valid());
  CHECK_THROWS_AS(f.get(), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait(), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait_for(1ms), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.wait_until(std::chrono::steady_clock::now()), fibers::future_uninitialized);
  CHECK_THROWS_AS(f.get_exception_ptr(), fibers::future_uninitialized);
}

TEMPLATE_TEST_CASE("share makes a shared future, and leaves none", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  auto f = p.get_future();
  fibers::shared_future<TestType> const shared = f.share();
  CHECK_FALSE(f.valid());
  CHECK(shared.valid());
  sample<TestType>::set(p);
  CHECK(sample<TestType>::got(shared));
}

TEMPLATE_TEST_CASE("a shared future is made and assigned from a future", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::promise<TestType> q;
  fibers::shared_future<TestType> f(p.get_future());
  CHECK(f.valid());
  f = q.get_future();
  sample<TestType>::set(q);
  CHECK(sample<TestType>::got(f));
}

TEMPLATE_TEST_CASE("a shared future's value is got again and again", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> f(p.get_future());
  sample<TestType>::set(p);
  for (int i = 0; i < 3; ++i) CHECK(sample<TestType>::got(f));
  CHECK(f.valid());
}

TEMPLATE_TEST_CASE("a shared future's exception is thrown again and again", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> const f(p.get_future());
  p.set_exception(some_error());
  for (int i = 0; i < 3; ++i) CHECK(throws_some_error([&f] { (void)f.get(); }));
  CHECK(f.valid());
}

TEMPLATE_TEST_CASE("copies of a shared future share the value", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> const a(p.get_future());
  fibers::shared_future<TestType> b(a);  // NOLINT
  fibers::shared_future<TestType> c;
  c = a;
  CHECK(a.valid());
  sample<TestType>::set(p);
  CHECK(sample<TestType>::got(a));
  CHECK(sample<TestType>::got(b));
  CHECK(sample<TestType>::got(c));
}

TEMPLATE_TEST_CASE("a shared future that is moved from is none", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> a(p.get_future());
  fibers::shared_future<TestType> b(std::move(a));
  CHECK_FALSE(a.valid());  // NOLINT
  a = std::move(b);
  CHECK(a.valid());
  CHECK_FALSE(b.valid());  // NOLINT
}

TEMPLATE_TEST_CASE("many fibers wait for one shared future", "[shared_future]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> const f(p.get_future());
  int right = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 5; ++i) {
    many.emplace_back([&right, mine = f] {
      if (sample<TestType>::got(mine)) ++right;
    });
  }
  this_fiber::yield();
  CHECK(right == 0);
  sample<TestType>::set(p);
  for (auto& m : many) m.join();
  CHECK(right == 5);
}

TEMPLATE_TEST_CASE("a shared future's timed waits", "[shared_future][time]", SHARED_RESULTS) {
  fibers::promise<TestType> p;
  fibers::shared_future<TestType> const f(p.get_future());
  CHECK(f.wait_for(1ms) == fibers::future_status::timeout);
  CHECK(f.wait_until(std::chrono::steady_clock::now() + 1ms) == fibers::future_status::timeout);
  sample<TestType>::set(p);
  f.wait();
  CHECK(f.wait_for(0ms) == fibers::future_status::ready);
  CHECK(f.wait_until(std::chrono::steady_clock::now() + long_time) == fibers::future_status::ready);
}

TEMPLATE_TEST_CASE("a broken promise comes to all shared futures", "[shared_future][errors]", SHARED_RESULTS) {
  fibers::shared_future<TestType> a;
  {
    fibers::promise<TestType> p;
    a = p.get_future();
  }
  fibers::shared_future<TestType> const b(a);
  CHECK_THROWS_AS(a.get(), fibers::broken_promise);
  CHECK_THROWS_AS(b.get(), fibers::broken_promise);
}

TEST_CASE("a shared future hands out one object", "[shared_future]") {
  fibers::promise<std::string> p;
  fibers::shared_future<std::string> const a(p.get_future());
  fibers::shared_future<std::string> const b(a);
  p.set_value("x");
  CHECK(&a.get() == &b.get());
  CHECK(std::is_same_v<decltype(a.get()), std::string const&>);
}

TEST_CASE("the value dies with the last who may get it", "[future]") {
  auto const alive = std::make_shared<int>(1);
  {
    fibers::promise<std::shared_ptr<int>> p;
    auto f = p.get_future();
    p.set_value(alive);
    CHECK(alive.use_count() == 2);
  }
  CHECK(alive.use_count() == 1);
}
