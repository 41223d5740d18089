/// @file
/// A call that comes back by a jump is a call like any other to who makes it.

#include <weft/runtime/detail/jump_back.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <stdexcept>
#include <string>

namespace {

using weft::time_point;
using weft::detail::jump_back;

constexpr time_point soon{std::chrono::nanoseconds{123}};

}  // namespace

TEST_CASE("what is called gets what the caller gives, and the caller what it returns", "[jump_back]") {
  std::string object = "object";
  int argument = 7;
  auto const called = [](void* of, void* with, time_point until) {
    auto& text = *static_cast<std::string*>(of);
    text += std::to_string(*static_cast<int*>(with)) + " " + std::to_string(until.time_since_epoch().count());
    return text.front() == 'o';
  };
  CHECK(jump_back(&object, &argument, soon, called));
  CHECK(object == "object7 123");
  object = "another ";
  CHECK_FALSE(jump_back(&object, &argument, weft::never, called));
}

TEST_CASE("an exception passes, and destroys what it passes", "[jump_back]") {
  struct counted {
    explicit counted(int& n) : left(n) { ++left; }
    counted(counted const&) = delete;
    ~counted() { --left; }
    int& left;
  };
  int alive = 0;
  auto const throws = [](void* of, void*, time_point) -> bool {
    counted const inner{*static_cast<int*>(of)};
    throw std::runtime_error("through");
  };
  auto const calls = [&] {
    counted const outer{alive};
    return jump_back(&alive, nullptr, soon, throws);
  };
  CHECK_THROWS_WITH(calls(), "through");
  CHECK(alive == 0);
}

TEST_CASE("it may be called inside itself, again and again", "[jump_back]") {
  // Each leaves an entry on the processor's own stack of return addresses, which is a short one.
  int depth = 0;
  constexpr int deepest = 100;
  auto const recurses = [](void* of, void* again, time_point until) -> bool {
    auto& at = *static_cast<int*>(of);
    if (++at == deepest) return true;
    auto const f = *static_cast<weft::detail::timed_call*>(again);
    return jump_back(of, again, until, f) && at-- > 0;
  };
  weft::detail::timed_call f = recurses;
  CHECK(jump_back(&depth, &f, soon, f));
  CHECK(depth == 1);
}
