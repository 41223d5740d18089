/// @file
/// Files: what each call does, and what it says where it cannot.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/buffered_reader.hpp>
#include <weft/io/buffered_writer.hpp>
#include <weft/io/error.hpp>
#include <weft/io/file.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace weft::io;
using weft::test::run_on;
using weft::test::scaled_bytes;
using weft::test::scratch;
using weft::test::some_workers;

static_assert(readable_stream<file> && writable_stream<file>);
static_assert(std::ranges::input_range<file_lines>);

std::string text_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

std::string read(file& from, std::size_t size) {
  std::vector<std::byte> buffer(size);
  return text_of(std::span{buffer}.first(from.read(buffer)));
}

std::error_code open_error(std::filesystem::path const& path, open_mode mode = open_mode::read) {
  std::error_code ec;
  auto const opened = file::open(path, mode, ec);
  CHECK(opened.is_open() == !ec);
  return ec;
}

/// Larger than what one call moves, and nowhere the same.
std::string much_text() {
  std::string text;
  for (int i = 0; text.size() < scaled_bytes(3'000'000); ++i) text.append(std::to_string(i)).append("\n");
  return text;
}

}  // namespace

TEST_CASE("a file is written and read in order", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    {
      auto f = file::open(dir / "a", open_mode::write);
      CHECK(f.path() == dir / "a");
      f.write("one ");
      f.write("two ");
      CHECK(f.tell() == 8);
      f.write(std::string_view{});
      CHECK(f.write_some(std::as_bytes(std::span{std::string_view{"three"}})) == 5);
      CHECK(f.size() == 13);
    }
    CHECK(dir.get("a") == "one two three");
    auto f = file::open(dir / "a");
    CHECK(read(f, 4) == "one ");
    CHECK(read(f, 100) == "two three");
    CHECK(read(f, 100) == "");
    CHECK(f.tell() == 13);
    f.seek(8);
    CHECK(f.read_all() == "three");
    CHECK(f.read_all() == "");
    f.seek(1000);
    CHECK(f.read_all() == "");
    CHECK(read(f, 3) == "");
  });
}

TEST_CASE("what is larger than one call moves comes whole", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto const text = much_text();
    auto f = file::open(dir / "a", open_mode::create);
    f.write(text);
    CHECK(f.tell() == text.size());
    f.seek(0);
    CHECK(f.read_all() == text);
    std::vector<std::byte> buffer(text.size() + 10);
    CHECK(f.pread(buffer, 10) == text.size() - 10);
    CHECK(text_of(buffer).substr(0, text.size() - 10) == text.substr(10));
    f.seek(0);
    CHECK(f.read_some(buffer) <= 1U << 20U);
  });
}

TEST_CASE("positional reads and writes leave the position alone, and may be many at once", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto f = file::open(dir / "a", open_mode::create);
    constexpr std::size_t parts = 64;
    constexpr std::size_t size = 1000;
    std::vector<weft::task<void>> tasks;
    for (std::size_t i = 0; i < parts; ++i) {
      tasks.push_back(weft::spawn([&f, i] {
        f.pwrite(std::string(size, static_cast<char>('0' + i % 64)), i * size);
        std::array<std::byte, size> back{};
        weft::test::verify(f.pread(back, i * size) == size);
        weft::test::verify(text_of(back) == std::string(size, static_cast<char>('0' + i % 64)));
      }));
    }
    for (auto& t : tasks) t.get();
    CHECK(f.tell() == 0);
    CHECK(f.size() == parts * size);
    f.pwrite("end", 2 * parts * size);
    CHECK(f.size() == 2 * parts * size + 3);
    CHECK(dir.get("a").substr(parts * size, 4) == std::string(4, '\0'));
  });
}

