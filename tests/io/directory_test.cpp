/// @file
/// Directories, names, and what is temporary.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"

#include <weft/io/directory.hpp>
#include <weft/io/temporary.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/collect.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

namespace io = weft::io;
using std::filesystem::file_type;
using weft::test::run_on;
using weft::test::scratch;
using weft::test::some_workers;
using weft::testing::io_call;
using weft::testing::io_faults;

using names = std::vector<std::string>;
using std::filesystem::path;

/// Files of these numbers, and as many in a directory `d`.
constexpr int files_of_each = 20;
void fill(path const& directory) {
  std::filesystem::create_directories(directory / "d");
  for (int i = 0; i < files_of_each; ++i) {
    std::ofstream{directory / std::to_string(i)} << i;
    std::ofstream{directory / "d" / std::to_string(i)} << i;
  }
}
bool has_files(path const& directory) {
  for (int i = 0; i < files_of_each; ++i) {
    if (!std::filesystem::exists(directory / std::to_string(i))) return false;
  }
  return true;
}
bool is_full(path const& directory) { return has_files(directory) && has_files(directory / "d"); }

/// Gives two names to each other's files, as fast as it can, from when it is made until it is destroyed.
class swapper {
public:
  swapper(path const& a, path const& b)
      : thread_([this, a, b] {
          while (!stopped_) {
            (void)::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
            begun_ = true;
          }
        }) {
    while (!begun_) std::this_thread::yield();
  }
  swapper(swapper const&) = delete;
  ~swapper() {
    stopped_ = true;
    thread_.join();
  }

private:
  std::atomic<bool> begun_{false};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

/// Removes `top`, and has `what`, a directory full of files in it, moved as soon as the first of those is gone.
/// @returns false: it was moved too late, when all had been removed
template <class Then = void (*)()>
bool removed_while_moved(path const& top, path const& what, path const& to, std::error_code& ec, Then then = [] {}) {
  io_faults faults;
  faults.delay_files(std::chrono::milliseconds{2});  // there are some forty calls to come
  bool moved = false;
  std::thread mover{[&] {
    while (has_files(what)) std::this_thread::yield();
    moved = std::rename(what.c_str(), to.c_str()) == 0;
    if (moved) then();
  }};
  io::remove_all(top, ec);
  mover.join();
  CHECK(faults.open_descriptors() == 0);
  return moved;
}

/// Leaves the process this many descriptors while it lives.
class scarce_descriptors {
public:
  explicit scarce_descriptors(std::size_t left) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    int highest = 0;
    for (auto const& each : std::filesystem::directory_iterator{"/proc/self/fd"}) {
      highest = std::max(highest, std::stoi(each.path().filename()));
    }
    auto less = before_;
    less.rlim_cur = static_cast<rlim_t>(highest) + 1 + left;
    ::setrlimit(RLIMIT_NOFILE, &less);
    for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken_.push_back(fd);
    for (; left != 0; --left) give_back();
  }
  scarce_descriptors(scarce_descriptors const&) = delete;
  ~scarce_descriptors() {
    while (!taken_.empty()) give_back();
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }

private:
  void give_back() {
    ::close(taken_.back());
    taken_.pop_back();
  }
  rlimit before_{};
  std::vector<int> taken_;
};

/// Directories in each other, the first one in `directory`; the path of the last is longer than the kernel takes.
void make_deep(path const& directory, int depth) {
  std::string const name(50, 'd');
  int at = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < depth && at >= 0; ++i) {
    if (::mkdirat(at, name.c_str(), 0700) != 0) break;
    int const next = ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(at);
    at = next;
  }
  ::close(at);
}

}  // namespace

TEST_CASE("directories are made, listed in order, and removed", "[io][directory]") {
  run_on(some_workers(), [] {
    scratch const dir;
    CHECK(io::create_directory(dir / "d"));
    CHECK_FALSE(io::create_directory(dir / "d"));
    CHECK(io::create_directories(dir / "x" / "y" / "z"));
    CHECK_FALSE(io::create_directories(dir / "x" / "y" / "z"));
    CHECK(io::create_directories(dir / "x" / "y" / "w" / ""));
    dir.put("f", "text");
    std::filesystem::create_symlink("f", dir / "link");
    CHECK(io::list_directory(dir.path()) == std::vector<io::directory_entry>{{"d", file_type::directory},
                                                                             {"f", file_type::regular},
                                                                             {"link", file_type::symlink},
                                                                             {"x", file_type::directory}});
    CHECK(io::list_directory(dir / "d").empty());
    CHECK(io::remove(dir / "d"));
    CHECK_FALSE(io::remove(dir / "d"));
    CHECK(io::remove(dir / "link"));
    CHECK(io::exists(dir / "f"));
    CHECK(io::remove_all(dir / "x") == 4);
    CHECK(io::remove_all(dir / "x") == 0);
    CHECK(dir.names() == names{"f"});
  });
}

