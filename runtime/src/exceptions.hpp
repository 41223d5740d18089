#pragma once
/// @file
/// The C++ exception state of the calling thread, which belongs to the fiber and travels with it.
///
/// It is saved here and nowhere else. Boost.Context's own classes save it since 1.88; `jump_fcontext`, which we use
/// directly, does not (a test checks that on the version at hand), so it is never saved twice.

#include <weft/runtime/detail/fiber_record.hpp>

#include <cxxabi.h>

namespace weft::inline v0::detail {

/// Where this thread keeps its state. Each worker asks once, for itself: the accessor is declared `const`, and a
/// compiler may keep its answer over a switch to another thread.
inline exception_state* thread_exceptions() noexcept {
  return reinterpret_cast<exception_state*>(abi::__cxa_get_globals());
}

}  // namespace weft::inline v0::detail
