#include <weft/io/stream.hpp>

#include "error_text.hpp"

#include <weft/io/error.hpp>
#include <weft/runtime/detail/socket_calls.hpp>
#include <weft/sync/mutex.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <sys/uio.h>

namespace weft::inline v0::io {

using detail::readiness;
using detail::system_calls;

namespace {

/// What the system calls take in place of spans.
class iovec_array {
public:
  template <class Byte>
  explicit iovec_array(std::span<std::span<Byte> const> pieces) noexcept : count_(std::min(pieces.size(), most)) {
    for (std::size_t i = 0; i < count_; ++i) {
      vectors_[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
      bytes_ += pieces[i].size();
    }
  }
  [[nodiscard]] iovec* data() noexcept { return vectors_.data(); }
  [[nodiscard]] int count() const noexcept { return static_cast<int>(count_); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] msghdr message() noexcept {
    msghdr m{};
    m.msg_iov = data();
    m.msg_iovlen = count_;
    return m;
  }

private:
  static constexpr std::size_t most = detail::pieces<std::byte>::most;
  std::array<iovec, most> vectors_;
  std::size_t count_;
  std::size_t bytes_ = 0;
};

std::size_t bytes_done(ssize_t result) noexcept { return result > 0 ? static_cast<std::size_t>(result) : 0; }

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Reading ahead
// ---------------------------------------------------------------------------------------------------------------------

class stream::look_ahead final : public buffered_source {
public:
  /// As long as most requests, and as small as an idle connection should be.
  static constexpr std::size_t size = 4096;
  look_ahead() noexcept : buffered_source(size, 0) {}

  mutex in_use;
  stream* of = nullptr;  // the stream moves; set by each who uses this

