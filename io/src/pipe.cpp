#include <weft/io/pipe.hpp>

#include "error_text.hpp"
#include "sockets.hpp"

namespace weft::inline v0::io {

pipe_ends pipe(std::error_code& ec) {
  auto& calls = detail::current_calls();
  int numbers[2]{-1, -1};
  if (int const status = calls.pipe(numbers); status < 0) {
    ec = detail::system_error_of(status);
    return {};
  }
  ec.clear();
  auto [reader, writer] = open_both(numbers, calls);
  return {stream{std::move(reader), stream::carrier::other}, stream{std::move(writer), stream::carrier::other}};
}

pipe_ends pipe() {
  std::error_code ec;
  auto ends = pipe(ec);
  if (ec) throw_error(ec, {"making a pipe"});
  return ends;
}

}  // namespace weft::inline v0::io
