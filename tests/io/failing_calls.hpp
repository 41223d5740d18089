#pragma once
/// @file
/// Entry points of io/ whose system calls fail, at each place where they can: the n-th fails for n = 1, 2, ... until
/// the entry point needs no n-th. Each time only a documented error may come out, nothing may be left behind, and the
/// next call must work.
///
/// An entry point is a line of a table. What the call needs is made before stage::inject().

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/error.hpp>
#include <weft/io/testing.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::test {

/// What becomes of a call's failure.
enum class fate : unsigned char {
  told,    ///< the caller gets that error
  hidden,  ///< the caller does not see it: it is tried again, or passed over
  either,
};

/// One run of one entry point.
class stage {
public:
  /// @param begin  from here on calls fail
  /// @param end  no call fails any more; returns how many have
  stage(std::function<void()> begin, std::function<std::uint64_t()> end, std::error_condition error,
        fate expected = fate::either)
      : begin_(std::move(begin)), end_(std::move(end)), error_(error), expected_(expected) {}

  /// Where failing calls only serve to find something out: `instead` may be told as well, or nothing.
  void may_tell(std::errc instead) {
    instead_ = std::make_error_condition(instead);
    expected_ = fate::either;
  }

  /// Calls `f`, and has it fail.  @returns whether it has not
  template <class F>
  bool inject(F&& f) {
    begin_();
    try {
      f();
      return judge({});
    } catch (std::system_error const& e) {
      verify(std::string_view{e.what()}.starts_with("weft: "));
      return judge(e.code());
    }
  }

  /// The same of the form that sets `ec`: it tells what it failed with.
  template <class F>
  bool inject_ec(F&& f) {
    std::error_code ec = std::make_error_code(std::errc::directory_not_empty);  // must be cleared
    begin_();
    f(ec);
    return judge(ec);
  }

  std::uint64_t struck = 0;

private:
  bool judge(std::error_code ec) {
    struck = end_();
    if (ec) {
      verify(struck >= 1 && expected_ != fate::hidden);
      verify(ec == error_ || (instead_ && ec == *instead_));
    } else {
      verify(struck == 0 || expected_ != fate::told);
    }
    return !ec;
  }

  std::function<void()> begin_;
  std::function<std::uint64_t()> end_;
  std::error_condition error_;
  fate expected_;
  std::optional<std::error_condition> instead_;
};

struct entry_point {
  char const* name;
  std::function<void(stage&)> call;
};

/// Calls `f` twice on what is freshly prepared: once with failures, once without.
template <class Prepared, class F>
auto twice_on(F f) {
  return [f](stage& s) {
    Prepared p;
    s.inject([&] { f(p); });
    f(p);
  };
}
template <class Prepared, class F>
auto twice_on_ec(F f) {
  return [f](stage& s) {
    Prepared p;
    s.inject_ec([&](std::error_code& ec) { f(p, ec); });
    std::error_code ec;
    f(p, ec);
    verify(!ec);
  };
}

/// Has the n-th call fail for each n: `call(n)` returns how many have.  @returns their sum
template <class Call>
std::uint64_t exhaust(testing::io_faults& faults, watchdog& dog, char const* name, int error, std::uint64_t times,
                      Call&& call) {
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(name, error, n, times);
    std::uint64_t struck = 0;
    REQUIRE_NOTHROW(struck = call(n));
    REQUIRE(faults.open_descriptors() == 0);
    failures += struck;
    dog.feed();
    if (struck == 0) return failures;
    REQUIRE(n < 1000);
  }
}

inline auto bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }

/// What the error of io/ says that `f` ends with; empty: it does not.
template <class F>
std::string failure_of(F&& f) {
  try {
    f();
    return {};
  } catch (std::system_error const& e) {
    return e.what();
  } catch (weft::incomplete_read const& e) {
    return e.what();
  }
}
template <class F>
bool succeeds(F&& f) {
  return failure_of(std::forward<F>(f)).empty();
}

inline std::size_t descriptors_in_use() {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{"/proc/self/fd"}) count += e.path().empty() ? 0U : 1U;
  return count;
}

/// Runs `f(faults, dog)` in a runtime; it has a few seconds to feed the dog, and may leave no descriptor.
template <class F>
void with_faults(std::size_t workers, F&& f) {
  run_on(1, [] {});  // libuv opens a pipe with its first loop, for good
  auto const before = descriptors_in_use();
  watchdog dog{"failing system calls", std::chrono::seconds{30}};
  run_on(workers, [&] {
    testing::io_faults faults;
    f(faults, dog);
    CHECK(faults.open_descriptors() == 0);
  });
  CHECK(descriptors_in_use() == before);
}

/// Calls of some kinds, with what the kernel may say of them.
struct failing_calls {
  std::vector<testing::io_call> kinds;
  fate expected;
  std::vector<std::errc> errors;
};

/// Has each call of these kinds fail at each entry point of the table, once and three times in a row; those kinds are
/// all that the table makes, and all are made.
/// @returns how many have failed
inline std::uint64_t fail_each(std::size_t workers, std::vector<entry_point> const& table,
                               std::vector<failing_calls> const& calls) {
  using testing::io_call;
  using testing::io_calls;
  std::array<std::uint64_t, io_calls> failures{};
  std::array<bool, io_calls> made{};
  with_faults(workers, [&](testing::io_faults& faults, watchdog& dog) {
    for (auto const& row : calls) {
      for (auto const which : row.kinds) {
        for (auto const error : row.errors) {
          for (auto const times : {std::uint64_t{1}, std::uint64_t{3}}) {
            for (auto const& e : table) {
              CAPTURE(static_cast<int>(which));
              failures[static_cast<std::size_t>(which)] += exhaust(
                  faults, dog, e.name, static_cast<int>(error), times, [&](std::uint64_t n) {
                    stage s{[&] { faults.fail(which, error, n, times); }, [&] { return faults.fail_no_more(); },
                            std::make_error_condition(error), row.expected};
                    e.call(s);
                    return s.struck;
                  });
            }
          }
        }
      }
    }
    for (std::size_t i = 0; i < io_calls; ++i) made[i] = faults.count(static_cast<io_call>(i)) != 0;
  });
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < io_calls; ++i) {
    CAPTURE(i, failures[i]);
    CHECK(made[i] == (failures[i] != 0));
    sum += failures[i];
  }
  return sum;
}

}  // namespace weft::test