  using buffered_source::put_back;
  using buffered_source::take;

protected:
  std::size_t fetch(std::span<std::byte> into, std::error_code& ec) override { return of->receive(into, ec); }
};

/// One reader's turn with the buffer.
class stream::turn {
public:
  explicit turn(stream& reader) : turn(reader, reader.ahead_.get_or_make()) {}
  turn(stream& reader, look_ahead& ahead) : ahead_(ahead), held_(ahead.in_use) {
    ahead_.of = &reader;
    if (!reader.is_open()) ahead_.consume(ahead_.buffered().size());
  }
  look_ahead* operator->() const noexcept { return &ahead_; }

private:
  look_ahead& ahead_;
  std::scoped_lock<mutex> held_;
};

stream::look_ahead& stream::look_ahead_slot::get_or_make() {
  if (auto* const there = get(); there != nullptr) return *there;
  auto made = std::make_unique<look_ahead>();
  look_ahead* seen = nullptr;
  // release: publishes what was made. acquire: the same of another's.
  if (at_.compare_exchange_strong(seen, made.get(), std::memory_order_acq_rel, std::memory_order_acquire)) {
    return *made.release();
  }
  return *seen;
}

void stream::look_ahead_slot::drop() noexcept { delete at_.exchange(nullptr, std::memory_order_relaxed); }

std::size_t stream::buffered() const noexcept {
  auto const* const ahead = ahead_.get();
  return ahead == nullptr || !is_open() ? 0 : ahead->buffered().size();
}

std::string stream::read_exactly(std::size_t count) {
  return turn { *this } -> read_exactly(count);
}
std::string stream::read_exactly(std::size_t count, std::error_code& ec) {
  return turn { *this } -> read_exactly(count, ec);
}
std::string stream::read_until(std::string_view delimiter, std::size_t limit) {
  return turn { *this } -> read_until(delimiter, limit);
}
std::string stream::read_until(std::string_view delimiter, std::size_t limit, std::error_code& ec) {
  return turn { *this } -> read_until(delimiter, limit, ec);
}
std::optional<std::string> stream::read_line(std::size_t limit) {
  return turn { *this } -> read_line(limit);
}
std::optional<std::string> stream::read_line(std::size_t limit, std::error_code& ec) {
  return turn { *this } -> read_line(limit, ec);
}
std::string stream::read_all(std::size_t limit) {
  return turn { *this } -> read_all(limit);
}
std::string stream::read_all(std::size_t limit, std::error_code& ec) {
  return turn { *this } -> read_all(limit, ec);
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/// In line, down to the system call: see socket_calls.hpp.
[[gnu::always_inline]] inline std::size_t stream::receive_in_line(std::span<std::byte> buffer, std::error_code& ec) {
  auto const attempt = [this, buffer](system_calls& calls, int fd) __attribute__((always_inline)) {
    if (carrier_ != carrier::socket) [[unlikely]]
      return calls.read(fd, buffer.data(), buffer.size());
    if (!calls.are_kernels()) [[unlikely]]
      return calls.recv(fd, buffer.data(), buffer.size(), 0);
    return detail::kernel_recv(fd, buffer.data(), buffer.size(), 0);
  };
  detail::read_by_loop read{buffer.data(), buffer.size()};
  bool const by_loop = carrier_ == carrier::socket && descriptor_.is_kernels() && buffer.size() <= read.largest;
  return bytes_done(descriptor_.perform(readiness::readable, buffer.size(), ec, attempt, by_loop ? &read : nullptr));
}

std::size_t stream::receive(std::span<std::byte> buffer, std::error_code& ec) { return receive_in_line(buffer, ec); }

std::size_t stream::receive(std::span<std::span<std::byte> const> to, std::error_code& ec) {
  iovec_array vectors{to};
  auto const attempt = [&](system_calls& calls, int fd) {
    if (carrier_ == carrier::other) return calls.readv(fd, vectors.data(), vectors.count());
    auto message = vectors.message();
    return calls.recvmsg(fd, &message, 0);
  };
  return bytes_done(descriptor_.perform(readiness::readable, vectors.bytes(), ec, attempt));
}

std::size_t stream::read_some(std::span<std::byte> buffer, std::error_code& ec) {
  if (auto* const ahead = ahead_.get(); ahead != nullptr) return turn {
      *this, *ahead
    } -> read_some(buffer, ec);
  if (!buffer.empty()) return receive_in_line(buffer, ec);
  detail::check_cancelled();
  ec.clear();
  return 0;
}

std::size_t stream::read_pieces(std::span<std::span<std::byte> const> to, std::error_code& ec) {
  if (to.size() <= 1) return read_some(to.empty() ? std::span<std::byte>{} : to.front(), ec);
  auto* const ahead = ahead_.get();
  if (ahead == nullptr) return receive(to, ec);
  turn const mine{*this, *ahead};
  if (mine->buffered().empty()) return receive(to, ec);
  detail::check_cancelled();
  ec.clear();
  std::size_t done = 0;
  for (auto const piece : to) done += mine->take(piece);
  return done;
}

std::size_t stream::read_exactly(std::span<std::byte> buffer, std::error_code& ec) {
  if (auto* const ahead = ahead_.get(); ahead != nullptr) return turn {
      *this, *ahead
    } -> read_exactly(buffer, ec);
  std::size_t done = 0;
  try {
    do {
      auto const more = read_some(buffer.subspan(done), ec);
      if (more == 0) break;
      done += more;
    } while (done < buffer.size());
  } catch (...) {
    give_back(buffer.first(done));
    throw;
  }
  return done;
}

/// For a read that was cancelled.
void stream::give_back(std::span<std::byte const> taken) {
  if (taken.empty()) return;
  auto& ahead = ahead_.get_or_make();
  // Another reader that has just made the buffer may hold it for long, and this one must not wait: then it has taken
  // some of that one's bytes, as two readers do.
  if (std::unique_lock const held{ahead.in_use, std::try_to_lock}; held.owns_lock()) ahead.put_back(taken);
}

std::size_t stream::read_some(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_some(buffer, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  return done;
}

std::size_t stream::read_pieces(std::span<std::span<std::byte> const> to) {
  std::error_code ec;
  auto const done = read_pieces(to, ec);
  if (ec) throw_error(ec, {"reading from a stream"});
  return done;
}

void stream::read_exactly(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_exactly(buffer, ec);
  if (ec) {
    give_back(buffer.first(done));
    throw_error(ec, {"reading from a stream"});
  }
  if (done < buffer.size()) throw_incomplete(done, buffer.size(), {});
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------------------------------

/// As receive_in_line().
[[gnu::always_inline]] inline std::size_t stream::send_in_line(std::span<std::byte const> buffer, std::error_code& ec) {
  auto const attempt = [this, buffer](system_calls& calls, int fd) __attribute__((always_inline)) {
    if (carrier_ != carrier::socket) [[unlikely]]
      return calls.write(fd, buffer.data(), buffer.size());
    if (!calls.are_kernels()) [[unlikely]]
      return calls.send(fd, buffer.data(), buffer.size(), 0);
    return detail::kernel_send(fd, buffer.data(), buffer.size(), 0);
  };
  if (buffer.empty()) {
    detail::check_cancelled();
    ec.clear();
    return 0;
  }
  return bytes_done(descriptor_.perform(readiness::writable, buffer.size(), ec, attempt));
}

std::size_t stream::write_some(std::span<std::byte const> buffer, std::error_code& ec) {
  return send_in_line(buffer, ec);
}

std::size_t stream::write_pieces(std::span<std::span<std::byte const> const> from, std::error_code& ec) {
  if (from.size() <= 1) return write_some(from.empty() ? std::span<std::byte const>{} : from.front(), ec);
  iovec_array vectors{from};
  auto const attempt = [&](system_calls& calls, int fd) {
    if (carrier_ == carrier::other) return calls.writev(fd, vectors.data(), vectors.count());
    auto const message = vectors.message();
    return calls.sendmsg(fd, &message, 0);
  };
  return bytes_done(descriptor_.perform(readiness::writable, vectors.bytes(), ec, attempt));
}

std::size_t stream::write_all(std::span<std::byte const> buffer, std::error_code& ec) {
  std::size_t done = 0;
  do done += send_in_line(buffer.subspan(done), ec);
  while (done < buffer.size() && !ec);
  return done;
}

std::size_t stream::write_some(std::span<std::byte const> buffer) {
  std::error_code ec;
  auto const done = write_some(buffer, ec);
  if (ec) throw_error(ec, {"writing to a stream"});
  return done;
}

std::size_t stream::write_pieces(std::span<std::span<std::byte const> const> from) {
  std::error_code ec;
  auto const done = write_pieces(from, ec);
  if (ec) throw_error(ec, {"writing to a stream"});
  return done;
}

void stream::write_all(std::span<std::byte const> buffer) {
  std::error_code ec;
  (void)write_all(buffer, ec);
  if (ec) throw_error(ec, {"writing to a stream"});
}

}  // namespace weft::inline v0::io
