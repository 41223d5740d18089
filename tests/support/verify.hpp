#pragma once
/// @file
/// An assertion for fibers and threads: it throws, the task carries the exception to whoever joins it, and there Catch2
/// reports it.

#include <stdexcept>
#include <string>

namespace weft::test {

class verification_failed : public std::logic_error {
public:
  using std::logic_error::logic_error;
};

/// The builtins and not std::source_location, which clang before 16 does not have.
inline void verify(bool holds, char const* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (holds) return;
  throw verification_failed(std::string("verify() failed at ") + file + ":" + std::to_string(line));
}

}  // namespace weft::test