TEST_CASE("each mode opens what it says", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    CHECK(open_error(dir / "a", open_mode::update) == std::errc::no_such_file_or_directory);
    CHECK_FALSE(open_error(dir / "a", open_mode::update_or_create));
    CHECK(open_error(dir / "a", open_mode::create) == std::errc::file_exists);
    CHECK(open_error(dir.path(), open_mode::create) == std::errc::file_exists);
    dir.put("a", "before");
    {
      auto f = file::open(dir / "a", open_mode::update);
      f.write("BE");
      CHECK(f.read_all() == "fore");
    }
    CHECK(dir.get("a") == "BEfore");
    {
      auto f = file::open(dir / "a", open_mode::append);
      f.write("+1");
      f.pwrite("+2", 0);
      CHECK(f.tell() == 0);
      std::error_code ec;
      CHECK(f.read_all(ec) == "");
      CHECK(ec == std::errc::bad_file_descriptor);
    }
    CHECK(dir.get("a") == "BEfore+1+2");
    {
      auto f = file::open(dir / "a", open_mode::read);
      std::error_code ec;
      CHECK(f.write("x", ec) == 0);
      CHECK(ec == std::errc::bad_file_descriptor);
    }
    CHECK_FALSE(open_error(dir / "a", open_mode::write));
    CHECK(dir.get("a").empty());
    CHECK(open_error(dir / "a", static_cast<open_mode>(99)) == std::errc::invalid_argument);
  });
}

TEST_CASE("a new file has the permissions that were asked for, less the process's mask", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    auto const f = file::open(dir / "a", open_mode::write, std::filesystem::perms{0640});
    auto const mask = ::umask(0);
    ::umask(mask);
    CHECK(static_cast<unsigned>(f.stat().permissions) == (0640U & ~mask));
    CHECK((::fcntl(f.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  });
}

TEST_CASE("truncate, sync and stat", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto f = file::open(dir / "a", open_mode::create);
    f.write("0123456789");
    f.truncate(4);
    f.sync();
    f.sync_data();
    CHECK(dir.get("a") == "0123");
    f.truncate(6);
    CHECK(dir.get("a") == std::string("0123\0\0", 6));
    auto const about = f.stat();
    CHECK(about.is_regular());
    CHECK(about.size == 6);
    CHECK(about.links == 1);
    CHECK(std::chrono::abs(about.modified - std::chrono::system_clock::now()) < std::chrono::hours{1});
    std::filesystem::remove(dir / "a");
    CHECK(f.stat().links == 0);
  });
}

TEST_CASE("lines come one by one, with either end, and the last without", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "one\r\ntwo\n\nlast");
    std::vector<std::string> lines;
    for (auto& line : file::open(dir / "a").lines()) lines.push_back(std::move(line));
    CHECK(lines == std::vector<std::string>{"one", "two", "", "last"});
    auto f = file::open(dir / "a");
    auto all = f.lines();
    CHECK(*all.begin() == "one");
    CHECK(*all.begin() == "one");  // begin() goes on where it stopped
    CHECK(std::ranges::distance(all) == 4);
    CHECK(all.begin() == all.end());
    CHECK(f.is_open());
    auto const text = much_text();
    dir.put("b", text);
    std::size_t bytes = 0;
    for (auto const& line : file::open(dir / "b").lines()) bytes += line.size() + 1;
    CHECK(bytes == text.size());
    dir.put("c", std::string(100, 'x') + "\nshort\n");
    auto long_lines = file::open(dir / "c").lines(50);
    CHECK_THROWS_AS(long_lines.begin(), weft::limit_overrun);
    dir.put("empty", "");
    auto none = file::open(dir / "empty").lines();
    CHECK(none.begin() == none.end());
  });
}

TEST_CASE("read_all keeps to its limit, and takes what has no size", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    dir.put("a", "0123456789");
    auto f = file::open(dir / "a");
    CHECK(f.read_all(10) == "0123456789");
    f.seek(5);
    CHECK(weft::test::throws<weft::limit_overrun>([&] { (void)f.read_all(4); }));
    std::error_code ec;
    CHECK(f.read_all(4, ec) == "");
    CHECK(ec == std::errc::message_size);
    CHECK(f.tell() == 5);
    CHECK(f.read_all(5) == "56789");
    auto status = file::open("/proc/self/status");
    auto const text = status.read_all();
    CHECK(text.find("VmRSS") != std::string::npos);
    status.seek(0);
    CHECK_THROWS_AS(status.read_all(10), weft::limit_overrun);
  });
}

