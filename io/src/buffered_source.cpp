#include <weft/io/buffered_source.hpp>

#include "error_text.hpp"

#include <weft/io/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <stdexcept>
#include <utility>

namespace weft::inline v0::io {

namespace {

std::error_code overrun_code() noexcept { return std::make_error_code(std::errc::message_size); }

[[noreturn]] void throw_reading_ahead(std::error_code ec, std::size_t limit) {
  if (ec != overrun_code()) throw_error(ec, {"reading from a stream"});
  throw limit_overrun(std::string("weft: what was asked for is not within the limit of ")
                          .append(std::to_string(limit))
                          .append(" bytes; they can still be read"),
                      limit);
}

}  // namespace

// --- with an error code ----------------------------------------------------------------------------------------------

bool buffered_source::fill(std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  auto const came = fetch(ahead_.room(), ec);
  ahead_.added(came);
  return came != 0;
}

std::size_t buffered_source::read_some(std::span<std::byte> buffer, std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  if (buffer.empty()) return 0;
  if (ahead_.empty()) {
    if (buffer.size() >= whole_above_) return fetch(buffer, ec);
    if (!fill(ec)) return 0;
  }
  return ahead_.take(buffer);
}

std::size_t buffered_source::read_exactly(std::span<std::byte> buffer, std::error_code& ec) {
  std::size_t done = 0;
  try {
    do {
      auto const more = read_some(buffer.subspan(done), ec);
      if (more == 0) break;
      done += more;
    } while (done < buffer.size());
  } catch (...) {
    put_back(buffer.first(done));
    throw;
  }
  return done;
}

std::string buffered_source::read_exactly(std::size_t count, std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  while (ahead_.size() < count) {
    if (fill(ec)) continue;
    if (ec) return {};
    count = ahead_.size();
  }
  return ahead_.take(count);
}

buffered_source::looked buffered_source::look_for(std::string_view delimiter, std::size_t limit, std::size_t& length,
                                                  std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  for (std::size_t from = 0;;) {
    auto const text = buffered().substr(0, limit);
    auto const at = text.find(delimiter, from);
    length = at == text.npos ? text.size() : at + delimiter.size();
    if (at != text.npos) return looked::found;
    if (length == limit) {
      ec = overrun_code();
      return looked::too_long;
    }
    // The delimiter's front may have come.
    from = length < delimiter.size() ? 0 : length - delimiter.size() + 1;
    if (!fill(ec)) return ec ? looked::failed : looked::ended;
  }
}

std::string buffered_source::read_until(std::string_view delimiter, std::size_t limit, std::error_code& ec) {
  if (delimiter.empty()) throw std::invalid_argument("weft: read_until() needs a delimiter of at least one byte");
  std::size_t length = 0;
  (void)look_for(delimiter, limit, length, ec);
  return ec ? std::string{} : ahead_.take(length);
}

std::optional<std::string> buffered_source::read_line(std::size_t limit, std::error_code& ec) {
  std::size_t length = 0;
  auto result = look_for("\n", limit, length, ec);
  // Without an end the last line may be as long as the limit: that nothing follows has to be seen.
  if (result == looked::too_long && ahead_.size() == limit) {
    ec.clear();
    if (!fill(ec)) {
      result = looked::ended;
    } else {
      ec = overrun_code();
    }
  }
  if (ec || length == 0) return {};
  auto line = buffered().substr(0, length);
  if (result == looked::found) {
    line.remove_suffix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
  }
  std::optional<std::string> taken{std::in_place, line};
  consume(length);
  return taken;
}

std::string buffered_source::read_all(std::size_t limit, std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  while (ahead_.size() <= limit) {
    if (!fill(ec)) return ec ? std::string{} : ahead_.take(ahead_.size());
  }
  ec = overrun_code();
  return {};
}

// --- with exceptions -------------------------------------------------------------------------------------------------

bool buffered_source::fill() {
  std::error_code ec;
  bool const more = fill(ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  return more;
}

std::size_t buffered_source::read_some(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_some(buffer, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  return done;
}

void buffered_source::read_exactly(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_exactly(buffer, ec);
  if (ec) {
    put_back(buffer.first(done));
    throw_error(ec, {"reading from a stream"});
  }
  if (done < buffer.size()) throw_incomplete(done, buffer.size(), {});
}

std::string buffered_source::read_exactly(std::size_t count) {
  std::error_code ec;
  auto bytes = read_exactly(count, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  if (auto const came = bytes.size(); came < count) throw_incomplete(came, count, std::move(bytes));
  return bytes;
}

std::string buffered_source::read_until(std::string_view delimiter, std::size_t limit) {
  std::error_code ec;
  auto text = read_until(delimiter, limit, ec);
  if (ec) throw_reading_ahead(ec, limit);
  if (!text.ends_with(delimiter)) {
    throw incomplete_read("weft: the stream ended before the delimiter had come", std::move(text));
  }
  return text;
}

std::optional<std::string> buffered_source::read_line(std::size_t limit) {
  std::error_code ec;
  auto line = read_line(limit, ec);
  if (ec) throw_reading_ahead(ec, limit);
  return line;
}

std::string buffered_source::read_all(std::size_t limit) {
  std::error_code ec;
  auto text = read_all(limit, ec);
  if (ec) throw_reading_ahead(ec, limit);
  return text;
}

}  // namespace weft::inline v0::io
