/// @file
/// Files read and written by one call: that they are there whole or not at all, whatever fails.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/throws.hpp"

#include <weft/io/error.hpp>
#include <weft/io/temporary.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/cancel_scope.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace {

using namespace weft::io;
using weft::test::run_on;
using weft::test::scratch;
using weft::test::some_workers;
using weft::testing::io_call;
using weft::testing::io_faults;

using names = std::vector<std::string>;

std::string large_text() { return std::string(weft::test::scaled_bytes(2'500'000), 'x') + "end"; }

}  // namespace

TEST_CASE("write_file makes a file, and read_file gives what is in it", "[io][whole_file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    write_file(dir / "a", "text");
    CHECK(read_file(dir / "a") == "text");
    auto const text = large_text();
    write_file(dir / "a", text);
    CHECK(read_file(dir / "a") == text);
    write_file(dir / "a", "");
    CHECK(read_file(dir / "a").empty());
    CHECK(dir.names() == names{"a"});
    CHECK(read_file("/proc/self/status").find("VmRSS") != std::string::npos);
  });
}

TEST_CASE("read_file keeps to its limit", "[io][whole_file]") {
  run_on(1, [] {
    scratch const dir;
    dir.put("a", "0123456789");
    CHECK(read_file(dir / "a", 10) == "0123456789");
    CHECK(weft::test::throws<weft::limit_overrun>([&] { (void)read_file(dir / "a", 9); }));
    std::error_code ec;
    CHECK(read_file(dir / "a", 9, ec).empty());
    CHECK(ec == std::errc::message_size);
    CHECK(read_file(dir / "a", ec) == "0123456789");
    CHECK_FALSE(ec);
  });
}

TEST_CASE("a limit is for what is in a file, not for the size that the system says it has", "[io][whole_file]") {
  std::filesystem::path const small = "/sys/kernel/mm/transparent_hugepage/enabled";  // whose size is said to be 4096
  if (!std::filesystem::exists(small)) return;
  run_on(1, [&] {
    CHECK(read_file(small, 100).find("never") != std::string::npos);
    CHECK(file::open(small).read_all(100) == read_file(small));
  });
}

TEST_CASE("a file that is replaced keeps its permissions, a new one gets its own", "[io][whole_file]") {
  run_on(1, [] {
    scratch const dir;
    dir.put("a", "old");
    std::filesystem::permissions(dir / "a", std::filesystem::perms{0751});
    write_file(dir / "a", "new");
    CHECK(dir.get("a") == "new");
    CHECK(std::filesystem::status(dir / "a").permissions() == std::filesystem::perms{0751});
    write_file(dir / "b", "new", std::filesystem::perms{0600});
    CHECK(std::filesystem::status(dir / "b").permissions() == std::filesystem::perms{0600});
  });
}

TEST_CASE("who has the old file open goes on reading that", "[io][whole_file]") {
  run_on(1, [] {
    scratch const dir;
    dir.put("a", "old");
    auto old = file::open(dir / "a");
    write_file(dir / "a", "new");
    CHECK(old.read_all() == "old");
    CHECK(read_file(dir / "a") == "new");
  });
}

TEST_CASE("whole files: missing, directory, permission, and a path with a NUL", "[io][whole_file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    std::filesystem::create_directory(dir / "d");
    std::error_code ec;
    (void)read_file(dir / "none", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    (void)read_file(dir / "d", ec);
    CHECK(ec == std::errc::is_a_directory);
    (void)read_file(std::string("a\0b", 3), ec);
    CHECK(ec == std::errc::invalid_argument);
    write_file(dir / "none" / "a", "x", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    write_file(dir / "d", "x", ec);
    CHECK(ec == std::errc::is_a_directory);
    write_file("", "x", ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    write_file(std::string("a\0b", 3), "x", ec);
    CHECK(ec == std::errc::invalid_argument);
    if (::geteuid() != 0) {  // to whom all is permitted
      std::filesystem::permissions(dir / "d", std::filesystem::perms{0500});
      write_file(dir / "d" / "a", "x", ec);
      CHECK(ec == std::errc::permission_denied);
    }
    CHECK(dir.names() == names{"d"});
    try {
      write_file(dir / "none" / "a", "x");
      FAIL("there is no such directory");
    } catch (std::system_error const& e) {
      CHECK(std::string_view{e.what()}.find("writing '" + (dir / "none" / "a").string()) != std::string_view::npos);
    }
  });
}

TEST_CASE("what is no file is not replaced by one", "[io][whole_file][bad-input]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto const fifo = dir / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    std::error_code ec;
    write_file(fifo, std::string_view{"text"}, ec);
    CHECK(ec == std::errc::invalid_argument);
    auto t = temp_file::make(dir.path());
    t.rename_to(fifo, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(std::filesystem::is_fifo(fifo));
  });
}

