/// @file
/// fiber_specific_ptr.

#include "compat/names.hpp"

#include <memory>
#include <type_traits>
#include <vector>

namespace {

int cleanups = 0;
int cleaned = 0;

void clean_up(int* value) {
  if (value == nullptr) return;  // Boost calls it for a pointer that came to lie where a dead one had lain
  ++cleanups;
  cleaned = *value;
  delete value;
}

struct counted {
  explicit counted(int& alive_) : alive(alive_) { ++alive; }
  counted(counted const&) = delete;
  ~counted() { --alive; }
  int& alive;
  int value = 0;
};

}  // namespace

TEST_CASE("a fiber_specific_ptr does not copy", "[fss]") {
  CHECK_FALSE(std::is_copy_constructible_v<fibers::fiber_specific_ptr<int>>);
  CHECK_FALSE(std::is_copy_assignable_v<fibers::fiber_specific_ptr<int>>);
  CHECK(std::is_same_v<fibers::fiber_specific_ptr<int>::element_type, int>);
}

TEST_CASE("a fiber_specific_ptr is null at first", "[fss]") {
  fibers::fiber_specific_ptr<int> p;
  CHECK(p.get() == nullptr);
  bool null = false;
  fibers::fiber([&] { null = p.get() == nullptr; }).join();
  CHECK(null);
}

TEMPLATE_TEST_CASE("each fiber sees its own value", "[fss]", posted, dispatched) {
  fibers::fiber_specific_ptr<int> p;
  p.reset(new int(0));
  bool right = true;
  std::vector<fibers::fiber> many;
  for (int i = 1; i <= 5; ++i) {
    many.push_back(start<TestType>([&, i] {
      right = right && p.get() == nullptr;
      p.reset(new int(i));
      for (int n = 0; n < 3; ++n) {
        this_fiber::yield();
        right = right && *p == i;
      }
    }));
  }
  for (auto& f : many) f.join();
  CHECK(right);
  CHECK(*p == 0);
}

TEMPLATE_TEST_CASE("a value dies with its fiber", "[fss]", posted, dispatched) {
  int alive = 0;
  bool leave = false;
  fibers::fiber_specific_ptr<counted> p;
  auto f = start<TestType>([&] {
    p.reset(new counted(alive));
    while (!leave) this_fiber::yield();
  });
  this_fiber::yield();
  CHECK(alive == 1);
  leave = true;
  f.join();
  this_fiber::yield();
  CHECK(alive == 0);
}

TEMPLATE_TEST_CASE("a value is passed to the function that cleans up", "[fss]", posted, dispatched) {
  cleanups = 0;
  fibers::fiber_specific_ptr<int> p(clean_up);
  auto f = start<TestType>([&] { p.reset(new int(5)); });
  f.join();
  this_fiber::yield();
  CHECK(cleanups == 1);
  CHECK(cleaned == 5);
}

TEST_CASE("a null function cleans nothing up", "[fss]") {
  int value = 3;
  {
    fibers::fiber_specific_ptr<int> p(nullptr);
    p.reset(&value);
    CHECK(*p == 3);
    fibers::fiber([&] { p.reset(&value); }).join();
  }
  CHECK(value == 3);
}

TEST_CASE("reset cleans up what was there", "[fss]") {
  int alive = 0;
  fibers::fiber_specific_ptr<counted> p;
  p.reset(new counted(alive));
  CHECK(alive == 1);
  p.reset(new counted(alive));
  CHECK(alive == 1);
  p.reset(nullptr);
  CHECK(alive == 0);
  CHECK(p.get() == nullptr);
}

TEST_CASE("reset with the same value does nothing", "[fss]") {
  int alive = 0;
  fibers::fiber_specific_ptr<counted> p;
  auto* const value = new counted(alive);
  p.reset(value);
  p.reset(value);
  CHECK(alive == 1);
  CHECK(p.get() == value);
}

TEST_CASE("release gives the value back", "[fss]") {
  int alive = 0;
  fibers::fiber_specific_ptr<counted> p;
  p.reset(new counted(alive));
  std::unique_ptr<counted> const mine(p.release());
  CHECK(alive == 1);
  CHECK(p.get() == nullptr);
}

TEMPLATE_TEST_CASE("what a fiber released is not cleaned up", "[fss]", posted, dispatched) {
  int alive = 0;
  std::unique_ptr<counted> mine;
  {
    fibers::fiber_specific_ptr<counted> p;
    start<TestType>([&] {
      p.reset(new counted(alive));
      mine.reset(p.release());
    }).join();
  }
  CHECK(alive == 1);
  mine.reset();
  CHECK(alive == 0);
}

TEST_CASE("a fiber_specific_ptr is used as a pointer", "[fss]") {
  int alive = 0;
  fibers::fiber_specific_ptr<counted> p;
  p.reset(new counted(alive));
  p->value = 4;
  CHECK((*p).value == 4);
  CHECK(p.get()->value == 4);
}

TEST_CASE("a fiber has several values", "[fss]") {
  fibers::fiber_specific_ptr<int> a;
  fibers::fiber_specific_ptr<int> b;
  fibers::fiber_specific_ptr<std::string> c;
  bool right = false;
  fibers::fiber([&] {
    a.reset(new int(1));
    b.reset(new int(2));
    c.reset(new std::string("three"));
    this_fiber::yield();
    right = *a == 1 && *b == 2 && *c == "three";
  }).join();
  CHECK(right);
  CHECK(a.get() == nullptr);
}

TEST_CASE("the value of who destroys the pointer dies with it", "[fss]") {
  int alive = 0;
  {
    fibers::fiber_specific_ptr<counted> p;
    p.reset(new counted(alive));
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("values outlive the pointer until their fibers end", "[fss]") {
  int alive = 0;
  auto p = std::make_unique<fibers::fiber_specific_ptr<counted>>();
  bool leave = false;
  fibers::fiber f([&] {
    p->reset(new counted(alive));
    while (!leave) this_fiber::yield();
  });
  this_fiber::yield();
  p.reset();
  CHECK(alive == 1);
  leave = true;
  f.join();
  this_fiber::yield();
  CHECK(alive == 0);
}

TEST_CASE("a dispatched fiber does not see its creator's value", "[fss]") {
  fibers::fiber_specific_ptr<int> p;
  bool right = false;
  fibers::fiber([&] {
    p.reset(new int(1));
    bool null = false;
    fibers::fiber(fibers::launch::dispatch, [&] { null = p.get() == nullptr; }).join();
    right = null && *p == 1;
  }).join();
  CHECK(right);
}
