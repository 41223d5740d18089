/// @file
/// outcome<T>: a value or an exception.

#include <weft/runtime/outcome.hpp>

#include "support/catch.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

template <class T>
weft::outcome<T> failure() {
  return weft::outcome<T>{std::make_exception_ptr(std::runtime_error("no"))};
}

}  // namespace

TEST_CASE("an outcome holds a value", "[outcome]") {
  weft::outcome<std::string> o{std::in_place, "word"};
  CHECK(o.has_value());
  CHECK(o);
  CHECK(*o == "word");
  CHECK(o->size() == 4);
  CHECK(o.value() == "word");
  CHECK(o.exception() == nullptr);
  CHECK(o.value_or("other") == "word");
  std::string const moved = std::move(o).value();
  CHECK(moved == "word");
}

TEST_CASE("an outcome holds an exception", "[outcome]") {
  auto const o = failure<int>();
  CHECK_FALSE(o.has_value());
  CHECK_FALSE(o);
  CHECK(o.exception() != nullptr);
  CHECK_THROWS_AS(o.value(), std::runtime_error);
  CHECK(o.value_or(4) == 4);
}

TEST_CASE("an outcome of void, of a reference, and of what only moves", "[outcome]") {
  weft::outcome<void> const done{std::in_place};
  CHECK(done);
  CHECK_NOTHROW(done.value());
  CHECK_THROWS_AS(failure<void>().value(), std::runtime_error);

  int target = 1;
  weft::outcome<int&> reference{std::in_place, target};
  CHECK(&*reference == &target);
  CHECK(&reference.value() == &target);
  CHECK(reference.operator->() == &target);
  CHECK_THROWS_AS(failure<int&>().value(), std::runtime_error);

  weft::outcome<std::unique_ptr<int>> only_moves{std::in_place, std::make_unique<int>(3)};
  auto other = std::move(only_moves);
  CHECK(**other == 3);
  auto const taken = *std::move(other);
  CHECK(*taken == 3);
}