TEST_CASE("files: missing, directory, permission, and other paths that cannot be opened", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "x");
    CHECK(open_error(dir / "none") == std::errc::no_such_file_or_directory);
    CHECK(open_error("") == std::errc::no_such_file_or_directory);
    CHECK(open_error(dir / "a" / "b") == std::errc::not_a_directory);
    CHECK(open_error(dir.path()) == std::errc::is_a_directory);
    CHECK(open_error(dir.path(), open_mode::write) == std::errc::is_a_directory);
    CHECK(open_error(std::string(10'000, 'x')) == std::errc::filename_too_long);
    CHECK(open_error(std::string("a\0b", 3)) == std::errc::invalid_argument);
    std::filesystem::create_symlink("loop", dir / "loop");
    CHECK(open_error(dir / "loop") == std::errc::too_many_symbolic_link_levels);
    if (::geteuid() != 0) {  // to whom all is permitted
      std::filesystem::permissions(dir / "a", std::filesystem::perms::none);
      CHECK(open_error(dir / "a") == std::errc::permission_denied);
    }
    try {
      (void)file::open(dir / "none");
      FAIL("it is not there");
    } catch (std::system_error const& e) {
      CHECK(std::string_view{e.what()}.find("opening '" + (dir / "none").string() + "' for reading") !=
            std::string_view::npos);
    }
  });
}

TEST_CASE("what has no positions is refused at once, and a FIFO holds up nobody", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
    CHECK(open_error(dir / "fifo") == std::errc::invalid_seek);
    CHECK(open_error(dir / "fifo", open_mode::write) == std::errc::invalid_seek);
    CHECK(open_error(dir / "fifo", open_mode::update) == std::errc::invalid_seek);
    auto zero = file::open("/dev/zero");
    CHECK(read(zero, 3) == std::string(3, '\0'));
    CHECK(file::open("/dev/null", open_mode::write).is_open());
  });
}

TEST_CASE("a FIFO that is refused is not opened: who waits to write to it still waits", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
    std::atomic<bool> opened{false};
    std::thread writer{[&, name = (dir / "fifo").string()] {
      int const number = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
      opened = true;
      ::close(number);
    }};
    for (int i = 0; i < 50; ++i) {
      std::error_code ec;
      (void)weft::io::read_file(dir / "fifo", ec);
      CHECK(ec == std::errc::invalid_seek);
      CHECK(open_error(dir / "fifo") == std::errc::invalid_seek);
      weft::sleep_for(std::chrono::milliseconds{1});
    }
    CHECK_FALSE(opened.load());
    int const reader = ::open((dir / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer.join();
    ::close(reader);
  });
}

TEST_CASE("a file on which another has a lease is opened when that one has given it up", "[io][file]") {
  if (std::getenv("WEFT_TEST_ONE_BYTE_IO") != nullptr) return;  // through others than the system's own calls
  run_on(2, [] {
    scratch const dir;
    dir.put("a", "text");
    int const holder = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
    auto const take_lease = [&] {
      return ::fcntl(holder, F_SETSIG, SIGURG) == 0 && ::fcntl(holder, F_SETLEASE, F_RDLCK) == 0;
    };
    if (!take_lease()) {
      WARN("skipped: there are no leases here");
      ::close(holder);
      return;
    }
    auto const is_asked_for = [&] { return ::fcntl(holder, F_GETLEASE) != F_RDLCK; };
    auto opening = weft::spawn([&] { return file::open(dir / "a", open_mode::update).is_open(); });
    while (!is_asked_for()) weft::sleep_for(std::chrono::milliseconds{1});
    REQUIRE(::fcntl(holder, F_SETLEASE, F_UNLCK) == 0);
    CHECK(opening.get());
    REQUIRE(take_lease());
    auto given_up = weft::spawn([&] { (void)file::open(dir / "a", open_mode::update); });
    while (!is_asked_for()) weft::sleep_for(std::chrono::milliseconds{1});
    given_up.cancel();
    CHECK(weft::test::throws<weft::cancelled>([&] { given_up.get(); }));
    ::close(holder);
  });
}

TEST_CASE("a terminal has no positions, and so is no file", "[io][file]") {
  int const maker = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (maker < 0 || ::grantpt(maker) != 0 || ::unlockpt(maker) != 0) {
    WARN("skipped: there are no terminals here");
    return;
  }
  std::string const name = ::ptsname(maker);
  run_on(1, [&] {
    for (auto const mode : {open_mode::read, open_mode::write, open_mode::update}) {
      CHECK(open_error(name, mode) == std::errc::invalid_seek);
    }
  });
  ::close(maker);
}

