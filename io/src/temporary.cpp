#include <weft/io/temporary.hpp>

#include "error_text.hpp"
#include "file_access.hpp"
#include "file_replacement.hpp"
#include "file_transfer.hpp"
#include "open_file.hpp"
#include "remove_tree.hpp"
#include "temporary_name.hpp"
#include "where_it_may_block.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <new>
#include <string>
#include <unistd.h>
#include <utility>

namespace weft::inline v0::io {

namespace {

std::filesystem::path directory_or_default(std::filesystem::path const& given) {
  if (!given.empty()) return given;
  char const* const set = std::getenv("TMPDIR");
  return set != nullptr && *set != '\0' ? set : "/tmp";
}

[[noreturn]] void throw_making(std::error_code ec, std::string_view what, std::filesystem::path const& directory) {
  throw_error(ec, {"making ", what, " in '", directory_or_default(directory).native(), "'"});
}

}  // namespace

// --- files -----------------------------------------------------------------------------------------------------------

temp_file temp_file::make(std::filesystem::path const& directory, std::filesystem::perms permissions,
                          std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  auto const place = directory_or_default(directory);
  std::unique_ptr<detail::open_file> of;
  std::filesystem::path path;
  int number = check_path(place.native());
  try {
    detail::where_it_may_block([&] {
      if (number < 0) return;
      number = try_temporary_names(calls, place, path, [&](char const* name) {
        return calls.open(name, O_RDWR | O_CREAT | O_EXCL, static_cast<unsigned>(permissions) & 0777U);
      });
      if (number < 0) return;
      try {
        of = std::make_unique<detail::open_file>(number, calls, path.native(), false);
      } catch (...) {
        (void)calls.close(number);
        (void)calls.unlink(path.c_str());
        throw;
      }
    });
  } catch (...) {
    if (of != nullptr) temp_file const made{file_access::make(std::move(of)), std::move(path), calls};
    throw;
  }
  set_error(ec, number);
  return ec ? temp_file{} : temp_file{file_access::make(std::move(of)), std::move(path), calls};
}

temp_file temp_file::make(std::filesystem::path const& directory, std::filesystem::perms permissions) {
  std::error_code ec;
  auto made = make(directory, permissions, ec);
  if (ec) throw_making(ec, "a temporary file", directory);
  return made;
}

temp_file& temp_file::operator=(temp_file&& other) noexcept {
  if (this != &other) {
    drop();
    file::operator=(std::move(other));
    path_ = std::exchange(other.path_, {});
    calls_ = std::exchange(other.calls_, nullptr);
    maker_ = other.maker_;
  }
  return *this;
}

temp_file::temp_file(file opened, std::filesystem::path path, detail::file_calls& calls) noexcept
    : file(std::move(opened)), path_(std::move(path)), calls_(&calls), maker_(::getpid()) {}

temp_file::~temp_file() { drop(); }

/// It may have been moved out, or another put in its place, by way of the base class.
bool temp_file::has_its_file() const noexcept { return opened() != nullptr && opened()->path() == path_.native(); }

void temp_file::drop() noexcept {
  auto* const calls = std::exchange(calls_, nullptr);
  if (calls == nullptr || maker_ != ::getpid()) return;
  detail::surely_where_it_may_block([&]() noexcept {
    if (has_its_file()) (void)opened()->close();
    (void)uninterrupted([&] { return calls->unlink(path_.c_str()); });
  });
}

void temp_file::rename_to(std::filesystem::path const& path, std::error_code& ec) {
  int status = calls_ == nullptr || !has_its_file() ? -EBADF : check_path(path.native());
  bool renamed = false;
  auto const note = [&] {
    if (renamed) calls_ = nullptr;
  };
  try {
    detail::where_it_may_block([&] {
      if (status < 0) return;
      file_info old;
      status = uninterrupted([&] { return calls_->lstat(path.c_str(), old); });
      if (status == 0 && !may_be_replaced(old)) status = -EINVAL;
      if (status < 0 && status != -ENOENT) return;
      status = opened()->use(
          [](detail::file_calls& calls, int fd) { return uninterrupted([&] { return calls.fsync(fd); }); });
      if (status == 0) status = opened()->close();
      if (status == 0) status = put_in_place(*calls_, path_.c_str(), path, renamed);
    });
  } catch (...) {
    note();
    throw;
  }
  note();
  set_error(ec, status);
}

void temp_file::rename_to(std::filesystem::path const& path) {
  std::error_code ec;
  rename_to(path, ec);
  if (ec) throw_error(ec, {"making a temporary file '", path.native(), "'"});
}

// --- directories -----------------------------------------------------------------------------------------------------

temp_directory temp_directory::make(std::filesystem::path const& parent, std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  auto const place = directory_or_default(parent);
  temp_directory made;
  int status = check_path(place.native());
  detail::where_it_may_block([&] {
    if (status < 0) return;
    status = try_temporary_names(calls, place, made.path_, [&](char const* name) { return calls.mkdir(name, 0700); });
    if (status == 0) made.calls_ = &calls;
    made.maker_ = ::getpid();
  });
  set_error(ec, status);
  if (ec) made.path_.clear();
  return made;
}

temp_directory temp_directory::make(std::filesystem::path const& parent) {
  std::error_code ec;
  auto made = make(parent, ec);
  if (ec) throw_making(ec, "a temporary directory", parent);
  return made;
}

temp_directory::temp_directory(temp_directory&& other) noexcept
    : path_(std::exchange(other.path_, {})), calls_(std::exchange(other.calls_, nullptr)), maker_(other.maker_) {}

temp_directory& temp_directory::operator=(temp_directory&& other) noexcept {
  if (this != &other) {
    drop();
    path_ = std::exchange(other.path_, {});
    calls_ = std::exchange(other.calls_, nullptr);
    maker_ = other.maker_;
  }
  return *this;
}

void temp_directory::drop() noexcept {
  auto* const calls = std::exchange(calls_, nullptr);
  if (calls == nullptr || maker_ != ::getpid()) return;
  detail::surely_where_it_may_block([&]() noexcept {
    std::size_t removed = 0;
    try {
      (void)remove_tree(*calls, path_, removed, {});
    } catch (std::bad_alloc const&) {  // NOLINT: what cannot be removed stays
    }
  });
  path_.clear();
}

}  // namespace weft::inline v0::io
