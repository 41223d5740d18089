#pragma once
/// @file
/// An assertion for fibers and threads: it throws, the task carries the exception to whoever joins it, and there Catch2
/// reports it.

#include <source_location>
#include <stdexcept>
#include <string>

namespace weft::test {

class verification_failed : public std::logic_error {
public:
  using std::logic_error::logic_error;
};

inline void verify(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  throw verification_failed(std::string("verify() failed at ") + where.file_name() + ":" +
                            std::to_string(where.line()));
}

}  // namespace weft::test
