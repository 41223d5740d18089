/// @file
/// The classes of errors, their codes and their category.

#include "compat/names.hpp"

#include <system_error>
#include <type_traits>

namespace {

template <class Error>
void expect(fibers::future_errc code) {
  Error const e;
  CHECK(e.code().value() == number(code));
  CHECK(e.code().category() == fibers::future_category());
  CHECK(std::is_base_of_v<fibers::future_error, Error>);
}

}  // namespace

TEST_CASE("errors of fibers are errors of the system", "[errors]") {
  CHECK(std::is_base_of_v<std::system_error, fibers::fiber_error>);
  CHECK(std::is_base_of_v<fibers::fiber_error, fibers::lock_error>);
  CHECK(std::is_base_of_v<fibers::fiber_error, fibers::future_error>);
}

TEST_CASE("an error carries its code", "[errors]") {
  auto const code = std::make_error_code(std::errc::operation_not_permitted);
  CHECK(fibers::fiber_error(code).code() == code);
  CHECK(fibers::lock_error(code).code() == code);
  CHECK(fibers::future_error(code).code() == code);
}

TEST_CASE("an error tells what it was given to tell", "[errors]") {
  auto const code = std::make_error_code(std::errc::invalid_argument);
  CHECK(std::string(fibers::fiber_error(code, "literal").what()).find("literal") != std::string::npos);
  CHECK(std::string(fibers::fiber_error(code, std::string("text")).what()).find("text") != std::string::npos);
  CHECK(std::string(fibers::lock_error(code, "literal").what()).find("literal") != std::string::npos);
  CHECK(std::string(fibers::lock_error(code, std::string("text")).what()).find("text") != std::string::npos);
}

TEST_CASE("future_uninitialized", "[errors]") { expect<fibers::future_uninitialized>(fibers::future_errc::no_state); }
TEST_CASE("promise_uninitialized", "[errors]") { expect<fibers::promise_uninitialized>(fibers::future_errc::no_state); }
TEST_CASE("packaged_task_uninitialized", "[errors]") {
  expect<fibers::packaged_task_uninitialized>(fibers::future_errc::no_state);
}
TEST_CASE("future_already_retrieved", "[errors]") {
  expect<fibers::future_already_retrieved>(fibers::future_errc::future_already_retrieved);
}
TEST_CASE("broken_promise", "[errors]") { expect<fibers::broken_promise>(fibers::future_errc::broken_promise); }
TEST_CASE("promise_already_satisfied", "[errors]") {
  expect<fibers::promise_already_satisfied>(fibers::future_errc::promise_already_satisfied);
}

TEST_CASE("the category of futures has a name and messages", "[errors]") {
  CHECK(std::string(fibers::future_category().name()) == "fiber-future");
  for (auto const code : {fibers::future_errc::broken_promise, fibers::future_errc::future_already_retrieved,
                          fibers::future_errc::promise_already_satisfied, fibers::future_errc::no_state}) {
    CHECK_FALSE(fibers::future_category().message(number(code)).empty());
  }
  CHECK(&fibers::future_category() == &fibers::future_category());
}

TEST_CASE("future_errc is an enum of error codes", "[errors]") {
  CHECK(std::is_error_code_enum<fibers::future_errc>::value);
  CHECK(number(fibers::future_errc::broken_promise) == 1);
  CHECK(number(fibers::future_errc::future_already_retrieved) == 2);
  CHECK(number(fibers::future_errc::promise_already_satisfied) == 3);
  CHECK(number(fibers::future_errc::no_state) == 4);
}

TEST_CASE("the other enums have Boost's values", "[errors]") {
  CHECK(static_cast<int>(fibers::channel_op_status::success) == 0);
  CHECK(static_cast<int>(fibers::channel_op_status::timeout) == 4);
  CHECK(static_cast<int>(fibers::cv_status::no_timeout) == 1);
  CHECK(static_cast<int>(fibers::future_status::ready) == 1);
  CHECK(fibers::launch::post != fibers::launch::dispatch);
}
