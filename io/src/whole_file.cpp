#include <weft/io/whole_file.hpp>

#include "error_text.hpp"
#include "file_replacement.hpp"
#include "file_transfer.hpp"
#include "open_file.hpp"
#include "opening.hpp"
#include "temporary_name.hpp"
#include "where_it_may_block.hpp"

#include <cerrno>
#include <fcntl.h>
#include <utility>

namespace weft::inline v0::io {

using detail::file_calls;

namespace {

/// Closes it at the end.
class number_guard {
public:
  number_guard(file_calls& calls, int number) noexcept : calls_(calls), number_(number) {}
  number_guard(number_guard const&) = delete;
  ~number_guard() { (void)close(); }
  /// @returns what the call does
  int close() noexcept {
    int const number = std::exchange(number_, -1);
    return number < 0 ? 0 : detail::close_number(calls_, number);
  }

private:
  file_calls& calls_;
  int number_;
};

int read_whole(file_calls& calls, char const* path, std::string& to, std::size_t limit, std::stop_token const& token) {
  int const number = open_with_positions(calls, path, O_RDONLY, 0, token);
  if (number < 0) return number;
  number_guard const closing{calls, number};
  return read_rest(calls, number, to, 0, limit, token);
}

class replacement {
public:
  replacement(file_calls& calls, std::filesystem::path const& path)
      : calls_(calls), path_(path), directory_(path.has_parent_path() ? path.parent_path() : ".") {}
  replacement(replacement const&) = delete;
  /// What has not been renamed goes.
  ~replacement() {
    if (made_) (void)uninterrupted([&] { return calls_.unlink(temporary_.c_str()); });
  }

  /// @returns an error, or 0
  int write(std::span<std::byte const> contents, std::filesystem::perms permissions, std::stop_token const& token) {
    file_info old;
    int status = uninterrupted([&] { return calls_.lstat(path_.c_str(), old); });
    bool const is_there = status == 0;
    if (!is_there && status != -ENOENT) return status;
    if (is_there && old.is_directory()) return -EISDIR;
    bool const keeps = is_there && old.is_regular();
    if (is_there && !may_be_replaced(old)) return -EINVAL;  // before all is written
    int const number = make(keeps ? old.permissions & permissions : permissions);
    if (number < 0) return number;
    number_guard file{calls_, number};
    status = write_fully(calls_, number, contents, 0, token).error;
    if (status == 0 && keeps)
      status = uninterrupted(
          [&] { return calls_.fchmod(number, static_cast<unsigned>(old.permissions & std::filesystem::perms::mask)); });
    if (status == 0) status = uninterrupted([&] { return calls_.fsync(number); });
    int const closed = file.close();
    if (status == 0) status = closed;
    if (status != 0) return status;
    if (token.stop_requested()) return -ECANCELED;  // not seen: to be cancelled is thrown
    bool renamed = false;
    status = put_in_place(calls_, temporary_.c_str(), path_, renamed);
    if (renamed) made_ = false;
    return status;
  }

private:
  int make(std::filesystem::perms permissions) {
    return try_temporary_names(calls_, directory_, temporary_, [&](char const* name) {
      int const number = calls_.open(name, O_WRONLY | O_CREAT | O_EXCL, static_cast<unsigned>(permissions) & 0777U);
      if (number >= 0) made_ = true;
      return number;
    });
  }

  file_calls& calls_;
  std::filesystem::path const& path_;
  std::filesystem::path const directory_;
  std::filesystem::path temporary_;
  bool made_ = false;
};

}  // namespace

std::string read_file(std::filesystem::path const& path, std::size_t limit, std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  std::string contents;
  int status = check_path(path.native());
  detail::where_it_may_block([&](std::stop_token const& token) {
    if (status == 0) status = read_whole(calls, path.c_str(), contents, limit, token);
  });
  set_error(ec, status);
  if (ec) contents.clear();
  return contents;
}

std::string read_file(std::filesystem::path const& path, std::size_t limit) {
  std::error_code ec;
  auto contents = read_file(path, limit, ec);
  if (ec == std::errc::message_size) throw_too_large(path.native(), limit);
  if (ec) throw_error(ec, {"reading '", path.native(), "'"});
  return contents;
}

void write_file(std::filesystem::path const& path, std::span<std::byte const> contents,
                std::filesystem::perms permissions, std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  int status = check_path(path.native());
  if (path.empty()) status = -ENOENT;
  detail::where_it_may_block([&](std::stop_token const& token) {
    if (status == 0) status = replacement{calls, path}.write(contents, permissions, token);
  });
  set_error(ec, status);
}

void write_file(std::filesystem::path const& path, std::span<std::byte const> contents,
                std::filesystem::perms permissions) {
  std::error_code ec;
  write_file(path, contents, permissions, ec);
  if (ec) throw_error(ec, {"writing '", path.native(), "'"});
}

}  // namespace weft::inline v0::io
