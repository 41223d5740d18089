#include <weft/io/standard_streams.hpp>

#include "error_text.hpp"

#include <mutex>
#include <string>
#include <unistd.h>

namespace weft::inline v0::io {

namespace {
constexpr std::size_t read_ahead_size = 4096;
}

inherited_stream::inherited_stream(int number) noexcept
    : buffered_source(read_ahead_size, read_ahead_size),
      number_(number),
      reading_(number, detail::readiness::readable),
      writing_(number, detail::readiness::writable) {}

inherited_stream::~inherited_stream() = default;

std::size_t inherited_stream::fetch(std::span<std::byte> into, std::error_code& ec) {
  return reading_.move(into.data(), into.size(), ec);
}

std::size_t inherited_stream::write_some(std::span<std::byte const> buffer, std::error_code& ec) {
  std::scoped_lock const turn{writers_};
  ec.clear();
  if (!buffer.empty()) return writing_.move(const_cast<std::byte*>(buffer.data()), buffer.size(), ec);
  detail::check_cancelled();
  return 0;
}

std::size_t inherited_stream::write_all(std::span<std::byte const> buffer, std::error_code& ec) {
  std::scoped_lock const turn{writers_};
  detail::check_cancelled();
  ec.clear();
  std::size_t done = 0;
  while (done < buffer.size() && !ec) {
    auto const rest = buffer.subspan(done);
    done += writing_.move(const_cast<std::byte*>(rest.data()), rest.size(), ec);
  }
  return done;
}

void inherited_stream::throw_write_error(std::error_code ec) const {
  throw_error(ec, {"writing to descriptor ", std::to_string(number_)});
}

std::size_t inherited_stream::write_some(std::span<std::byte const> buffer) {
  std::error_code ec;
  auto const done = write_some(buffer, ec);
  if (ec) throw_write_error(ec);
  return done;
}

void inherited_stream::write_all(std::span<std::byte const> buffer) {
  std::error_code ec;
  (void)write_all(buffer, ec);
  if (ec) throw_write_error(ec);
}

// Never destroyed: what runs when the process ends may still write.
inherited_stream& stdin_stream() {
  static auto& stream = *new inherited_stream{STDIN_FILENO};
  return stream;
}

inherited_stream& stdout_stream() {
  static auto& stream = *new inherited_stream{STDOUT_FILENO};
  return stream;
}

inherited_stream& stderr_stream() {
  static auto& stream = *new inherited_stream{STDERR_FILENO};
  return stream;
}

}  // namespace weft::inline v0::io
