#pragma once
/// @file
/// `exception_group`: several failures thrown as one.

#include <weft/runtime/error.hpp>

#include <exception>
#include <memory>
#include <vector>

namespace weft::inline v0 {

/// Several exceptions, in the order in which they were thrown. what() says how many there are, and what each says.
class exception_group : public error {
public:
  /// @param exceptions  none of them null
  explicit exception_group(std::vector<std::exception_ptr> exceptions);

  [[nodiscard]] std::vector<std::exception_ptr> const& exceptions() const noexcept { return *exceptions_; }

private:
  std::shared_ptr<std::vector<std::exception_ptr> const> exceptions_;  // copying an exception must not throw
};

}  // namespace weft::inline v0
