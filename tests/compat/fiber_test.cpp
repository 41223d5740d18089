/// @file
/// fiber and this_fiber.

#include "compat/names.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <type_traits>
#include <vector>

namespace {

void add_to(int& sum, int a, int b) { sum += a + b; }

struct counts_copies {
  explicit counts_copies(int& copies_) : copies(&copies_) {}
  counts_copies(counts_copies const& other) : copies(other.copies) { ++*copies; }
  counts_copies(counts_copies&& other) noexcept = default;
  counts_copies& operator=(counts_copies const&) = delete;
  void operator()() const {}
  int* copies;
};

struct move_only {
  explicit move_only(std::unique_ptr<int> value_) : value(std::move(value_)) {}
  void operator()() { *value += 1; }
  std::unique_ptr<int> value;
};

struct thing {
  int value = 3;
  void set(int to) { value = to; }
};

}  // namespace

TEST_CASE("a default fiber is none", "[fiber]") {
  fibers::fiber const f;
  CHECK_FALSE(f.joinable());
  CHECK(f.get_id() == fibers::fiber::id());
}

TEST_CASE("a fiber handle moves and does not copy", "[fiber]") {
  CHECK_FALSE(std::is_copy_constructible_v<fibers::fiber>);
  CHECK_FALSE(std::is_copy_assignable_v<fibers::fiber>);
  CHECK(std::is_nothrow_move_constructible_v<fibers::fiber>);
  CHECK(std::is_nothrow_move_assignable_v<fibers::fiber>);
  CHECK(std::is_nothrow_default_constructible_v<fibers::fiber>);
}

TEMPLATE_TEST_CASE("a function runs as a fiber", "[fiber]", posted, dispatched) {
  int sum = 1;
  auto f = start<TestType>(add_to, std::ref(sum), 2, 3);
  CHECK(f.joinable());
  f.join();
  CHECK(sum == 6);
}

TEMPLATE_TEST_CASE("a function pointer runs as a fiber", "[fiber]", posted, dispatched) {
  int sum = 0;
  start<TestType>(&add_to, std::ref(sum), 20, 3).join();
  CHECK(sum == 23);
}

TEMPLATE_TEST_CASE("a lambda runs as a fiber", "[fiber]", posted, dispatched) {
  bool ran = false;
  start<TestType>([&ran] { ran = true; }).join();
  CHECK(ran);
}

TEMPLATE_TEST_CASE("a std::function runs as a fiber", "[fiber]", posted, dispatched) {
  int value = 0;
  std::function<void(int)> const set = [&value](int to) { value = to; };
  start<TestType>(set, 9).join();
  CHECK(value == 9);
}

TEMPLATE_TEST_CASE("a bound call runs as a fiber", "[fiber]", posted, dispatched) {
  int sum = 0;
  start<TestType>(std::bind(add_to, std::ref(sum), 4, 5)).join();
  CHECK(sum == 9);
}

TEMPLATE_TEST_CASE("a member function runs as a fiber", "[fiber]", posted, dispatched) {
  thing t;
  start<TestType>(&thing::set, &t, 8).join();
  CHECK(t.value == 8);
}

TEMPLATE_TEST_CASE("a callable that only moves runs as a fiber", "[fiber]", posted, dispatched) {
  auto value = std::make_unique<int>(4);
  int const* const seen = value.get();
  int result = 0;
  start<TestType>([owner = move_only(std::move(value)), &result]() mutable {
    owner();
    result = *owner.value;
  }).join();
  CHECK(seen != nullptr);
  CHECK(result == 5);
}

TEMPLATE_TEST_CASE("arguments that only move are moved into the fiber", "[fiber]", posted, dispatched) {
  int result = 0;
  start<TestType>([&result](std::unique_ptr<int> p) { result = *p; }, std::make_unique<int>(7)).join();
  CHECK(result == 7);
}

