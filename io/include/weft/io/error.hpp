#pragma once
/// @file
/// Errors of io/ that the system does not have.

#include <weft/runtime/error.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace weft::inline v0 {

/// The stream ended before all that was asked for had come.
class incomplete_read : public error {
public:
  explicit incomplete_read(std::string what, std::string partial = {})
      : error(std::move(what)), partial_(std::move(partial)) {}
  /// What did come, if the caller has not got it otherwise.
  [[nodiscard]] std::string const& partial() const noexcept { return partial_; }

private:
  std::string partial_;
};

/// What was looked for is not within the limit.
class limit_overrun : public error {
public:
  explicit limit_overrun(std::string what, std::size_t limit) : error(std::move(what)), limit_(limit) {}
  /// In bytes. They have not been taken out of the stream: read_some() gives them.
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

private:
  std::size_t limit_;
};

}  // namespace weft::inline v0
