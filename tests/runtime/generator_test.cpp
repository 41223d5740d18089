/// @file
/// generator and collect: a range whose body runs on a stack of its own, as far as it is asked. What its body waits for
/// is in generator_wait_test.cpp.

#include <weft/runtime/generator.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/collect.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>

#include <cfenv>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace weft::test;

namespace {

template <class T>
constexpr bool is_generator_as_promised = std::ranges::input_range<weft::generator<T>> &&
                                          std::ranges::viewable_range<weft::generator<T>> &&
                                          std::ranges::viewable_range<weft::generator<T>&> &&
                                          std::input_iterator<typename weft::generator<T>::iterator> &&
                                          std::default_initializable<weft::generator<T>> &&
                                          std::movable<weft::generator<T>> && !std::copyable<weft::generator<T>> &&
                                          std::is_nothrow_move_constructible_v<weft::generator<T>>;

static_assert(is_generator_as_promised<int>);
static_assert(is_generator_as_promised<std::string&>);
static_assert(is_generator_as_promised<std::string const&>);
static_assert(is_generator_as_promised<std::unique_ptr<int>>);
static_assert(std::same_as<std::ranges::range_reference_t<weft::generator<int>>, int&&>);
static_assert(std::same_as<std::ranges::range_reference_t<weft::generator<int&>>, int&>);
static_assert(std::same_as<std::ranges::range_reference_t<weft::generator<int const&>>, int const&>);
static_assert(std::same_as<std::ranges::range_value_t<weft::generator<int const&>>, int>);

using numbers = std::vector<int>;

/// 0, 1, ... n - 1.
weft::generator<int> count_to(int n) {
  return weft::generator<int>([n](auto& yield) {
    for (int i = 0; i < n; ++i) yield(i);
  });
}

/// Runs `f` on a plain thread, and on fibers of one, two and three workers.
template <class F>
void everywhere(F f) {
  auto const workers = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3});
  if (workers == 0) return f();
  run_on(workers, f);
}

/// Counts itself.
struct counted {
  explicit counted(int& of) : alive(of) { ++alive; }
  counted(counted const&) = delete;
  ~counted() { --alive; }
  int& alive;
};

struct named {
  int number;
};

}  // namespace

TEST_CASE("a generator yields in order, and its body runs only as far as it is asked", "[generator]") {
  everywhere([] {
    numbers ran;
    weft::generator<int> g([&](auto& yield) {
      for (int i = 0; i < 3; ++i) {
        ran.push_back(i);
        yield(10 * i);
      }
      ran.push_back(99);
    });
    verify(ran.empty());
    auto it = g.begin();
    verify(ran == numbers{0});
    verify(*it == 0 && *it == 0);
    ++it;
    verify(ran == numbers{0, 1});
    verify(*it == 10);
    it++;
    verify(*it == 20);
    verify(it != std::default_sentinel);
    ++it;
    verify(it == std::default_sentinel);
    verify(ran == numbers{0, 1, 2, 99});
    verify(g.begin() == g.end());
  });
}

TEST_CASE("a loop that was broken off goes on where it stopped", "[generator]") {
  everywhere([] {
    auto g = count_to(5);
    numbers seen;
    for (int const v : g) {
      seen.push_back(v);
      if (v == 2) break;
    }
    for (int const v : g) seen.push_back(v);
    verify(seen == numbers{0, 1, 2, 2, 3, 4});
  });
}

TEST_CASE("values are passed by reference, and may be moved from", "[generator]") {
  everywhere([] {
    std::string const* where = nullptr;
    weft::generator<std::string> g([&](auto& yield) {
      std::string mine = "a string that is too long for its own little buffer";
      yield(mine);  // a copy
      verify(mine.starts_with("a string"));
      where = &mine;
      yield(std::move(mine));  // itself
      verify(mine.empty());
      yield("a literal");
    });
    auto it = g.begin();
    std::string const first = *it;
    verify(first.starts_with("a string"));
    ++it;
    auto&& second = *it;
    verify(&second == where);
    std::string const taken = std::move(second);
    ++it;
    verify(*it == "a literal");
    ++it;
    verify(it == g.end());
  });
}

