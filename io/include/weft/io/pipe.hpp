#pragma once
/// @file
/// Pipes within the process, or to pass on to another.

#include <weft/io/stream.hpp>

#include <system_error>

namespace weft::inline v0::io {

/// What is written to the one can be read from the other.
struct pipe_ends {
  stream reader;
  stream writer;
};

/// Whoever writes when the reader has been closed gets std::errc::broken_pipe, and no SIGPIPE.
/// @throws std::system_error
[[nodiscard]] pipe_ends pipe();
[[nodiscard]] pipe_ends pipe(std::error_code& ec);

}  // namespace weft::inline v0::io
