/// @file
/// Files on slow and broken disks, and while others cancel and close.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/verify.hpp"

#include <weft/io/copy.hpp>
#include <weft/io/detail/file_calls.hpp>
#include <weft/io/directory.hpp>
#include <weft/io/error.hpp>
#include <weft/io/temporary.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/watch_path.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/map.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::scratch;
using weft::test::some_workers;
using weft::test::verify;
using weft::testing::io_call;
using weft::testing::io_faults;

/// Holds up each call of one kind until it is let go.
class held_reads final : public weft::detail::file_calls {
public:
  held_reads() : before_(weft::detail::set_file_calls(this)) {}
  ~held_reads() override { weft::detail::set_file_calls(before_); }

  weft::event reading;  // set by a read that has begun
  weft::event go_on;
  std::atomic<int> closed{0};

  int open(char const* path, int flags, unsigned permissions) noexcept override {
    return next_.open(path, flags, permissions);
  }
  int close(int fd) noexcept override {
    ++closed;
    return next_.close(fd);
  }
  ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept override {
    reading.set();
    go_on.wait();  // a thread waits here
    return next_.pread(fd, to, size, offset);
  }
  ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept override {
    return next_.pwrite(fd, from, size, offset);
  }
  ssize_t append(int fd, void const* from, std::size_t size) noexcept override { return next_.append(fd, from, size); }
  ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept override {
    return next_.sendfile(to, file, offset, size);
  }
  int fsync(int fd) noexcept override { return next_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return next_.fdatasync(fd); }
  int ftruncate(int fd, std::int64_t size) noexcept override { return next_.ftruncate(fd, size); }
  int fchmod(int fd, unsigned permissions) noexcept override { return next_.fchmod(fd, permissions); }
  int fstat(int fd, file_info& about) noexcept override { return next_.fstat(fd, about); }
  int stat(char const* path, file_info& about) noexcept override { return next_.stat(path, about); }
  int lstat(char const* path, file_info& about) noexcept override { return next_.lstat(path, about); }
  int mkdir(char const* path, unsigned permissions) noexcept override { return next_.mkdir(path, permissions); }
  int rmdir(char const* path) noexcept override { return next_.rmdir(path); }
  int unlink(char const* path) noexcept override { return next_.unlink(path); }
  int rename(char const* from, char const* to) noexcept override { return next_.rename(from, to); }
  int list(char const* path, std::vector<directory_entry>& to) noexcept override { return next_.list(path, to); }
  int openat(int directory, char const* name, int flags) noexcept override {
    return next_.openat(directory, name, flags);
  }
  int unlinkat(int directory, char const* name, int flags) noexcept override {
    return next_.unlinkat(directory, name, flags);
  }
  int fdlist(int fd, std::vector<directory_entry>& to) noexcept override { return next_.fdlist(fd, to); }
  [[nodiscard]] std::uint64_t draw() noexcept override { return next_.draw(); }
  [[nodiscard]] file_calls& beneath() noexcept override { return next_; }

private:
  weft::detail::file_calls& next_ = weft::detail::kernel_file_calls();
  weft::detail::file_calls* before_;
};

}  // namespace

TEST_CASE("rule 20: a read under way is waited for when its fiber is cancelled, and took nothing", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "0123456789");
    held_reads held;
    auto f = file::open(dir / "a");
    std::atomic<bool> ended{false};
    std::array<std::byte, 4> buffer{};
    auto reader = weft::spawn([&] {
      struct at_the_end {
        std::atomic<bool>& ended;
        ~at_the_end() { ended = true; }
      } const note{ended};
      (void)f.read(buffer);
    });
    held.reading.wait();
    reader.cancel();
    for (int i = 0; i < 100; ++i) weft::yield();
    CHECK_FALSE(ended);  // the thread has its buffer
    held.go_on.set();
    CHECK_THROWS_AS(reader.get(), weft::cancelled);
    CHECK(buffer[3] == std::byte{'3'});  // it was read all the same
    CHECK(f.tell() == 0);
    CHECK(f.read(buffer) == 4);
    CHECK(f.tell() == 4);
  });
}

TEST_CASE("a deadline that passes during a read is told when that has ended", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "x");
    held_reads held;
    auto f = file::open(dir / "a");
    weft::cancel_scope scope;
    auto helper = weft::spawn([&] {
      held.reading.wait();
      scope.reschedule(weft::time_point{});  // long past
      held.go_on.set();
    });
    std::array<std::byte, 1> buffer{};
    CHECK_FALSE(scope.run([&] {
      (void)f.pread(buffer, 0);
      weft::this_fiber::yield();
    }));
    helper.get();
    CHECK_THROWS_AS(weft::with_timeout(0s, [&] { (void)f.pread(buffer, 0); }), weft::timeout_error);
    CHECK(f.pread(buffer, 0) == 1);
  });
}