TEST_CASE("a walk comes to each directory before what is in it, and follows no link", "[io][directory]") {
  run_on(some_workers(), [] {
    scratch const dir;
    std::filesystem::create_directories(dir / "b" / "c");
    dir.put("b/c/2", "");
    dir.put("b/1", "");
    dir.put("a", "");
    std::filesystem::create_directory_symlink("b", dir / "z");
    names seen;
    for (auto const& entry : io::walk_directory(dir.path())) {
      seen.push_back(std::to_string(entry.depth) + " " + entry.path.lexically_relative(dir.path()).string());
    }
    CHECK(seen == names{"0 a", "0 b", "1 b/1", "1 b/c", "2 b/c/2", "0 z"});
    for (auto const& entry : io::walk_directory(dir.path())) {
      if (entry.path.filename() == "b") io::remove_all(dir / "b");  // passed over
      CHECK(entry.depth == 0);
    }
    CHECK_THROWS_AS(io::walk_directory(dir / "none").begin(), std::system_error);
  });
}

TEST_CASE("names change, and are asked about", "[io][directory]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "1");
    dir.put("b", "22");
    io::rename(dir / "a", dir / "b");
    CHECK(dir.names() == names{"b"});
    CHECK(io::stat(dir / "b").size == 1);
    CHECK(io::stat(dir.path()).is_directory());
    std::filesystem::create_symlink("b", dir / "link");
    CHECK(io::stat(dir / "link").is_regular());
    CHECK(io::link_stat(dir / "link").is_symlink());
    CHECK(io::stat(dir / "link").number == io::stat(dir / "b").number);
    CHECK_FALSE(io::exists(dir / "none"));
    CHECK_FALSE(io::exists(dir / "b" / "none"));
  });
}