TEMPLATE_TEST_CASE("an rvalue callable is not copied", "[fiber]", posted, dispatched) {
  int copies = 0;
  start<TestType>(counts_copies(copies)).join();
  CHECK(copies == 0);
}

TEMPLATE_TEST_CASE("an lvalue callable is copied, and stays", "[fiber]", posted, dispatched) {
  int copies = 0;
  counts_copies const f(copies);
  start<TestType>(f).join();
  CHECK(copies >= 1);
  CHECK(f.copies == &copies);
}

TEMPLATE_TEST_CASE("arguments are copied when the fiber is made", "[fiber]", posted, dispatched) {
  int value = 1;
  int seen = 0;
  auto f = start<TestType>(
      [&seen](int v) {
        this_fiber::yield();
        seen = v;
      },
      value);
  value = 2;
  f.join();
  CHECK(seen == 1);
  CHECK(value == 2);
}

TEMPLATE_TEST_CASE("the callable is destroyed before join returns", "[fiber]", posted, dispatched) {
  auto const alive = std::make_shared<int>(1);
  auto f = start<TestType>([alive] { this_fiber::yield(); });
  CHECK(alive.use_count() > 1);
  f.join();
  CHECK(alive.use_count() == 1);
}

TEMPLATE_TEST_CASE("what a fiber returns is dropped", "[fiber]", posted, dispatched) {
  bool ran = false;
  start<TestType>([&ran] {
    ran = true;
    return 5;
  }).join();
  CHECK(ran);
}

TEMPLATE_TEST_CASE("a fiber is joinable until it is joined", "[fiber]", posted, dispatched) {
  auto f = start<TestType>([] {});
  CHECK(f.joinable());
  f.join();
  CHECK_FALSE(f.joinable());
  CHECK(f.get_id() == fibers::fiber::id());
}

TEMPLATE_TEST_CASE("a fiber that has ended is still joinable", "[fiber]", posted, dispatched) {
  bool ended = false;
  auto f = start<TestType>([&ended] { ended = true; });
  for (int i = 0; i < 3; ++i) this_fiber::yield();
  CHECK(ended);
  CHECK(f.joinable());
  CHECK(f.get_id() != fibers::fiber::id());
  f.join();
}

TEMPLATE_TEST_CASE("a detached fiber goes on by itself", "[fiber]", posted, dispatched) {
  bool ended = false;
  auto f = start<TestType>([&ended] {
    this_fiber::yield();
    ended = true;
  });
  f.detach();
  CHECK_FALSE(f.joinable());
  for (int i = 0; i < 5 && !ended; ++i) this_fiber::yield();
  CHECK(ended);
}

TEMPLATE_TEST_CASE("a detached handle has no id", "[fiber]", posted, dispatched) {
  auto f = start<TestType>([] {});
  f.detach();
  CHECK(f.get_id() == fibers::fiber::id());
  this_fiber::yield();
  this_fiber::yield();
}

TEMPLATE_TEST_CASE("a handle that is moved from is empty", "[fiber]", posted, dispatched) {
  auto a = start<TestType>([] { this_fiber::yield(); });
  auto const id = a.get_id();
  fibers::fiber b(std::move(a));
  CHECK_FALSE(a.joinable());  // NOLINT
  CHECK(b.joinable());
  CHECK(b.get_id() == id);
  b.join();
}

TEMPLATE_TEST_CASE("a handle is assigned by a move", "[fiber]", posted, dispatched) {
  auto a = start<TestType>([] { this_fiber::yield(); });
  auto const id = a.get_id();
  fibers::fiber b;
  b = std::move(a);
  CHECK_FALSE(a.joinable());  // NOLINT
  CHECK(b.get_id() == id);
  b.join();
}

TEMPLATE_TEST_CASE("a joined handle can be used again", "[fiber]", posted, dispatched) {
  int runs = 0;
  auto f = start<TestType>([&runs] { ++runs; });
  f.join();
  f = start<TestType>([&runs] { ++runs; });
  f.join();
  CHECK(runs == 2);
}