TEST_CASE("H9: a file that is closed during a read keeps its number until that has ended", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "mine");
    dir.put("b", "other");
    held_reads held;
    auto f = file::open(dir / "a");
    auto reader = weft::spawn([&] {
      std::array<std::byte, 4> buffer{};
      verify(f.pread(buffer, 0) == 4);
      return buffer[0] == std::byte{'m'};
    });
    held.reading.wait();
    f.close();
    CHECK_FALSE(f.is_open());
    CHECK(held.closed == 0);
    auto const other = file::open(dir / "b");  // does not get the number
    std::error_code ec;
    std::array<std::byte, 4> buffer{};
    (void)f.pread(buffer, 0, ec);
    CHECK(ec == std::errc::bad_file_descriptor);
    held.go_on.set();
    CHECK(reader.get());
    CHECK(held.closed == 1);
  });
}

TEST_CASE("cancelled before it began, a call is not made", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "x");
    io_faults faults;
    auto f = file::open(dir / "a", open_mode::update);
    auto const before = faults.count();
    weft::cancel_scope scope;
    scope.cancel();
    CHECK(scope.run([&] {
      std::error_code ec;
      std::array<std::byte, 1> buffer{};
      auto const is_cancelled = [](auto&& call) {
        try {
          call();
        } catch (weft::cancelled const&) {
          return true;
        }
        return false;
      };
      CHECK(is_cancelled([&] { (void)f.read(buffer, ec); }));
      CHECK(is_cancelled([&] { (void)f.read(std::span<std::byte>{}, ec); }));
      CHECK(is_cancelled([&] { (void)f.write("x", ec); }));
      CHECK(is_cancelled([&] { (void)f.read_all(ec); }));
      CHECK(is_cancelled([&] { (void)f.stat(ec); }));
      CHECK(is_cancelled([&] { f.sync(ec); }));
      CHECK(is_cancelled([&] { f.truncate(0, ec); }));
      CHECK(is_cancelled([&] { (void)file::open(dir / "a", open_mode::read, ec); }));
      CHECK(is_cancelled([&] { (void)file::open("", open_mode::read, ec); }));
      CHECK(is_cancelled([&] { (void)file{}.read(buffer, ec); }));
      CHECK(is_cancelled([&] { (void)read_file(dir / "a", ec); }));
      CHECK(is_cancelled([&] { write_file(dir / "a", "y", ec); }));
      CHECK(faults.count() == before);
      f.close();  // which no cancellation keeps from happening
    }));
    CHECK(faults.open_descriptors() == 0);
    CHECK(dir.get("a") == "x");
  });
}

TEST_CASE("what was written before a full disk is told, and the position is behind it", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    io_faults faults;
    auto f = file::open(dir / "a", open_mode::create);
    faults.limit_transfers(4);
    faults.fail(io_call::pwrite, std::errc::no_space_on_device, 3);
    std::error_code ec;
    CHECK(f.write("0123456789", ec) == (weft::test::one_byte_io() ? 2 : 8));
    CHECK(ec == std::errc::no_space_on_device);
    CHECK(f.tell() == f.size());
    faults.fail(io_call::write, std::errc::no_space_on_device);
    auto appended = file::open(dir / "a", open_mode::append);
    CHECK_THROWS_AS(appended.write("x"), std::system_error);
  });
}