TEST_CASE("directories: missing, a file instead, not empty, permission, and paths with a NUL", "[io][directory]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("f", "");
    std::filesystem::create_directory(dir / "d");
    dir.put("d/x", "");
    std::error_code ec;
    CHECK(io::list_directory(dir / "none", ec).empty());
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK(io::list_directory(dir / "f", ec).empty());
    CHECK(ec == std::errc::not_a_directory);
    CHECK_FALSE(io::create_directory(dir / "f", ec));
    CHECK(ec == std::errc::file_exists);
    CHECK_FALSE(io::create_directory(dir / "none" / "a", ec));
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_FALSE(io::create_directories(dir / "f" / "a" / "b", ec));
    CHECK(ec == std::errc::not_a_directory);
    CHECK_FALSE(io::create_directories("", ec));
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_FALSE(io::remove(dir / "d", ec));
    CHECK(ec == std::errc::directory_not_empty);
    io::rename(dir / "none", dir / "a", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    io::rename(dir / "f", dir / "d", ec);
    CHECK(ec == std::errc::is_a_directory);
    std::string const nul("a\0b", 3);
    io::rename(dir / "f", nul, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK_FALSE(io::exists(nul, ec));
    CHECK(ec == std::errc::invalid_argument);
    CHECK(io::remove_all(nul, ec) == 0);
    CHECK(ec == std::errc::invalid_argument);
    (void)io::stat(dir / "none", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    if (::geteuid() != 0) {  // to whom all is permitted
      std::filesystem::permissions(dir / "d", std::filesystem::perms{0500});
      CHECK(io::remove_all(dir / "d", ec) == 0);
      CHECK(ec == std::errc::permission_denied);
      std::filesystem::permissions(dir / "d", std::filesystem::perms{0700});
    }
    try {
      (void)io::list_directory(dir / "none");
      FAIL("it is not there");
    } catch (std::system_error const& e) {
      CHECK(std::string_view{e.what()}.find("listing '" + (dir / "none").string()) != std::string_view::npos);
    }
  });
}

TEST_CASE("a symbolic link is removed, and what it leads to stays", "[io][directory]") {
  run_on(some_workers(), [] {
    scratch const dir;
    fill(dir / "kept");
    std::filesystem::create_directory_symlink("kept", dir / "link");
    std::error_code ec;
    CHECK(io::remove_all(dir / "link" / "", ec) == 0);
    CHECK(ec == std::errc::not_a_directory);
    CHECK(io::remove_all(dir / "link") == 1);
    CHECK(dir.names() == names{"kept"});
    std::filesystem::create_directory(dir / "t");
    std::filesystem::create_directory_symlink("../kept", dir / "t" / "link");
    std::filesystem::create_symlink("none", dir / "t" / "dangling");
    std::filesystem::create_symlink("itself", dir / "t" / "itself");
    CHECK(io::remove_all(dir / "t" / "") == 4);
    {
      auto const t = io::temp_directory::make(dir.path());
      std::filesystem::remove(t.path());
      std::filesystem::create_directory_symlink("kept", t.path());
    }
    CHECK(dir.names() == names{"kept"});
    for (auto const* const name : {".", "./", "..", "d/..", "d/..//", "none/.."}) {
      CAPTURE(name);
      CHECK(io::remove_all(dir / "kept" / name, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
    }
    CHECK(is_full(dir / "kept"));
    CHECK(io::remove_all(dir / "kept" / "0" / "", ec) == 0);
    CHECK(ec == std::errc::not_a_directory);
    CHECK(io::remove_all(dir / "kept" / "0") == 1);
  });
}

TEST_CASE("what is behind a link that takes a directory's place during remove_all stays", "[io][directory]") {
  enum class swapped { within, top, temporary };
  auto const what = GENERATE(swapped::within, swapped::top, swapped::temporary);
  run_on(1, [&] {
    scratch const dir;
    io_faults faults;
    fill(dir / "kept");
    for (int round = 0; round < 40; ++round) {
      std::error_code ec;  // may be set, as others are at work in the tree
      std::filesystem::create_directory(dir / "t");
      auto temporary = io::temp_directory::make(dir / "t");
      auto const place = what == swapped::temporary ? temporary.path() : dir / "t" / "x";
      fill(place);
      std::filesystem::create_directory_symlink(dir / "kept", dir / "t" / "link");
      {
        swapper const swapping{place, dir / "t" / "link"};
        switch (what) {
          case swapped::within: io::remove_all(dir / "t", ec); break;
          case swapped::top: io::remove_all(place / "", ec); break;
          case swapped::temporary: temporary = {}; break;
        }
      }
      REQUIRE(is_full(dir / "kept"));
      std::filesystem::remove_all(dir / "t");
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("remove_all stays in its tree when the directory in which it is is moved out", "[io][directory]") {
  run_on(1, [] {
    for (bool moved = false; !moved;) {
      scratch const dir;
      fill(dir / "kept");
      for (auto const* const name : {"t", "t/a", "t/a/b"}) fill(dir / name);
      std::error_code ec;
      moved = removed_while_moved(dir / "t", dir / "t/a/b/d", dir / "kept/moved", ec);
      if (!moved) continue;
      CHECK_FALSE(ec);
      CHECK(is_full(dir / "kept"));
      CHECK(std::filesystem::is_empty(dir / "kept/moved"));
      CHECK(dir.names() == names{"kept"});
    }
  });
}

TEST_CASE("remove_all leaves what takes the place of a directory that it has emptied", "[io][directory]") {
  run_on(1, [] {
    for (bool moved = false; !moved;) {
      scratch const dir;
      std::filesystem::create_symlink("t.old", dir / "link");
      fill(dir / "t");
      std::error_code ec;
      moved = removed_while_moved(dir / "t", dir / "t", dir / "t.old", ec,
                                  [&] { std::filesystem::rename(dir / "link", dir / "t"); });
      if (!moved) continue;
      CHECK(ec == std::errc::not_a_directory);
      CHECK(dir.names() == names{"t", "t.old"});
      CHECK(std::filesystem::is_empty(dir / "t.old"));
    }
  });
}

TEST_CASE("remove_all takes two descriptors for a tree of any depth", "[io][directory]") {
  scratch const dir;
  constexpr int depth = 100;
  constexpr int tries = 20;  // at others' moments, too: the process has threads that open something now and then
  run_on(1, [&] {
    std::error_code ec;
    std::size_t removed = 0;
    auto const remove_with = [&](std::size_t descriptors) {
      std::filesystem::remove_all(dir / "t");
      std::filesystem::create_directory(dir / "t");
      make_deep(dir / "t", depth);
      scarce_descriptors const scarce{descriptors};
      removed = io::remove_all(dir / "t", ec);
    };
    io::remove_all(dir / "none");  // the thread that does it is there
    for (int i = 0; i < tries && ec != std::errc::too_many_files_open; ++i) remove_with(1);
    CHECK(ec == std::errc::too_many_files_open);
    CHECK(removed == 0);
    for (int i = 0; i < tries && ec; ++i) remove_with(2);
    CHECK_FALSE(ec);
    CHECK(removed == depth + 1);
    CHECK(dir.names().empty());
  });
}

TEST_CASE("a temporary file goes with its object, unless it has got a name", "[io][temporary]") {
  run_on(some_workers(), [] {
    scratch const dir;
    io_faults faults;
    {
      auto t = io::temp_file::make(dir.path());
      t.write("text");
      t.seek(0);
      CHECK(t.read_all() == "text");
      CHECK(dir.names() == names{t.path().filename().string()});
      CHECK(t.stat().permissions == io::private_file);
      auto other = io::temp_file::make(dir.path());
      CHECK(dir.names().size() == 2);
      other = std::move(t);
      CHECK(dir.names().size() == 1);
      auto const third = std::move(other);
      CHECK(third.is_open());
    }
    CHECK(dir.names().empty());
    {
      auto t = io::temp_file::make(dir.path(), io::default_permissions);
      t.write("whole");
      t.rename_to(dir / "a");
      CHECK_FALSE(t.is_open());
    }
    CHECK(dir.names() == names{"a"});
    CHECK(dir.get("a") == "whole");
    std::error_code ec;
    (void)io::temp_file::make(dir / "none", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_THROWS_AS(io::temp_file::make(dir / "a"), std::system_error);
    io::temp_file none;
    none.rename_to(dir / "b", ec);
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("a temporary file that is moved as a plain file is removed, and nothing else", "[io][temporary]") {
  run_on(some_workers(), [] {
    scratch const dir;
    io_faults faults;
    {
      auto t = io::temp_file::make(dir.path());
      io::file f = std::move(t);  // NOLINT: what a caller may do unawares
      f.write("text");
      f.seek(0);
      CHECK(f.read_all() == "text");
      std::error_code ec;
      t.rename_to(dir / "a", ec);  // NOLINT
      CHECK(ec == std::errc::bad_file_descriptor);
      CHECK(dir.names().size() == 1);
    }
    CHECK(dir.names().empty());
    dir.put("other", "contents");
    {
      auto t = io::temp_file::make(dir.path());
      static_cast<io::file&>(t) = io::file::open(dir / "other", io::open_mode::read);
      std::error_code ec;
      t.rename_to(dir / "a", ec);
      CHECK(ec == std::errc::bad_file_descriptor);
    }
    CHECK(dir.names() == names{"other"});
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("whichever call of rename_to fails, nothing is left but the file in its place", "[io][temporary]") {
  run_on(1, [] {
    scratch const dir;
    io_faults faults;
    std::uint64_t nth = 0;
    for (bool failed = true; failed;) {
      dir.put("a", "old");
      {
        auto t = io::temp_file::make(dir.path());
        t.write("new");
        faults.fail(std::errc::io_error, ++nth);
        std::error_code ec;
        t.rename_to(dir / "a", ec);
        failed = faults.fail_no_more() != 0;
        // That the directory could not be closed is of no interest.
        CHECK((failed && nth < 7) == static_cast<bool>(ec));
      }
      CHECK(dir.names() == names{"a"});
      CHECK(dir.get("a") == (failed && nth <= 4 ? "old" : "new"));  // lstat, fsync, close, rename
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("a temporary directory goes with all that is in it, also of a fiber that is cancelled", "[io][temporary]") {
  run_on(some_workers(), [] {
    scratch const dir;
    {
      auto t = io::temp_directory::make(dir.path());
      CHECK(io::stat(t.path()).permissions == std::filesystem::perms{0700});
      io::create_directories(t / "a" / "b");
      io::write_file(t / "a" / "b" / "c", "x");
      auto moved = std::move(t);
      CHECK(t.path().empty());
      CHECK(dir.names() == names{moved.path().filename().string()});
      moved = io::temp_directory::make(dir.path());
      CHECK(dir.names() == names{moved.path().filename().string()});
    }
    CHECK(dir.names().empty());
    weft::cancel_scope scope;
    CHECK_FALSE(scope.run([&] {
      auto const t = io::temp_directory::make(dir.path());
      auto f = io::temp_file::make(t.path());
      f.write("x");
      scope.cancel();
      f.write("y");
    }));
    CHECK(dir.names().empty());
    std::error_code ec;
    CHECK(io::temp_directory::make(dir / "none", ec).path().empty());
    CHECK(ec == std::errc::no_such_file_or_directory);
  });
}

TEST_CASE("what is temporary is put where TMPDIR says", "[io][temporary]") {
  run_on(1, [] {
    char const* const set = std::getenv("TMPDIR");
    auto const expected = std::filesystem::path{set != nullptr && *set != '\0' ? set : "/tmp"};
    CHECK(io::temp_directory::make().path().parent_path() == expected);
    CHECK(io::temp_file::make().path().parent_path() == expected);
  });
}

TEST_CASE("names that are taken already are passed over", "[io][temporary]") {
  run_on(1, [] {
    scratch const dir;
    io_faults faults;
    faults.fail(io_call::mkdir, std::errc::file_exists, 1, 3);
    CHECK(std::filesystem::exists(io::temp_directory::make(dir.path()).path()));
    CHECK(faults.failed() == 3);
    faults.fail(io_call::mkdir, std::errc::file_exists, 1, 1000);
    std::error_code ec;
    (void)io::temp_directory::make(dir.path(), ec);
    CHECK(ec == std::errc::file_exists);
  });
}
