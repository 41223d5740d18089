#pragma once
/// @file
/// Chooses whose fibers the tests in this directory are about: each source is compiled against Boost.Fiber and against
/// weft, and must hold for both.

#include "support/catch.hpp"

#if defined(WEFT_TEST_BOOST_FIBER)
#include <boost/fiber/all.hpp>
namespace fibers = boost::fibers;
namespace this_fiber = boost::this_fiber;
#else
#include <weft/compat/boost_fiber.hpp>
namespace fibers = weft::compat::fibers;
namespace this_fiber = weft::compat::this_fiber;
#endif

#include <chrono>
#include <mutex>
#include <string>
#include <utility>

using namespace std::chrono_literals;

namespace compat_test {

/// What happens, in its order, as words. That one fiber runs before another is an order, and no synchronisation to
/// ThreadSanitizer: hence the lock.
class trace {
public:
  void operator()(std::string const& word) {
    std::lock_guard const lock{mutex_};
    if (!words_.empty()) words_ += ' ';
    words_ += word;
  }
  [[nodiscard]] std::string words() const {
    std::lock_guard const lock{mutex_};
    return words_;
  }

private:
  mutable std::mutex mutex_;
  std::string words_;
};

/// How a case starts its fibers, as a type: for TEMPLATE_TEST_CASE.
struct posted {
  static constexpr fibers::launch policy = fibers::launch::post;
};
struct dispatched {
  static constexpr fibers::launch policy = fibers::launch::dispatch;
};

template <class Launch, class F, class... Args>
[[nodiscard]] fibers::fiber start(F&& f, Args&&... args) {
  return fibers::fiber(Launch::policy, std::forward<F>(f), std::forward<Args>(args)...);
}

/// The error that `f` throws, as a number; 0 if it throws none. Assertions of Catch2 stay on the main fiber.
template <class F>
int error_of(F&& f) {
  try {
    f();
  } catch (std::system_error const& e) {
    return e.code().value();
  }
  return 0;
}
inline int number(std::errc e) { return static_cast<int>(e); }
inline int number(fibers::future_errc e) { return static_cast<int>(e); }

/// So far away that it does not come.
inline constexpr auto long_time = 1h;

}  // namespace compat_test

using namespace compat_test;
