#pragma once
/// @file
/// Connections to the first of several addresses that answers, after RFC 8305.

#include <weft/io/tcp_stream.hpp>

#include <system_error>
#include <vector>

namespace weft::inline v0::io {

/// IPv6 and IPv4 in turn, beginning with what the first is of; each in its order.
[[nodiscard]] std::vector<endpoint> interleaved(std::vector<endpoint> const& found);

/// An attempt to connect that has failed.
struct failed_attempt {
  endpoint to;
  std::error_code why;
};

/// @param to  at least one
/// @param failures  those up to the end, in the order in which they failed, are appended
/// @returns one that is not open if `ec` is set: to why the first address failed
[[nodiscard]] tcp_stream connect_to_first(std::vector<endpoint> const& to, std::chrono::nanoseconds stagger,
                                          std::vector<failed_attempt>& failures, std::error_code& ec);

}  // namespace weft::inline v0::io