TEST_CASE("a generator of references yields the objects themselves", "[generator]") {
  everywhere([] {
    numbers values{1, 2, 3};
    weft::generator<int&> writable([&](auto& yield) {
      for (int& v : values) yield(v);
    });
    for (int& v : writable) v *= 2;
    verify(values == numbers{2, 4, 6});
    weft::generator<int const&> readable([&](auto& yield) {
      for (int const& v : values) yield(v);
      yield(7);
    });
    auto it = readable.begin();
    verify(&*it == values.data());
    verify(weft::collect(std::ranges::subrange(std::move(it), readable.end())) == numbers{2, 4, 6, 7});
  });
}

TEST_CASE("values that only move, and ones that do neither", "[generator]") {
  everywhere([] {
    weft::generator<std::unique_ptr<int>> owners([](auto& yield) {
      yield(std::make_unique<int>(1));
      auto second = std::make_unique<int>(2);
      yield(std::move(second));
      verify(second == nullptr);
    });
    int sum = 0;
    for (auto owner : owners) sum += *owner;
    verify(sum == 3);

    int alive = 0;
    weft::generator<counted const&> fixed([&](auto& yield) { yield(counted{alive}); });
    for (counted const& c : fixed) verify(&c.alive == &alive && alive == 1);
    verify(alive == 0);
  });
}

TEST_CASE("a generator composes with views, as an lvalue and as an rvalue", "[generator]") {
  everywhere([] {
    auto const even = std::views::filter([](int i) { return i % 2 == 0; });
    auto const squared = std::views::transform([](int i) { return i * i; });
    auto endless = [] {
      return weft::generator<int>([](auto& yield) {
        for (int i = 0;; ++i) yield(i);
      });
    };
    auto kept = endless();
    verify(weft::collect(kept | even | squared | std::views::take(5)) == numbers{0, 4, 16, 36, 64});
    verify(weft::collect(endless() | even | squared | std::views::take(5)) == numbers{0, 4, 16, 36, 64});
    verify(weft::collect(count_to(6) | std::views::drop(2) | squared) == numbers{4, 9, 16, 25});
    auto view = endless() | std::views::take_while([](int i) { return i < 3; });
    int sum = 0;
    for (int const v : view) sum += v;
    verify(sum == 3);
  });
}

TEST_CASE("collect keeps the order, moves what is given away, and copies what is not", "[generator][collect]") {
  everywhere([] {
    verify(weft::collect(count_to(4)) == numbers{0, 1, 2, 3});
    verify(weft::collect(count_to(0)).empty());
    numbers const source{3, 1, 2};
    verify(weft::collect(source) == source);
    verify(weft::collect(source | std::views::reverse) == numbers{2, 1, 3});
    verify(weft::collect(std::views::iota(0, 3)) == numbers{0, 1, 2});
    weft::generator<std::unique_ptr<int>> owners([](auto& yield) {
      for (int i = 0; i < 3; ++i) yield(std::make_unique<int>(i));
    });
    auto const owned = weft::collect(owners);
    verify(owned.size() == 3 && *owned[2] == 2);
    std::string text = "kept";
    weft::generator<std::string&> references([&](auto& yield) { yield(text); });
    verify(weft::collect(references) == std::vector<std::string>{"kept"});
    verify(text == "kept");
    weft::generator<int> fails([](auto& yield) {
      yield(1);
      throw named{4};
    });
    verify(throws<named>([&] { (void)weft::collect(fails); }));
  });
}