TEST_CASE("files: a full disk, for real", "[io][whole_file]") {
  if (!std::filesystem::exists("/dev/full")) return;
  run_on(1, [] {
    auto f = file::open("/dev/full", open_mode::update);
    std::error_code ec;
    CHECK(f.write("x", ec) == 0);
    CHECK(ec == std::errc::no_space_on_device);
  });
}

TEST_CASE("whichever call of write_file fails, the file is old or new, and nothing is left", "[io][whole_file]") {
  auto const there_before = GENERATE(false, true);
  auto const error = GENERATE(std::errc::no_space_on_device, std::errc::permission_denied);
  run_on(1, [&] {  // each time what was written is brought to a real disk
    scratch const dir;
    io_faults faults;
    std::uint64_t nth = 0;
    std::uint64_t told = 0;
    std::size_t old = 0;
    std::size_t renamed = 0;
    for (bool failed = true; failed;) {
      if (there_before) {
        dir.put("a", "old");
      } else {
        std::filesystem::remove(dir / "a");
      }
      faults.fail(error, ++nth);
      std::error_code ec;
      write_file(dir / "a", "new", ec);
      failed = faults.fail_no_more() != 0;
      told += ec == error;
      bool const is_new = std::filesystem::exists(dir / "a") && dir.get("a") == "new";
      if (!is_new) {
        CHECK(dir.names() == (there_before ? names{"a"} : names{}));
        if (there_before) CHECK(dir.get("a") == "old");
        ++old;
      } else {
        CHECK(dir.names() == names{"a"});
        ++renamed;
      }
      CHECK(faults.open_descriptors() == 0);
    }
    // lstat, open, pwrite, fsync, close, rename, and with a file there fchmod.
    CHECK(old == (there_before ? 7U : 6U) + (weft::test::one_byte_io() ? 2U : 0U));
    // Then open and fsync of the directory; that it could not be closed is of no interest.
    CHECK(told == old + 2);
    CHECK(nth == told + 2);
    CHECK(renamed >= 2);
  });
}

TEST_CASE("interruptions and short transfers are not seen", "[io][whole_file]") {
  run_on(1, [] {
    scratch const dir;
    io_faults faults;
    faults.limit_transfers(7);
    std::string text;
    for (int i = 0; i < 200; ++i) text += std::to_string(i);
    for (std::uint64_t nth = 1; nth < 20; ++nth) {
      faults.fail(std::errc::interrupted, nth);
      write_file(dir / "a", text);
      faults.fail_no_more();
      faults.fail(std::errc::interrupted, nth);
      CHECK(read_file(dir / "a") == text);
      faults.fail_no_more();
    }
    CHECK(faults.count(io_call::pwrite) > text.size() / 7);
    CHECK(dir.names() == names{"a"});
  });
}

TEST_CASE("a cancelled write_file leaves the old file or the new one, and nothing else", "[io][whole_file]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "old");
    weft::cancel_scope scope;
    scope.cancel();
    CHECK_FALSE(scope.run([&] { write_file(dir / "a", "new"); }));
    CHECK(dir.get("a") == "old");
    CHECK(dir.names() == names{"a"});
  });
}