TEMPLATE_TEST_CASE("handles swap", "[fiber]", posted, dispatched) {
  auto a = start<TestType>([] {});
  auto b = start<TestType>([] {});
  auto const id_a = a.get_id();
  auto const id_b = b.get_id();
  a.swap(b);
  CHECK(a.get_id() == id_b);
  CHECK(b.get_id() == id_a);
  using std::swap;
  swap(a, b);
  CHECK(a.get_id() == id_a);
  CHECK(b.get_id() == id_b);
  a.join();
  b.join();
}

TEMPLATE_TEST_CASE("a full handle swaps with an empty one", "[fiber]", posted, dispatched) {
  auto a = start<TestType>([] {});
  fibers::fiber b;
  b.swap(a);
  CHECK_FALSE(a.joinable());
  CHECK(b.joinable());
  b.join();
}

TEMPLATE_TEST_CASE("a fiber's id is the same from the inside and the outside", "[fiber][id]", posted, dispatched) {
  fibers::fiber::id inside;
  auto f = start<TestType>([&inside] { inside = this_fiber::get_id(); });
  auto const outside = f.get_id();
  f.join();
  CHECK(inside == outside);
  CHECK(inside != fibers::fiber::id());
}

TEMPLATE_TEST_CASE("a fiber's id stays the same over waits", "[fiber][id]", posted, dispatched) {
  bool same = true;
  start<TestType>([&same] {
    auto const id = this_fiber::get_id();
    for (int i = 0; i < 5; ++i) {
      this_fiber::yield();
      same = same && this_fiber::get_id() == id;
    }
  }).join();
  CHECK(same);
}

TEST_CASE("the main fiber has an id, which stays", "[fiber][id]") {
  auto const id = this_fiber::get_id();
  CHECK(id != fibers::fiber::id());
  fibers::fiber([] {}).join();
  this_fiber::yield();
  CHECK(this_fiber::get_id() == id);
}

TEMPLATE_TEST_CASE("fibers that live at the same time have different ids", "[fiber][id]", posted, dispatched) {
  std::vector<fibers::fiber> many;
  std::set<fibers::fiber::id> ids{this_fiber::get_id()};
  for (int i = 0; i < 20; ++i) many.push_back(start<TestType>([] { this_fiber::yield(); }));
  for (auto const& f : many) ids.insert(f.get_id());
  CHECK(ids.size() == 21);
  for (auto& f : many) f.join();
}

TEST_CASE("ids are ordered", "[fiber][id]") {
  fibers::fiber a([] {});
  fibers::fiber b([] {});
  auto const x = a.get_id();
  auto const y = b.get_id();
  CHECK(x == x);
  CHECK(x != y);
  CHECK((x < y) != (y < x));
  CHECK((x < y) == (y > x));
  CHECK((x <= y) == !(y < x));
  CHECK((x >= y) == !(x < y));
  CHECK((a < b) == (x < y));
  a.join();
  b.join();
}

TEST_CASE("an id says whether it is one", "[fiber][id]") {
  fibers::fiber::id const none;
  CHECK_FALSE(static_cast<bool>(none));
  CHECK(!none);
  CHECK(static_cast<bool>(this_fiber::get_id()));
}

TEST_CASE("an id that is none is written as such", "[fiber][id]") {
  std::ostringstream text;
  text << fibers::fiber::id();
  CHECK(text.str() == "{not-valid}");
}

TEST_CASE("an id that is one is written as something", "[fiber][id]") {
  std::ostringstream text;
  text << this_fiber::get_id();
  CHECK_FALSE(text.str().empty());
  CHECK(text.str() != "{not-valid}");
}

