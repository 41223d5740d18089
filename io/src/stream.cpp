#include <weft/io/stream.hpp>

#include "error_text.hpp"

#include <weft/io/error.hpp>

#include <string>

namespace weft::inline v0::io {

using detail::readiness;
using detail::system_calls;

std::size_t stream::read_some(std::span<std::byte> buffer, std::error_code& ec) {
  auto const attempt = [this, buffer](system_calls& calls, int fd) {
    return carrier_ == carrier::socket ? calls.recv(fd, buffer.data(), buffer.size(), 0)
                                       : calls.read(fd, buffer.data(), buffer.size());
  };
  if (buffer.empty()) {
    ec.clear();
    return 0;
  }
  auto const done = descriptor_.perform(readiness::readable, buffer.size(), ec, attempt);
  return done > 0 ? static_cast<std::size_t>(done) : 0;
}

std::size_t stream::write_some(std::span<std::byte const> buffer, std::error_code& ec) {
  auto const attempt = [this, buffer](system_calls& calls, int fd) {
    return carrier_ == carrier::socket ? calls.send(fd, buffer.data(), buffer.size(), 0)
                                       : calls.write(fd, buffer.data(), buffer.size());
  };
  if (buffer.empty()) {
    ec.clear();
    return 0;
  }
  auto const done = descriptor_.perform(readiness::writable, buffer.size(), ec, attempt);
  return done > 0 ? static_cast<std::size_t>(done) : 0;
}

std::size_t stream::read_exactly(std::span<std::byte> buffer, std::error_code& ec) {
  std::size_t done = 0;
  ec.clear();
  while (done < buffer.size()) {
    auto const more = read_some(buffer.subspan(done), ec);
    if (more == 0) break;
    done += more;
  }
  return done;
}

std::size_t stream::write_all(std::span<std::byte const> buffer, std::error_code& ec) {
  std::size_t done = 0;
  ec.clear();
  while (done < buffer.size() && !ec) done += write_some(buffer.subspan(done), ec);
  return done;
}

std::size_t stream::read_some(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_some(buffer, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  return done;
}

void stream::read_exactly(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_exactly(buffer, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  if (done == buffer.size()) return;
  throw incomplete_read(std::string("weft: the stream ended after ")
                            .append(std::to_string(done))
                            .append(" of ")
                            .append(std::to_string(buffer.size()))
                            .append(" bytes"));
}

std::size_t stream::write_some(std::span<std::byte const> buffer) {
  std::error_code ec;
  auto const done = write_some(buffer, ec);
  if (ec) throw_error(ec, {"writing to a stream"});
  return done;
}

void stream::write_all(std::span<std::byte const> buffer) {
  std::error_code ec;
  (void)write_all(buffer, ec);
  if (ec) throw_error(ec, {"writing to a stream"});
}

}  // namespace weft::inline v0::io
