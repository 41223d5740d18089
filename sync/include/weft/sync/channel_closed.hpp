#pragma once
/// @file
/// What sending to something that has been closed throws.

#include <weft/runtime/error.hpp>

namespace weft::inline v0 {

/// Nothing can be sent any more: it has been closed.
class channel_closed : public error {
public:
  using error::error;
};

}  // namespace weft::inline v0