TEST_CASE("ids are keys of a map", "[fiber][id]") {
  std::map<fibers::fiber::id, int> numbers;
  numbers[this_fiber::get_id()] = 1;
  fibers::fiber([&numbers] { numbers[this_fiber::get_id()] = 2; }).join();
  CHECK(numbers.size() == 2);
  CHECK(numbers.at(this_fiber::get_id()) == 1);
}

TEMPLATE_TEST_CASE("the active context is the fiber's own", "[context]", posted, dispatched) {
  auto const* const here = fibers::context::active();
  fibers::context const* inside = nullptr;
  bool same_id = false;
  bool equal = false;
  auto f = start<TestType>([&] {
    inside = fibers::context::active();
    same_id = fibers::context::active()->get_id() == this_fiber::get_id();
    this_fiber::yield();
    equal = *inside == *fibers::context::active();
  });
  f.join();
  CHECK(inside != here);
  CHECK(inside != nullptr);
  CHECK(same_id);
  CHECK(equal);
  CHECK(fibers::context::active() == here);
}

TEST_CASE("the main fiber has a context", "[context]") {
  auto const* const here = fibers::context::active();
  REQUIRE(here != nullptr);
  CHECK(here->get_id() == this_fiber::get_id());
  this_fiber::yield();
  CHECK(fibers::context::active() == here);
}

TEST_CASE("joining what is no fiber is an error", "[fiber][errors]") {
  fibers::fiber f;
  CHECK_THROWS_AS(f.join(), fibers::fiber_error);
  CHECK(error_of([&f] { f.join(); }) == number(std::errc::invalid_argument));
}

TEST_CASE("detaching what is no fiber is an error", "[fiber][errors]") {
  fibers::fiber f;
  CHECK_THROWS_AS(f.detach(), fibers::fiber_error);
  CHECK(error_of([&f] { f.detach(); }) == number(std::errc::invalid_argument));
}

TEMPLATE_TEST_CASE("joining twice is an error", "[fiber][errors]", posted, dispatched) {
  auto f = start<TestType>([] {});
  f.join();
  CHECK(error_of([&f] { f.join(); }) == number(std::errc::invalid_argument));
}

TEMPLATE_TEST_CASE("joining after detaching is an error", "[fiber][errors]", posted, dispatched) {
  auto f = start<TestType>([] {});
  f.detach();
  CHECK(error_of([&f] { f.join(); }) == number(std::errc::invalid_argument));
  this_fiber::yield();
  this_fiber::yield();
}

TEMPLATE_TEST_CASE("a fiber that joins itself is told so", "[fiber][errors]", posted, dispatched) {
  fibers::fiber f;
  int error = 0;
  f = start<TestType>([&] {
    this_fiber::yield();  // until the handle is there
    error = error_of([&f] { f.join(); });
  });
  f.join();
  CHECK(error == number(std::errc::resource_deadlock_would_occur));
}

TEMPLATE_TEST_CASE("fibers make fibers", "[fiber]", posted, dispatched) {
  int depth = 0;
  std::function<void(int)> const descend = [&](int left) {
    ++depth;
    if (left > 0) start<TestType>(descend, left - 1).join();
  };
  start<TestType>(descend, 10).join();
  CHECK(depth == 11);
}

TEMPLATE_TEST_CASE("many fibers end", "[fiber]", posted, dispatched) {
  int ended = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 200; ++i) {
    many.push_back(start<TestType>([&ended, i] {
      for (int n = 0; n < i % 5; ++n) this_fiber::yield();
      ++ended;
    }));
  }
  for (auto& f : many) f.join();
  CHECK(ended == 200);
}

TEMPLATE_TEST_CASE("fibers are joined in any order", "[fiber]", posted, dispatched) {
  int ended = 0;
  std::vector<fibers::fiber> many;
  for (int i = 0; i < 20; ++i) {
    many.push_back(start<TestType>([&ended] {
      this_fiber::yield();
      ++ended;
    }));
  }
  for (std::size_t i = many.size(); i > 0; --i) many[i - 1].join();
  CHECK(ended == 20);
}

