#pragma once
/// @file
/// Whether a call throws: for fibers, where Catch2's own macros are not to be used, and for verify().

namespace weft::test {

/// Whether `f()` throws an `E`.
template <class E, class F>
bool throws(F&& f) {
  try {
    f();
  } catch (E const&) {
    return true;
  } catch (...) {
  }
  return false;
}

}  // namespace weft::test