TEST_CASE("what leaves the body leaves begin or the increment, and ends the generator", "[generator][bad-input]") {
  everywhere([] {
    int alive = 0;
    weft::generator<int> late([&](auto& yield) {
      counted const c{alive};
      yield(1);
      throw std::runtime_error("late");
    });
    auto it = late.begin();
    std::string what;
    try {
      ++it;
    } catch (std::runtime_error const& e) {
      what = e.what();
    }
    verify(what == "late");
    verify(alive == 0);
    verify(it == late.end());
    verify(late.begin() == late.end());
    weft::generator<int> early([](auto&) { throw named{1}; });
    verify(throws<named>([&] { (void)early.begin(); }));
    verify(early.begin() == early.end());
    verify(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
  });
}

TEST_CASE("an empty generator is an empty range, and so is one that was moved from", "[generator]") {
  everywhere([] {
    weft::generator<int> none;
    verify(none.begin() == none.end());
    verify(weft::collect(none).empty());
    auto g = count_to(3);
    auto it = g.begin();
    weft::generator<int> const* const self = &g;
    g = std::move(*const_cast<weft::generator<int>*>(self));
    verify(*it == 0);
    weft::generator<int> other = std::move(g);
    verify(g.begin() == g.end());  // NOLINT: what is left is what is tested
    ++it;                          // it goes with the generator
    verify(*it == 1);
    verify(weft::collect(other) == numbers{1, 2});
  });
}

TEST_CASE("assignment ends the body that was there", "[generator]") {
  everywhere([] {
    int alive = 0;
    weft::generator<int> g([&](auto& yield) {
      counted const c{alive};
      yield(1);
    });
    (void)g.begin();
    verify(alive == 1);
    g = count_to(2);
    verify(alive == 0);
    verify(weft::collect(g) == numbers{0, 1});
  });
}

TEST_CASE("wrong use of a generator is an error", "[generator][bad-input]") {
  everywhere([] {
    using body = std::function<void(weft::yielder<int>&)>;
    verify(throws<std::invalid_argument>([] { weft::generator<int> const g{body{}}; }));
    void (*none)(weft::yielder<int>&) = nullptr;
    verify(throws<std::invalid_argument>([&] { weft::generator<int> const g{none}; }));
    for (std::size_t const size : {std::size_t{1}, std::size_t{1} << 40U}) {
      verify(throws<std::invalid_argument>([&] { weft::generator<int> const g({.stack_size = size}, [](auto&) {}); }));
    }
    auto g = count_to(1);
    auto it = g.begin();
    ++it;
    verify(throws<weft::error>([&] { ++it; }));
    verify(throws<weft::error>([&] { (void)*it; }));
    verify(it == g.end());
  });
}

TEST_CASE("rule 25: resuming a generator while it runs throws", "[generator][rule25][bad-input]") {
  everywhere([] {
    weft::generator<int>* self = nullptr;
    weft::generator<int>::iterator* place = nullptr;
    int refused = 0;
    weft::generator<int> g([&](auto& yield) {
      refused += throws<weft::error>([&] { (void)self->begin(); }) ? 1 : 0;
      yield(1);
      refused += throws<weft::error>([&] { ++*place; }) ? 1 : 0;
      refused += throws<weft::error>([&] { (void)self->begin(); }) ? 1 : 0;
      yield(2);
    });
    self = &g;
    auto it = g.begin();
    place = &it;
    verify(refused == 1);
    ++it;
    verify(refused == 3);
    verify(*it == 2);
    ++it;
    verify(it == g.end());
  });
}

TEST_CASE("a generator that is destroyed by its own body aborts", "[generator][bad-input]") {
  CHECK(aborts_with("a generator is destroyed while its body runs", [] {
    auto self = std::make_unique<weft::generator<int>>();
    *self = weft::generator<int>([&](auto&) { self.reset(); });
    (void)self->begin();
  }));
}

TEST_CASE("yield works in its own generator's body only", "[generator][bad-input]") {
  everywhere([] {
    weft::yielder<int> const* escaped = nullptr;
    weft::generator<int> outer([&](weft::yielder<int>& yield_outer) {
      escaped = &yield_outer;
      weft::generator<int> inner([&](auto& yield) {
        verify(throws<weft::error>([&] { yield_outer(1); }));
        yield(2);
      });
      for (int v : inner) yield_outer(std::move(v));
      yield_outer(3);
    });
    auto it = outer.begin();
    verify(*it == 2);
    verify(throws<weft::error>([&] { (*escaped)(4); }));
    ++it;
    verify(*it == 3);
    ++it;
    verify(it == outer.end());
  });
  run_on(2, [] {
    weft::generator<int> g([](weft::yielder<int>& yield) {
      verify(weft::spawn([&] { return throws<weft::error>([&] { yield(1); }); }).get());
      yield(2);
    });
    verify(weft::collect(g) == numbers{2});
  });
}

// --- the end ---

TEST_CASE("rule 25: a generator destroyed midway throws cancelled at the yield, and destroys what is there once",
          "[generator][rule25]") {
  everywhere([] {
    int alive = 0;
    std::optional<weft::cancel_reason> reason;
    {
      auto shared = std::make_shared<int>(1);
      weft::generator<int> g([&, shared](auto& yield) {
        counted const a{alive};
        try {
          counted const b{alive};
          yield(1);
          yield(2);
        } catch (weft::cancelled const& c) {
          reason = c.reason();
          throw;
        }
      });
      auto it = g.begin();
      ++it;
      verify(alive == 2);
      verify(shared.use_count() == 2);
      g = {};
      verify(shared.use_count() == 1);
    }
    verify(alive == 0);
    verify(reason == weft::cancel_reason::handle_dropped);
    verify(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
  });
}

TEST_CASE("rule 25: a body that yields again gets cancelled again", "[generator][rule25][hazard][H20]") {
  everywhere([] {
    int met = 0;
    bool ended = false;
    {
      weft::generator<int> g([&](auto& yield) {
        for (int i = 0; i < 3; ++i) {
          try {
            yield(i);
          } catch (...) {  // catches all, as it should not
            ++met;
          }
        }
        ended = true;
      });
      (void)g.begin();
    }
    verify(met == 3);
    verify(ended);
  });
}

TEST_CASE("H20: a yield made while a dying body unwinds returns", "[generator][rule25][hazard][H20]") {
  everywhere([] {
    int returned = 0;
    struct yields_at_end {
      weft::yielder<int>& yield;
      int& returned;
      ~yields_at_end() {
        yield(1);
        ++returned;
      }
    };
    {
      weft::generator<int> g([&](weft::yielder<int>& yield) {
        yields_at_end const second{yield, returned};
        yields_at_end const first{yield, returned};
        yield(0);
      });
      (void)g.begin();
    }
    verify(returned == 2);
    {
      // And one that was under way when the generator died.
      weft::generator<int> g([&](weft::yielder<int>& yield) {
        try {
          yields_at_end const first{yield, returned};
          throw named{1};
        } catch (named const&) {
          ++returned;
        }
      });
      verify(*g.begin() == 1);
    }
    verify(returned == 4);
  });
}

TEST_CASE("a body that has not begun is not run, and its callable is destroyed", "[generator]") {
  everywhere([] {
    auto shared = std::make_shared<int>(1);
    bool ran = false;
    {
      weft::generator<int> const g([&ran, shared](auto&) { ran = true; });
      verify(shared.use_count() == 2);
    }
    verify(shared.use_count() == 1);
    verify(!ran);
  });
}

TEST_CASE("the callable is destroyed as soon as the body has ended", "[generator]") {
  everywhere([] {
    auto shared = std::make_shared<int>(1);
    weft::generator<int> g([shared](auto& yield) { yield(*shared); });
    auto it = g.begin();
    verify(shared.use_count() == 2);
    ++it;
    verify(shared.use_count() == 1);
    weft::generator<int> fails([shared](auto&) { throw named{1}; });
    verify(throws<named>([&] { (void)fails.begin(); }));
    verify(shared.use_count() == 1);
  });
}

TEST_CASE("what else leaves a dying body is reported", "[generator][bad-input]") {
  unhandled_log log;
  auto options = on(some_workers());
  options.on_unhandled_exception = log.handler();
  run_with(std::move(options), [] {
    weft::spawn({.name = "reader"}, [] {
      weft::generator<int> g([](auto& yield) {
        try {
          yield(1);
        } catch (weft::cancelled const&) {
          throw std::runtime_error("at the end");
        }
      });
      (void)g.begin();
    }).get();
  });
  CHECK(log.lines() == std::vector<std::string>{"reader: at the end"});

  auto const d = run_in_child([] {
    weft::generator<int> g([](auto& yield) {
      try {
        yield(1);
      } catch (weft::cancelled const&) {
        throw std::runtime_error("outside of any runtime");
      }
    });
    (void)g.begin();
  });
  CHECK(d.exited);
  CHECK(d.status == 0);
  CHECK(d.output.find("'weft::generator': outside of any runtime") != std::string::npos);
}

TEST_CASE("a callable whose copy throws leaves nothing behind", "[generator][bad-input]") {
  struct fragile {
    fragile() = default;
    fragile(fragile const&) { throw named{1}; }
    void operator()(weft::yielder<int>&) const {}
  };
  everywhere([] {
    fragile const body;
    verify(throws<named>([&] { weft::generator<int> const g{body}; }));
  });
}

// --- recursion ---

namespace {

struct node {
  int value;
  std::unique_ptr<node> left;
  std::unique_ptr<node> right;
};

std::unique_ptr<node> tree(int from, int to) {
  if (from >= to) return nullptr;
  int const middle = from + (to - from) / 2;
  return std::make_unique<node>(node{middle, tree(from, middle), tree(middle + 1, to)});
}

/// A function that takes `yield` along.
void walk(node const* n, weft::yielder<int const&> const& yield) {
  if (n == nullptr) return;
  walk(n->left.get(), yield);
  yield(n->value);
  walk(n->right.get(), yield);
}

/// Generators within generators.
weft::generator<int> nested_walk(node const* n) {
  return weft::generator<int>([n](auto& yield) {
    if (n == nullptr) return;
    yield.from(nested_walk(n->left.get()));
    yield(n->value);
    yield.from(nested_walk(n->right.get()));
  });
}

weft::generator<int> nested(int depth) {
  return weft::generator<int>([depth](auto& yield) {
    if (depth > 0) yield.from(nested(depth - 1));
    yield(depth);
  });
}

}  // namespace

TEST_CASE("a body yields from any depth of its calls", "[generator]") {
  everywhere([] {
    auto const root = tree(0, 200);
    weft::generator<int const&> g([&](auto& yield) { walk(root.get(), yield); });
    int next = 0;
    for (int const& v : g) verify(v == next++);
    verify(next == 200);
  });
}

TEST_CASE("a body iterates other generators, and these others, deep", "[generator]") {
  everywhere([] {
    auto const root = tree(0, 200);
    int next = 0;
    for (int const v : nested_walk(root.get())) verify(v == next++);
    verify(next == 200);
    constexpr int deep = under_tsan ? 50 : 300;
    next = 0;
    for (int const v : nested(deep)) verify(v == next++);
    verify(next == deep + 1);
  });
}

TEST_CASE("yield.from takes any range, and what leaves it", "[generator]") {
  everywhere([] {
    weft::generator<int> g([](auto& yield) {
      yield.from(numbers{1, 2});
      yield.from(std::views::iota(3, 5));
      numbers const mine{5};
      yield.from(mine);
      try {
        yield.from(weft::generator<int>([](auto& inner) {
          inner(6);
          throw named{7};
        }));
      } catch (named const& n) {
        yield(n.number);
      }
    });
    verify(weft::collect(g) == numbers{1, 2, 3, 4, 5, 6, 7});
    std::vector<std::unique_ptr<int>> owners;
    owners.push_back(std::make_unique<int>(1));
    weft::generator<std::unique_ptr<int>&> lent([&](auto& yield) { yield.from(owners); });
    for (auto& owner : lent) verify(*owner == 1);
    verify(owners[0] != nullptr);
  });
}

TEST_CASE("nested generators that are destroyed midway end from the inside out", "[generator][rule25]") {
  everywhere([] {
    numbers ended;
    struct at_end {
      numbers& log;
      int number;
      ~at_end() { log.push_back(number); }
    };
    std::function<weft::generator<int>(int)> const make = [&](int depth) {
      return weft::generator<int>([&, depth](auto& yield) {
        at_end const log{ended, depth};
        if (depth == 0) {
          yield(1);
          yield(2);
        } else {
          yield.from(make(depth - 1));
        }
      });
    };
    {
      auto g = make(5);
      verify(*g.begin() == 1);
      verify(ended.empty());
    }
    verify(ended == numbers{0, 1, 2, 3, 4, 5});
  });
}

TEST_CASE("a body may be deeper than the fiber's own stack, if its generator says so", "[generator]") {
  struct deep {
    static int down(int depth) {
      char volatile frame[1024];  // NOLINT: std::array's members are not volatile
      frame[0] = static_cast<char>(depth);
      return depth == 0 ? 0 : down(depth - 1) + (frame[0] == static_cast<char>(depth) ? 1 : 0);
    }
  };
  auto options = on(some_workers());
  options.stack_size = std::size_t{64} * 1024;
  run_with(std::move(options), [] {
    weft::generator<int> g({.stack_size = std::size_t{8} << 20U}, [](auto& yield) { yield(deep::down(1000)); });
    for (int const v : g) verify(v == 1000);
  });
}

// --- what belongs to the context ---

TEST_CASE("rule 24: a consumer inside a catch iterates a body that yields inside its own catch",
          "[generator][rule24][hazard][H4]") {
  everywhere([] {
    weft::generator<int> g([](auto& yield) {
      verify(std::current_exception() == nullptr);
      verify(std::uncaught_exceptions() == 0);
      try {
        throw named{1};
      } catch (named const& first) {
        yield(first.number);
        try {
          throw named{2};
        } catch (named const& second) {
          yield(second.number);
          try {
            throw;
          } catch (named const& again) {
            verify(again.number == 2);
          }
        }
        yield(10);
        try {
          throw;
        } catch (named const& again) {
          verify(again.number == 1);
        }
      }
      verify(std::current_exception() == nullptr);
      yield(20);
    });
    numbers seen;
    auto const note = [&](int v) { seen.push_back(v); };
    auto it = g.begin();
    note(*it);
    verify(std::current_exception() == nullptr);
    try {
      throw named{100};
    } catch (named const&) {
      ++it;
      note(*it);
      try {
        throw;
      } catch (named const& mine) {
        verify(mine.number == 100);
      }
      try {
        throw named{200};
      } catch (named const&) {
        ++it;
        note(*it);
        try {
          std::rethrow_exception(std::current_exception());
        } catch (named const& mine) {
          verify(mine.number == 200);
        }
      }
      try {
        throw;
      } catch (named const& mine) {
        verify(mine.number == 100);
      }
    }
    verify(std::current_exception() == nullptr);
    ++it;
    note(*it);
    ++it;
    verify(it == g.end());
    verify(seen == numbers{1, 2, 10, 20});
  });
}

TEST_CASE("rule 24: uncaught_exceptions is each side's own", "[generator][rule24][hazard][H4]") {
  everywhere([] {
    // A consumer that is being unwound iterates a body that is not, and the other way round.
    struct iterates_at_end {
      bool& done;
      ~iterates_at_end() {
        bool right = std::uncaught_exceptions() == 1;
        weft::generator<int> g([](auto& yield) {
          yield(std::uncaught_exceptions());
          try {
            throw named{1};
          } catch (named const&) {
            yield(std::uncaught_exceptions());
          }
        });
        for (int const v : g) right = right && v == 0 && std::uncaught_exceptions() == 1;
        done = right;
      }
    };
    bool done = false;
    try {
      iterates_at_end const guard{done};
      throw named{1};
    } catch (named const&) {
    }
    verify(done);

    struct yields_at_end {
      weft::yielder<int>& yield;
      ~yields_at_end() { yield(std::uncaught_exceptions()); }
    };
    weft::generator<int> g([](weft::yielder<int>& yield) {
      try {
        yields_at_end const guard{yield};
        throw named{2};
      } catch (named const& n) {
        yield(n.number);
      }
    });
    auto it = g.begin();
    verify(*it == 1);
    verify(std::uncaught_exceptions() == 0);
    ++it;
    verify(*it == 2);
    ++it;
    verify(std::uncaught_exceptions() == 0);
  });
}

TEST_CASE("rule 24: the state is right after each failure, ten thousand times", "[generator][rule24][hazard][H4]") {
  everywhere([] {
    for (std::size_t i = 0; i < scaled(10'000); ++i) {
      try {
        weft::generator<int> g([](auto& yield) {
          try {
            throw named{1};
          } catch (named const&) {
            yield(1);
            throw;
          }
        });
        for (int const v : g) verify(v == 1);
        verify(false);
      } catch (named const& n) {
        verify(n.number == 1);
      }
      verify(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
    }
  });
}

namespace {
/// Out of the optimiser's reach, which does not know of rounding modes.
double third() {
  double volatile one = 1.0;
  double volatile three = 3.0;
  return one / three;
}
}  // namespace

TEST_CASE("H23: the rounding mode is a body's own", "[generator][rule24][hazard][H23]") {
  everywhere([] {
    double const to_nearest = third();
    weft::generator<double> g([&](auto& yield) {
      verify(third() == to_nearest);
      std::fesetround(FE_UPWARD);
      double const up = third();
      verify(up > to_nearest);
      yield(up);
      verify(std::fegetround() == FE_UPWARD);
      verify(third() == up);
    });
    auto it = g.begin();
    verify(*it > to_nearest);
    verify(std::fegetround() == FE_TONEAREST);
    verify(third() == to_nearest);
    ++it;
    verify(it == g.end());
    // The next body on that stack.
    weft::generator<int> next([&](auto& yield) { yield(std::fegetround()); });
    verify(*next.begin() == FE_TONEAREST);
  });
}