TEMPLATE_TEST_CASE("a fiber catches its own exceptions over waits", "[fiber]", posted, dispatched) {
  trace t;
  auto f = start<TestType>([&t] {
    try {
      this_fiber::yield();
      throw std::runtime_error("mine");
    } catch (std::runtime_error const& e) {
      t(e.what());
    }
  });
  start<TestType>([] { this_fiber::yield(); }).join();
  f.join();
  CHECK(t.words() == "mine");
}

TEMPLATE_TEST_CASE("a fiber's stack size may be named", "[fiber][stacks]", posted, dispatched) {
  int sum = 0;
  fibers::fiber(TestType::policy, std::allocator_arg, fibers::fixedsize_stack(64 * 1024), add_to, std::ref(sum), 1, 2)
      .join();
  fibers::fiber(TestType::policy, std::allocator_arg, fibers::protected_fixedsize_stack(64 * 1024), add_to,
                std::ref(sum), 1, 2)
      .join();
  fibers::fiber(TestType::policy, std::allocator_arg, fibers::pooled_fixedsize_stack(64 * 1024), add_to, std::ref(sum),
                1, 2)
      .join();
  fibers::fiber(TestType::policy, std::allocator_arg, fibers::default_stack(), add_to, std::ref(sum), 1, 2).join();
  CHECK(sum == 12);
}

TEST_CASE("a stack allocator needs no launch policy", "[fiber][stacks]") {
  int sum = 0;
  fibers::fixedsize_stack stacks(128 * 1024);
  fibers::fiber(std::allocator_arg, stacks, add_to, std::ref(sum), 1, 2).join();
  fibers::fiber(std::allocator_arg, stacks, [&sum] { ++sum; }).join();
  CHECK(sum == 4);
}

TEMPLATE_TEST_CASE("sleep_for takes at least as long", "[fiber][time]", posted, dispatched) {
  auto const began = std::chrono::steady_clock::now();
  start<TestType>([] { this_fiber::sleep_for(2ms); }).join();
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
}

TEMPLATE_TEST_CASE("sleep_until does not return before", "[fiber][time]", posted, dispatched) {
  auto const until = std::chrono::steady_clock::now() + 2ms;
  start<TestType>([until] { this_fiber::sleep_until(until); }).join();
  CHECK(std::chrono::steady_clock::now() >= until);
}

TEMPLATE_TEST_CASE("sleep_until takes the system's clock", "[fiber][time]", posted, dispatched) {
  bool woke = false;
  start<TestType>([&woke] {
    this_fiber::sleep_until(std::chrono::system_clock::now() + 1ms);
    woke = true;
  }).join();
  CHECK(woke);
}

TEMPLATE_TEST_CASE("while one sleeps, another runs", "[fiber][time]", posted, dispatched) {
  trace t;
  auto sleeper = start<TestType>([&t] {
    this_fiber::sleep_for(5ms);
    t("sleeper");
  });
  auto runner = start<TestType>([&t] { t("runner"); });
  runner.join();
  CHECK(t.words() == "runner");
  sleeper.join();
  CHECK(t.words() == "runner sleeper");
}

TEST_CASE("the main fiber sleeps while others run", "[fiber][time]") {
  bool ran = false;
  fibers::fiber f([&ran] { ran = true; });
  auto const began = std::chrono::steady_clock::now();
  this_fiber::sleep_for(2ms);
  CHECK(std::chrono::steady_clock::now() - began >= 2ms);
  CHECK(ran);
  f.join();
}

TEMPLATE_TEST_CASE("a sleep of no length returns", "[fiber][time]", posted, dispatched) {
  bool woke = false;
  start<TestType>([&woke] {
    this_fiber::sleep_for(0ms);
    this_fiber::sleep_for(-5ms);
    this_fiber::sleep_until(std::chrono::steady_clock::now() - 1s);
    woke = true;
  }).join();
  CHECK(woke);
}
