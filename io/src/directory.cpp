#include <weft/io/directory.hpp>

#include "error_text.hpp"
#include "file_transfer.hpp"
#include "remove_tree.hpp"
#include "where_it_may_block.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <utility>

namespace weft::inline v0::io {

using detail::file_calls;

namespace {

/// Passes `call(calls)`, which gives an error or something from 0 up, to where it may block.
/// @returns what it gives, or 0
template <class Call>
auto ask_about(std::filesystem::path const& path, std::error_code& ec, Call call) {
  auto& calls = detail::current_file_calls();
  auto result = decltype(call(calls)){check_path(path.native())};
  detail::where_it_may_block([&] {
    if (result == 0) result = call(calls);
  });
  set_error(ec, result);
  return ec ? 0 : result;
}

/// The throwing form of a call: `call(ec)`.
template <class Call>
auto or_throw(std::string_view doing, std::filesystem::path const& path, Call call) {
  std::error_code ec;
  auto result = call(ec);
  if (ec) throw_error(ec, {doing, " '", path.native(), "'"});
  return result;
}

/// @returns 1: made, 0: it was there already, or an error
int make_directory(file_calls& calls, std::filesystem::path const& path) noexcept {
  auto const permissions = static_cast<unsigned>(default_directory_permissions);
  int const status = uninterrupted([&] { return calls.mkdir(path.c_str(), permissions); });
  if (status == 0) return 1;
  file_info about;
  if (status == -EEXIST && uninterrupted([&] { return calls.stat(path.c_str(), about); }) == 0) {
    return about.is_directory() ? 0 : status;
  }
  return status;
}

int make_directories(file_calls& calls, std::filesystem::path const& path) {
  int status = make_directory(calls, path);
  auto const above = path.parent_path();
  if (status != -ENOENT || above.empty() || above == path) return status;
  status = make_directories(calls, above);
  return status < 0 || path.filename().empty() ? status : make_directory(calls, path);
}

}  // namespace

bool create_directory(std::filesystem::path const& path, std::error_code& ec) {
  return ask_about(path, ec, [&](file_calls& calls) { return make_directory(calls, path); }) == 1;
}
bool create_directories(std::filesystem::path const& path, std::error_code& ec) {
  return ask_about(path, ec, [&](file_calls& calls) { return make_directories(calls, path); }) == 1;
}

std::vector<directory_entry> list_directory(std::filesystem::path const& path, std::error_code& ec) {
  std::vector<directory_entry> entries;
  ask_about(path, ec, [&](file_calls& calls) {
    int const status = uninterrupted([&] {
      entries.clear();
      return calls.list(path.c_str(), entries);
    });
    std::sort(entries.begin(), entries.end(), [](auto const& a, auto const& b) { return a.name < b.name; });
    return status;
  });
  if (ec) entries.clear();
  return entries;
}

generator<walked_entry> walk_directory(std::filesystem::path path) {
  return generator<walked_entry>{[top = std::move(path)](auto& yield) {
    std::vector<walked_entry> to_come;
    auto const enter = [&to_come](std::filesystem::path const& directory, std::size_t depth) {
      std::error_code ec;
      auto entries = list_directory(directory, ec);
      if (ec && (ec != std::errc::no_such_file_or_directory || depth == 0)) {
        throw_error(ec, {"listing '", directory.native(), "'"});
      }
      for (auto at = entries.rbegin(); at != entries.rend(); ++at) {
        to_come.push_back({directory / at->name, at->type, depth});
      }
    };
    enter(top, 0);
    while (!to_come.empty()) {
      auto const entry = std::move(to_come.back());
      to_come.pop_back();
      yield(entry);
      if (entry.type == std::filesystem::file_type::directory) enter(entry.path, entry.depth + 1);
    }
  }};
}

bool remove(std::filesystem::path const& path, std::error_code& ec) {
  auto const removed = ask_about(path, ec,
                                 [&](file_calls& calls) { return remove_one(calls, AT_FDCWD, path.c_str()); }) == 0;
  if (ec != std::errc::no_such_file_or_directory) return removed && !ec;
  ec.clear();
  return false;
}

std::size_t remove_all(std::filesystem::path const& path, std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  std::size_t removed = 0;
  int status = check_path(path.native());
  detail::where_it_may_block([&](std::stop_token const& token) {
    if (status == 0) status = remove_tree(calls, path, removed, token);
  });
  set_error(ec, status);
  return removed;
}

void rename(std::filesystem::path const& from, std::filesystem::path const& to, std::error_code& ec) {
  ask_about(from, ec, [&](file_calls& calls) {
    int const status = check_path(to.native());
    return status < 0 ? status : uninterrupted([&] { return calls.rename(from.c_str(), to.c_str()); });
  });
}

file_info stat(std::filesystem::path const& path, std::error_code& ec) {
  file_info about;
  ask_about(path, ec,
            [&](file_calls& calls) { return uninterrupted([&] { return calls.stat(path.c_str(), about); }); });
  return about;
}
file_info link_stat(std::filesystem::path const& path, std::error_code& ec) {
  file_info about;
  ask_about(path, ec,
            [&](file_calls& calls) { return uninterrupted([&] { return calls.lstat(path.c_str(), about); }); });
  return about;
}

bool exists(std::filesystem::path const& path, std::error_code& ec) {
  (void)io::stat(path, ec);
  if (ec != std::errc::no_such_file_or_directory && ec != std::errc::not_a_directory) return !ec;
  ec.clear();
  return false;
}

// --- the throwing forms ----------------------------------------------------------------------------------------------

bool create_directory(std::filesystem::path const& path) {
  return or_throw("making the directory", path, [&](std::error_code& ec) { return io::create_directory(path, ec); });
}
bool create_directories(std::filesystem::path const& path) {
  return or_throw("making the directory", path, [&](std::error_code& ec) { return io::create_directories(path, ec); });
}
std::vector<directory_entry> list_directory(std::filesystem::path const& path) {
  return or_throw("listing", path, [&](std::error_code& ec) { return io::list_directory(path, ec); });
}
bool remove(std::filesystem::path const& path) {
  return or_throw("removing", path, [&](std::error_code& ec) { return io::remove(path, ec); });
}
std::size_t remove_all(std::filesystem::path const& path) {
  return or_throw("removing", path, [&](std::error_code& ec) { return io::remove_all(path, ec); });
}
void rename(std::filesystem::path const& from, std::filesystem::path const& to) {
  std::error_code ec;
  io::rename(from, to, ec);
  if (ec) throw_error(ec, {"renaming '", from.native(), "' to '", to.native(), "'"});
}
bool exists(std::filesystem::path const& path) {
  return or_throw("asking about", path, [&](std::error_code& ec) { return io::exists(path, ec); });
}
file_info stat(std::filesystem::path const& path) {
  return or_throw("asking about", path, [&](std::error_code& ec) { return io::stat(path, ec); });
}
file_info link_stat(std::filesystem::path const& path) {
  return or_throw("asking about", path, [&](std::error_code& ec) { return io::link_stat(path, ec); });
}

}  // namespace weft::inline v0::io
