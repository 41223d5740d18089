#pragma once
/// @file
/// From file objects to what they hold, and back.

#include "open_file.hpp"

#include <weft/io/file.hpp>

#include <memory>
#include <utility>

namespace weft::inline v0::io {

struct file_access {
  static file make(std::unique_ptr<detail::open_file> of) noexcept { return file{std::move(of)}; }
  /// Null: none.
  static detail::open_file* of(file const& object) noexcept { return object.of_.get(); }
};

}  // namespace weft::inline v0::io