TEST_CASE("each call of a file can fail, and says how", "[io][file]") {
  run_on(1, [] {
    scratch const dir;
    io_faults faults;
    auto f = file::open(dir / "a", open_mode::create);
    std::array<std::byte, 4> buffer{};
    auto const fails = [&](io_call which, auto&& call) {
      faults.fail(which, std::errc::io_error);
      try {
        call();
      } catch (std::system_error const& e) {
        return e.code() == std::errc::io_error && std::string(e.what()).find((dir / "a").string()) != std::string::npos;
      }
      return false;
    };
    CHECK(fails(io_call::pread, [&] { (void)f.read(buffer); }));
    CHECK(fails(io_call::pread, [&] { (void)f.pread(buffer, 0); }));
    CHECK(fails(io_call::pread, [&] { (void)f.read_some(buffer); }));
    CHECK(fails(io_call::pread, [&] { (void)f.read_all(); }));
    CHECK(fails(io_call::stat, [&] { (void)f.read_all(); }));
    CHECK(fails(io_call::pwrite, [&] { f.write("x"); }));
    CHECK(fails(io_call::pwrite, [&] { f.pwrite("x", 0); }));
    CHECK(fails(io_call::pwrite, [&] { (void)f.write_some(buffer); }));
    CHECK(fails(io_call::fsync, [&] { f.sync(); }));
    CHECK(fails(io_call::fsync, [&] { f.sync_data(); }));
    CHECK(fails(io_call::ftruncate, [&] { f.truncate(1); }));
    CHECK(fails(io_call::stat, [&] { (void)f.size(); }));
    CHECK(fails(io_call::open, [&] { (void)file::open(dir / "a"); }));
    CHECK(fails(io_call::stat, [&] { (void)file::open(dir / "a"); }));
    CHECK(fails(io_call::close, [&] { f.close(); }));
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("a hundred files from a slow disk take a tenth of the time, read at once", "[io][file]") {
  scratch const dir;
  constexpr int files = 100;
  for (int i = 0; i < files; ++i) dir.put(std::to_string(i), std::string(static_cast<std::size_t>(i), 'x'));
  std::vector<int> numbers(files);
  std::iota(numbers.begin(), numbers.end(), 0);
  // In virtual time: a call of the disk takes as long as the machine does nothing else, and no longer.
  weft::runtime rt{weft::testing::in_virtual_time()};
  rt.run([&] {
    io_faults faults;
    faults.delay_files(10ms);
    auto const read_one = [&](int i) { return read_file(dir / std::to_string(i)).size(); };
    auto const start = weft::testing::now();
    std::size_t sum = 0;
    for (int const i : numbers) sum += read_one(i);
    auto const sequential = weft::testing::now() - start;
    auto const middle = weft::testing::now();
    auto const sizes = weft::map(numbers, read_one, weft::max_concurrency{files});
    auto const together = weft::testing::now() - middle;
    CHECK(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}) == sum);
    CHECK(sum == 99 * 100 / 2);
    CHECK(sequential >= files * 40ms);  // open, fstat, pread, close
    CHECK(together * 10 <= sequential);
  });
}

TEST_CASE("a disk that does not answer holds up only who waits for it", "[io][file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "x");
    held_reads held;
    std::vector<weft::task<std::string>> readers;
    for (int i = 0; i < 8; ++i) readers.push_back(weft::spawn([&] { return read_file(dir / "a"); }));
    held.reading.wait();
    for (int i = 0; i < 20; ++i) weft::sleep_for(1ms);  // would never end if a worker were in a read
    for (auto const& reader : readers) CHECK_FALSE(reader.ready());
    held.go_on.set();
    for (auto& reader : readers) CHECK(reader.get() == "x");
  });
}

TEST_CASE("whichever call to the file system fails, only that error comes out, and nothing stays open", "[io][file]") {
  struct entry_point {
    char const* name;
    std::function<void(std::filesystem::path const&)> call;
  };
  std::vector<entry_point> const table{
      {"reading by lines",
       [](auto const& dir) {
         std::size_t lines = 0;
         for (auto const& line : file::open(dir / "in").lines()) lines += line.size();
         verify(lines == 11);
       }},
      {"reading and writing",
       [](auto const& dir) {
         auto f = file::open(dir / "rw", open_mode::update_or_create);
         f.truncate(0);
         f.write("0123456789");
         f.sync();
         f.seek(0);
         verify(f.read_all() == "0123456789");
         f.close();
       }},
      {"read_file", [](auto const& dir) { verify(read_file(dir / "in") == "one\ntwo\nthree"); }},
      {"write_file", [](auto const& dir) { write_file(dir / "out", "text"); }},
      {"a temporary file",
       [](auto const& dir) {
         auto t = temp_file::make(dir);
         t.write("text");
         t.rename_to(dir / "out");
       }},
      {"a temporary directory",
       [](auto const& dir) {
         auto const t = temp_directory::make(dir);
         weft::io::create_directories(t / "a" / "b");
         weft::io::rename(t / "a", t / "c");
         verify(weft::io::list_directory(t.path()).size() == 1);
         verify(weft::io::remove_all(t / "c") == 2);
       }},
      {"copying",
       [](auto const& dir) {
         auto from = file::open(dir / "in");
         auto to = file::open(dir / "out", open_mode::write);
         verify(weft::io::copy(from, to) == 13);
       }},
      {"watching", [](auto const& dir) { verify(watch_path(dir).is_open()); }},
  };
  constexpr std::array errors{std::errc::no_space_on_device,  std::errc::io_error,    std::errc::permission_denied,
                              std::errc::too_many_files_open, std::errc::interrupted, std::errc::read_only_file_system,
                              std::errc::not_enough_memory};
  run_on(1, [&] {
    for (auto const& point : table) {
      for (auto const error : errors) {
        scratch const dir;
        dir.put("in", "one\ntwo\nthree");
        io_faults faults;
        std::size_t failed = 0;
        for (std::uint64_t nth = 1, struck = 1; struck != 0; ++nth) {
          INFO(point.name << ", call " << nth << ": " << std::make_error_code(error).message());
          faults.fail(error, nth);
          try {
            point.call(dir.path());
            struck = faults.fail_no_more();
          } catch (std::system_error const& e) {
            struck = faults.fail_no_more();
            ++failed;
            CHECK(struck == 1);
            CHECK(e.code() == error);
            CHECK(std::string_view{e.what()}.starts_with("weft: "));
          }
          CHECK(faults.open_descriptors() == 0);
          CHECK_NOTHROW(point.call(dir.path()));
        }
        CHECK((failed > 0) == (error != std::errc::interrupted));
      }
    }
  });
}
