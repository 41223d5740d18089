#pragma once
/// @file
/// Runtimes for tests with fibers that have Boost.Fiber's names.

#include "support/run_on.hpp"

#include <weft/runtime/runtime.hpp>

#include <cstddef>
#include <thread>
#include <utility>

namespace weft::test {

/// As run_on(). A context has ended, for who joins it, a moment before its fiber is counted as ended: that is waited
/// for.
template <class F>
void run_to_the_end_on(std::size_t workers, F&& f) {
  runtime rt{on(workers)};
  rt.run(std::forward<F>(f));
  while (rt.live_fibers() != 0) std::this_thread::yield();
}

}  // namespace weft::test
