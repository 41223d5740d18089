#include <weft/io/file.hpp>

#include "error_text.hpp"
#include "file_transfer.hpp"
#include "open_file.hpp"
#include "opening.hpp"
#include "where_it_may_block.hpp"

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <string>
#include <utility>

namespace weft::inline v0::io {

using detail::file_calls;
using detail::open_file;
using detail::where_it_may_block;

namespace {

/// In bytes: what lines are read by. A fraction of what the way to a thread costs is copying it.
constexpr std::size_t line_buffer = 65'536;

int flags_of(open_mode mode) noexcept {
  switch (mode) {
    case open_mode::read: return O_RDONLY;
    case open_mode::write: return O_WRONLY | O_CREAT | O_TRUNC;
    case open_mode::append: return O_WRONLY | O_CREAT | O_APPEND;
    case open_mode::create: return O_RDWR | O_CREAT | O_EXCL;
    case open_mode::update: return O_RDWR;
    case open_mode::update_or_create: return O_RDWR | O_CREAT;
  }
  return -1;
}

std::string_view purpose_of(open_mode mode) noexcept {
  switch (mode) {
    case open_mode::read: return "' for reading";
    case open_mode::write: return "' for writing";
    case open_mode::append: return "' for appending";
    case open_mode::create: return "' as a new file";
    case open_mode::update:
    case open_mode::update_or_create: return "' for reading and writing";
  }
  return "'";
}

/// Of a device: some have positions, and terminals have none.  @returns an error, or 0
int refuse_without_positions(file_calls& calls, int number, int flags) noexcept {
  std::byte none{};
  auto const tried = uninterrupted([&] {
    return (flags & O_ACCMODE) == O_WRONLY ? calls.pwrite(number, &none, 0, 0) : calls.pread(number, &none, 0, 0);
  });
  return tried == -ESPIPE ? -ESPIPE : 0;
}

/// @returns the number, or the negative error number
int open_to_use(file_calls& calls, char const* path, int flags, unsigned permissions,
                std::stop_token const& token) noexcept {
  int const number = open_with_positions(calls, path, flags, permissions, token);
  if (number < 0) return number;
  file_info about;
  int status = uninterrupted([&] { return calls.fstat(number, about); });
  if (status == 0) status = refuse_type(about.type);
  if (status == 0 && about.type == std::filesystem::file_type::character) {
    status = refuse_without_positions(calls, number, flags);
  }
  if (status == 0) return number;
  (void)calls.close(number);
  return status;
}

/// Passes `call(calls, number, token)` to where it may block.
template <class Call>
std::size_t move_bytes(open_file* of, std::size_t size, std::error_code& ec, Call call) {
  transferred done{0, -EBADF};
  if (of == nullptr) {
    detail::check_cancelled();
  } else if (size <= file_chunk) {  // a token would cost an allocation, and is not looked at
    where_it_may_block([&] {
      done.error = of->use(
          [&](file_calls& calls, int fd) { return (done = call(calls, fd, std::stop_token{})).error; });
    });
  } else {
    where_it_may_block([&](std::stop_token const& token) {
      done.error = of->use([&](file_calls& calls, int fd) { return (done = call(calls, fd, token)).error; });
    });
  }
  set_error(ec, done.error);
  return done.bytes;
}

/// The same of a call that moves no bytes.
template <class Call>
void change(open_file* of, std::error_code& ec, Call call) {
  int status = -EBADF;
  if (of == nullptr) {
    detail::check_cancelled();
  } else {
    where_it_may_block([&] {
      status = of->use([&](file_calls& calls, int fd) { return uninterrupted([&] { return call(calls, fd); }); });
    });
  }
  set_error(ec, status);
}

}  // namespace

// --- opening and closing ---------------------------------------------------------------------------------------------

file::file() noexcept = default;
file::file(std::unique_ptr<open_file> of) noexcept : of_(std::move(of)) {}
file::file(file&& other) noexcept : of_(std::move(other.of_)), position_(std::exchange(other.position_, 0)) {}

file& file::operator=(file&& other) noexcept {
  if (this != &other) {
    file old{std::move(*this)};
    of_ = std::move(other.of_);
    position_ = std::exchange(other.position_, 0);
  }
  return *this;
}

file::~file() {
  std::error_code ignored;
  close(ignored);
}

file file::open(std::filesystem::path const& path, open_mode mode, std::filesystem::perms permissions,
                std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  std::unique_ptr<open_file> of;
  int number = check_path(path.native());
  int const flags = flags_of(mode);
  if (flags < 0) number = -EINVAL;
  if (number < 0) {
    detail::check_cancelled();
    set_error(ec, number);
    return {};
  }
  try {
    where_it_may_block([&](std::stop_token const& token) {
      std::string name = path.native();
      number = open_to_use(calls, path.c_str(), flags, static_cast<unsigned>(permissions) & 07777U, token);
      if (number < 0) return;
      try {
        of = std::make_unique<open_file>(number, calls, std::move(name), mode == open_mode::append);
      } catch (...) {
        (void)calls.close(number);
        throw;
      }
    });
  } catch (...) {
    file const opened{std::move(of)};  // closed where it may block
    throw;
  }
  set_error(ec, number);
  return file{std::move(of)};
}

file file::open(std::filesystem::path const& path, open_mode mode, std::filesystem::perms permissions) {
  std::error_code ec;
  auto opened = open(path, mode, permissions, ec);
  if (ec) throw_error(ec, {"opening '", path.native(), purpose_of(mode)});
  return opened;
}

void file::close(std::error_code& ec) {
  int status = 0;
  if (is_open()) detail::surely_where_it_may_block([&]() noexcept { status = of_->close(); });
  set_error(ec, status);
}

void file::close() {
  std::error_code ec;
  close(ec);
  if (ec) fail(ec, "closing");
}

bool file::is_open() const noexcept { return of_ != nullptr && !of_->is_closed(); }
int file::native_handle() const noexcept { return is_open() ? of_->number() : -1; }
std::filesystem::path file::path() const { return of_ != nullptr ? std::filesystem::path{of_->path()} : ""; }

void file::fail(std::error_code ec, std::string_view doing) const {
  if (of_ == nullptr) throw_error(ec, {doing, " a file that was not opened"});
  throw_error(ec, {doing, " '", of_->path(), "'"});
}

// --- reading ---------------------------------------------------------------------------------------------------------

std::size_t file::pread(std::span<std::byte> buffer, std::uint64_t offset, std::error_code& ec) {
  return move_bytes(of_.get(), buffer.size(), ec, [&](file_calls& calls, int fd, std::stop_token const& token) {
    return read_fully(calls, fd, buffer, offset, token);
  });
}

std::size_t file::read(std::span<std::byte> buffer, std::error_code& ec) {
  auto const done = pread(buffer, position_, ec);
  position_ += done;
  return done;
}

std::size_t file::read_some(std::span<std::byte> buffer, std::error_code& ec) {
  buffer = buffer.first(std::min(buffer.size(), file_chunk));
  auto const done = move_bytes(of_.get(), buffer.size(), ec, [&](file_calls& calls, int fd, std::stop_token const&) {
    return read_once(calls, fd, buffer, position_);
  });
  position_ += done;
  return done;
}

std::string file::read_all(std::size_t limit, std::error_code& ec) {
  std::string all;
  (void)move_bytes(of_.get(), no_limit, ec, [&](file_calls& calls, int fd, std::stop_token const& token) {
    int const status = read_rest(calls, fd, all, position_, limit, token);
    return transferred{0, status};
  });
  if (ec) return {};
  position_ += all.size();
  return all;
}

std::size_t file::pread(std::span<std::byte> buffer, std::uint64_t offset) {
  std::error_code ec;
  auto const done = pread(buffer, offset, ec);
  if (ec) fail(ec, "reading from");
  return done;
}

std::size_t file::read(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read(buffer, ec);
  if (ec) fail(ec, "reading from");
  return done;
}

std::size_t file::read_some(std::span<std::byte> buffer) {
  std::error_code ec;
  auto const done = read_some(buffer, ec);
  if (ec) fail(ec, "reading from");
  return done;
}

std::string file::read_all(std::size_t limit) {
  std::error_code ec;
  auto all = read_all(limit, ec);
  if (ec == std::errc::message_size) throw_too_large(of_->path(), limit);
  if (ec) fail(ec, "reading from");
  return all;
}

namespace {

/// What write_fully() takes for an offset: one that no file can have must not be taken for the end.
std::uint64_t place_to_write(detail::open_file const& of, std::uint64_t offset) noexcept {
  return of.appends() ? at_the_end : std::min(offset, at_the_end - 1);
}

}  // namespace

// --- writing ---------------------------------------------------------------------------------------------------------

std::size_t file::pwrite(std::span<std::byte const> bytes, std::uint64_t offset, std::error_code& ec) {
  return move_bytes(of_.get(), bytes.size(), ec, [&](file_calls& calls, int fd, std::stop_token const& token) {
    return write_fully(calls, fd, bytes, place_to_write(*of_, offset), token);
  });
}

std::size_t file::write(std::span<std::byte const> bytes, std::error_code& ec) {
  transferred done{0, 0};
  auto const advance = [&] {
    if (of_ != nullptr && !of_->appends()) position_ += done.bytes;
  };
  try {
    (void)move_bytes(of_.get(), bytes.size(), ec, [&](file_calls& calls, int fd, std::stop_token const& token) {
      return done = write_fully(calls, fd, bytes, place_to_write(*of_, position_), token);
    });
  } catch (...) {
    advance();  // cancelled, but not undone
    throw;
  }
  advance();
  return done.bytes;
}

std::size_t file::write_some(std::span<std::byte const> bytes, std::error_code& ec) {
  return write(bytes.first(std::min(bytes.size(), file_chunk)), ec);
}

void file::pwrite(std::span<std::byte const> bytes, std::uint64_t offset) {
  std::error_code ec;
  (void)pwrite(bytes, offset, ec);
  if (ec) fail(ec, "writing to");
}

void file::write(std::span<std::byte const> bytes) {
  std::error_code ec;
  (void)write(bytes, ec);
  if (ec) fail(ec, "writing to");
}

std::size_t file::write_some(std::span<std::byte const> bytes) {
  std::error_code ec;
  auto const done = write_some(bytes, ec);
  if (ec) fail(ec, "writing to");
  return done;
}

// --- the file as a whole ---------------------------------------------------------------------------------------------

file_info file::stat(std::error_code& ec) const {
  file_info about;
  change(of_.get(), ec, [&](file_calls& calls, int fd) { return calls.fstat(fd, about); });
  return about;
}

void file::truncate(std::uint64_t size, std::error_code& ec) {
  auto const most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  change(of_.get(), ec, [&](file_calls& calls, int fd) {
    return size > most ? -EINVAL : calls.ftruncate(fd, static_cast<std::int64_t>(size));
  });
}

void file::sync(std::error_code& ec) {
  change(of_.get(), ec, [](file_calls& calls, int fd) { return calls.fsync(fd); });
}
void file::sync_data(std::error_code& ec) {
  change(of_.get(), ec, [](file_calls& calls, int fd) { return calls.fdatasync(fd); });
}

file_info file::stat() const {
  std::error_code ec;
  auto const about = stat(ec);
  if (ec) fail(ec, "asking about");
  return about;
}
void file::truncate(std::uint64_t size) {
  std::error_code ec;
  truncate(size, ec);
  if (ec) fail(ec, "changing the size of");
}
void file::sync() {
  std::error_code ec;
  sync(ec);
  if (ec) fail(ec, "syncing");
}
void file::sync_data() {
  std::error_code ec;
  sync_data(ec);
  if (ec) fail(ec, "syncing");
}

// --- lines -----------------------------------------------------------------------------------------------------------

file_lines file::lines(std::size_t limit) & { return {this, file{}, limit}; }
file_lines file::lines(std::size_t limit) && { return {nullptr, std::move(*this), limit}; }

file_lines::file_lines(file* borrowed, file owned, std::size_t limit) noexcept
    : buffered_source(line_buffer, line_buffer), borrowed_(borrowed), owned_(std::move(owned)), limit_(limit) {}

std::size_t file_lines::fetch(std::span<std::byte> into, std::error_code& ec) {
  return (borrowed_ != nullptr ? *borrowed_ : owned_).read_some(into, ec);
}

}  // namespace weft::inline v0::io
