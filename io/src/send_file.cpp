#include <weft/io/copy.hpp>

#include "error_text.hpp"
#include "file_access.hpp"
#include "file_transfer.hpp"
#include "open_file.hpp"
#include "where_it_may_block.hpp"

#include <weft/io/detail/open_descriptor.hpp>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <utility>

namespace weft::inline v0::io {

using detail::file_calls;
using detail::open_descriptor;
using detail::open_file;
using detail::readiness;

namespace {

/// In bytes: what is under way at a time.
constexpr std::size_t send_piece = 262'144;

/// The connection under another number, which stays while a thread sends to it, whatever becomes of the stream: close()
/// does not wait for calls that block.
class second_number {
public:
  second_number(file_calls& calls, open_descriptor& of, std::error_code& ec)
      : calls_(calls), number_(of.call(ec, [&](detail::system_calls&, int fd) { return calls.dup(fd); })) {}
  second_number(second_number const&) = delete;
  ~second_number() {
    if (number_ >= 0) (void)calls_.close(number_);
  }
  /// Negative: none.
  [[nodiscard]] int get() const noexcept { return number_; }

private:
  file_calls& calls_;
  int number_;
};

bool cannot_be_sent(std::error_code ec) noexcept {
  return ec == std::errc::invalid_argument || ec == std::errc::function_not_supported ||
         ec == std::errc::operation_not_supported;
}

/// One piece, as soon as there is room for something.  @returns bytes sent; 0 at the end, or with `ec` set
std::size_t send_some(open_descriptor& to, int number, open_file& from, std::uint64_t offset, std::size_t size,
                      std::error_code& ec) {
  auto* const polled = to.polled();
  bool must_wait = !polled->seems_ready(readiness::writable) && detail::current_fiber() != nullptr;
  for (;;) {
    if (must_wait) {
      detail::polled_descriptor::use in_use{*polled};
      if (!detail::await_ready(in_use, readiness::writable, true, ec)) return 0;
    }
    ssize_t sent = 0;
    detail::where_it_may_block([&] {
      sent = from.use([&](file_calls& calls, int file) -> ssize_t {
        return uninterrupted([&] { return calls.sendfile(number, file, static_cast<std::int64_t>(offset), size); });
      });
    });
    if (!to.is_open()) {
      ec = detail::closed_error();
      return sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
    must_wait = sent == -EAGAIN;
    if (must_wait) {
      polled->exhausted(readiness::writable);
      continue;
    }
    set_error(ec, sent);
    if (sent <= 0) return 0;
    if (static_cast<std::size_t>(sent) == size) polled->not_exhausted(readiness::writable);
    return static_cast<std::size_t>(sent);
  }
}

/// Where there is no other way.
std::uint64_t read_and_write(stream& to, file& from, std::uint64_t offset, std::uint64_t count, std::error_code& ec) {
  auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(count, send_piece));
  auto const buffer = std::make_unique<std::byte[]>(std::max<std::size_t>(size, 1));
  std::uint64_t done = 0;
  while (done < count) {
    std::span<std::byte> piece{buffer.get(), static_cast<std::size_t>(std::min<std::uint64_t>(count - done, size))};
    piece = piece.first(from.pread(piece, offset + done, ec));
    if (piece.empty()) break;
    auto const failed = std::exchange(ec, {});
    done += to.write_all(std::span<std::byte const>{piece}, ec);
    if (!ec) ec = failed;
    if (ec) break;
  }
  return done;
}

}  // namespace

std::uint64_t send_file(stream& to, file& from, std::uint64_t offset, std::uint64_t count, std::error_code& ec) {
  detail::check_cancelled();
  auto* const source = file_access::of(from);
  auto& target = detail::descriptor_access::changing(to);
  constexpr auto furthest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (source == nullptr || source->is_closed() || !target.is_open()) {
    ec = detail::closed_error();
    return 0;
  }
  if (offset > furthest) {
    ec = std::make_error_code(std::errc::invalid_argument);
    return 0;
  }
  ec.clear();
  std::uint64_t done = 0;
  // Numbers of which the kernel knows nothing are not for sendfile().
  if (target.calls().kind() == detail::descriptor_kind::real &&
      &source->calls().beneath() == &detail::kernel_file_calls()) {
    second_number const number{source->calls(), target, ec};
    while (number.get() >= 0 && done < count) {
      auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(count - done, send_piece));
      auto const sent = send_some(target, number.get(), *source, offset + done, size, ec);
      done += sent;
      if (ec && number.get() >= 0 && cannot_be_sent(ec)) break;
      if (sent == 0 || ec) return done;
    }
    if (!ec) return done;
  }
  return done + read_and_write(to, from, offset + done, count - done, ec);
}

std::uint64_t send_file(stream& to, file& from, std::uint64_t offset, std::uint64_t count) {
  std::error_code ec;
  auto const sent = send_file(to, from, offset, count, ec);
  if (ec) throw_error(ec, {"sending '", from.path().native(), "'"});
  return sent;
}

}  // namespace weft::inline v0::io