TEST_CASE("offsets that no file can have are refused", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    auto f = file::open(dir / "a", open_mode::create);
    auto const most = std::numeric_limits<std::uint64_t>::max();
    std::array<std::byte, 1> buffer{};
    std::error_code ec;
    for (auto const offset : {most, most - 1, most / 2 + 1}) {
      CHECK(f.pread(buffer, offset, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
      f.seek(offset);
      CHECK(f.read(buffer, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
      f.truncate(offset, ec);
      CHECK(ec == std::errc::invalid_argument);
    }
    for (auto const offset : {most, most - 1, most / 2 + 1}) {
      CHECK(f.pwrite(buffer, offset, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
      f.seek(offset);
      CHECK(f.write(buffer, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
    }
    CHECK(f.size() == 0);
  });
}

TEST_CASE("a closed file, and one that never was open, say so", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto closed = file::open(dir / "a", open_mode::create);
    closed.close();
    closed.close();
    auto source = file::open(dir / "b", open_mode::create);
    auto const taken = std::move(source);
    for (auto* f : {&closed, &source}) {
      CHECK_FALSE(f->is_open());
      CHECK(f->native_handle() == -1);
      std::array<std::byte, 1> buffer{};
      std::error_code ec;
      auto const is_closed = [&ec] { return std::exchange(ec, {}) == std::errc::bad_file_descriptor; };
      (void)f->read(buffer, ec);
      CHECK(is_closed());
      (void)f->read_all(ec);
      CHECK(is_closed());
      (void)f->pwrite("x", 0, ec);
      CHECK(is_closed());
      f->sync(ec);
      CHECK(is_closed());
      (void)f->stat(ec);
      CHECK(is_closed());
      CHECK_THROWS_AS(f->write("x"), std::system_error);
      CHECK_THROWS_AS(f->size(), std::system_error);
      CHECK_NOTHROW(f->close());
    }
    CHECK(taken.is_open());
  });
}

TEST_CASE("a file is a stream for buffered_reader and buffered_writer", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    auto f = file::open(dir / "a", open_mode::create);
    buffered_writer out{f};
    auto const lines = static_cast<int>(scaled_bytes(10'000));
    for (int i = 0; i < lines; ++i) out.write_all("line " + std::to_string(i) + "\n");
    out.flush();
    f.seek(0);
    buffered_reader in{f};
    for (int i = 0; i < lines; ++i) CHECK(in.read_line() == "line " + std::to_string(i));
    CHECK_FALSE(in.read_line());
  });
}

TEST_CASE("outside of a runtime a file is read and written in place", "[io][file]") {
  scratch const dir;
  auto f = file::open(dir / "a", open_mode::create);
  f.write("plain");
  f.seek(0);
  CHECK(f.read_all() == "plain");
  f.close();
  run_on(1, [&] {
    weft::offload_blocking([&] { CHECK(file::open(dir / "a").read_all() == "plain"); });  // and on a pool's thread
  });
}

TEST_CASE("a file that nobody fetched, or that a detached fiber returned, is closed", "[io][file]") {
  scratch const dir;
  dir.put("a", "x");
  auto const open_files = [] {
    using iterator = std::filesystem::directory_iterator;
    return std::ranges::distance(iterator{"/proc/self/fd"}, iterator{});
  };
  run_on(1, [] {});  // libuv opens a pipe with its first loop, for good
  auto const before = open_files();
  auto const workers = some_workers();
  run_on(workers, [&] {
    (void)file::open(dir / "a");
    auto const here = open_files();
    {
      auto t = weft::spawn([&] { return file::open(dir / "a"); });
      t.wait();
      CHECK(open_files() == here + 1);
    }
    CHECK(open_files() == here);
  });
  weft::event opened;  // outlives the runtime, and so the fiber that sets it
  {
    weft::runtime rt{weft::test::on(workers)};
    rt.run([&] {
      weft::spawn([&] {
        auto f = file::open(dir / "a");
        opened.set();
        return f;
      }).detach();
      opened.wait();
    });
  }
  CHECK(open_files() == before);
}
