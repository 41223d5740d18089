/// @file
/// The simulated file system: that it does what the kernel's does, and that programs run on it from a seed.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/scratch.hpp"
#include "support/verify.hpp"

#include <weft/io/copy.hpp>
#include <weft/io/directory.hpp>
#include <weft/io/temporary.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/testing/simulated_files.hpp>
#include <weft/io/testing/simulated_network.hpp>
#include <weft/io/watch_path.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/channel.hpp>

#include "io/pairs.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = weft::io;
using std::filesystem::path;
using weft::test::full_length;
using weft::test::scaled;
using weft::test::verify;
using weft::testing::file_options;
using weft::testing::simulated_files;
using weft::testing::simulated_network;
using weft::testing::simulation;

using names = std::vector<std::string>;

/// In a directory of the kernel's file system, and in simulations with several seeds.
template <class F>
void on_both(F const& f) {
  SECTION("the kernel's") {
    weft::test::scratch const dir;
    weft::test::run_with(weft::testing::fifo(), [&] { f(dir.path()); });
  }
  SECTION("simulated") {
    for (std::uint64_t seed = 0; seed < scaled(32); ++seed) {
      INFO("seed " << seed);
      simulation sim{seed};
      file_options options;
      options.partial = seed % 2 == 0 ? 0 : 0.3;
      options.interrupted = seed % 4 < 2 ? 0 : 0.1;
      simulated_files files{sim, options};
      files.add_directory("/work");
      sim.run([&] {
        f("/work");
        weft::testing::expect_no_leaks();
      });
      CHECK(files.open_descriptors() == 0);
    }
  }
}

std::error_code open_error(path const& p, io::open_mode mode = io::open_mode::read) {
  std::error_code ec;
  (void)io::file::open(p, mode, ec);
  return ec;
}

names names_in(path const& directory) {
  names all;
  for (auto& entry : io::list_directory(directory)) all.push_back(std::move(entry.name));
  return all;
}

}  // namespace

TEST_CASE("simulated files are opened, read and written as the kernel's are", "[io][simulated_files]") {
  on_both([](path const& dir) {
    CHECK(open_error(dir / "a") == std::errc::no_such_file_or_directory);
    CHECK(open_error(dir / "a", io::open_mode::update) == std::errc::no_such_file_or_directory);
    {
      auto f = io::file::open(dir / "a", io::open_mode::create);
      f.write("0123456789");
      f.seek(2);
      CHECK(f.read_all() == "23456789");
      f.pwrite("xy", 12);
      CHECK(f.size() == 14);
      f.seek(8);
      CHECK(f.read_all() == std::string("89\0\0xy", 6));
      f.truncate(3);
      f.truncate(5);
      f.seek(0);
      CHECK(f.read_all() == std::string("012\0\0", 5));
      f.sync();
      f.sync_data();
      std::array<std::byte, 3> buffer{};
      CHECK(f.pread(buffer, 4) == 1);
      CHECK(f.pread(buffer, 5) == 0);
    }
    CHECK(open_error(dir / "a", io::open_mode::create) == std::errc::file_exists);
    {
      auto f = io::file::open(dir / "a", io::open_mode::append);
      f.write("+");
      f.write("++");
      std::error_code ec;
      CHECK(f.read_all(ec).empty());
      CHECK(ec == std::errc::bad_file_descriptor);
    }
    {
      auto f = io::file::open(dir / "a");
      std::error_code ec;
      CHECK(f.write("x", ec) == 0);
      CHECK(ec == std::errc::bad_file_descriptor);
      f.truncate(0, ec);
      CHECK(ec == std::errc::invalid_argument);
    }
    CHECK(io::read_file(dir / "a") == std::string("012\0\0+++", 8));
    {
      auto const f = io::file::open(dir / "a", io::open_mode::write);
      CHECK(f.size() == 0);
    }
    CHECK(open_error(dir) == std::errc::is_a_directory);
    CHECK(open_error(dir, io::open_mode::write) == std::errc::is_a_directory);
    CHECK(open_error(dir / "a" / "b") == std::errc::not_a_directory);
    CHECK(open_error(dir / "none" / "b", io::open_mode::write) == std::errc::no_such_file_or_directory);
    CHECK(open_error(dir / std::string(300, 'x')) == std::errc::filename_too_long);
    CHECK(open_error(std::string(5000, 'x')) == std::errc::filename_too_long);
    CHECK(open_error("") == std::errc::no_such_file_or_directory);
    CHECK(open_error(dir / "." / ".." / dir.filename() / "a") == std::error_code{});
    CHECK(open_error(dir.string() + "//a") == std::error_code{});
    CHECK(open_error(dir.string() + "/a/") == std::errc::not_a_directory);
    CHECK(open_error(dir.string() + "/n/", io::open_mode::write) == std::errc::is_a_directory);
  });
}

TEST_CASE("simulated directories are as the kernel's", "[io][simulated_files]") {
  on_both([](path const& dir) {
    std::error_code ec;
    CHECK(io::create_directories(dir / "a" / "b"));
    CHECK_FALSE(io::create_directory(dir / "a"));
    io::write_file(dir / "a" / "f", "text");
    CHECK(names_in(dir / "a") == names{"b", "f"});
    CHECK_FALSE(io::create_directory(dir / "a" / "f", ec));
    CHECK(ec == std::errc::file_exists);
    CHECK_FALSE(io::create_directory(dir / "a" / "f" / "g", ec));
    CHECK(ec == std::errc::not_a_directory);
    CHECK_FALSE(io::remove(dir / "a", ec));
    CHECK(ec == std::errc::directory_not_empty);
    io::rename(dir / "a" / "f", dir / "a" / "b", ec);
    CHECK(ec == std::errc::is_a_directory);
    io::rename(dir / "a" / "b", dir / "a" / "f", ec);
    CHECK(ec == std::errc::not_a_directory);
    io::rename(dir / "a", dir / "a" / "b" / "c", ec);
    CHECK(ec == std::errc::invalid_argument);
    io::rename(dir / "a" / "b", dir / "a", ec);
    CHECK(ec == std::errc::directory_not_empty);
    io::rename(dir / "a" / "f", dir / "a" / "f");
    io::create_directory(dir / "empty");
    io::rename(dir / "a" / "b", dir / "empty");
    io::rename(dir / "a" / "f", dir / "g");
    CHECK(names_in(dir) == names{"a", "empty", "g"});
    CHECK(io::stat(dir / "g").size == 4);
    CHECK(io::stat(dir / "g").links == 1);
    CHECK(io::stat(dir).is_directory());
    CHECK(io::remove(dir / "a"));
    CHECK_FALSE(io::remove(dir / "a"));
    CHECK(io::list_directory(dir / "g", ec).empty());
    CHECK(ec == std::errc::not_a_directory);
    auto f = io::file::open(dir / "g");
    CHECK(io::remove(dir / "g"));
    CHECK(f.stat().links == 0);
    CHECK(f.read_all() == "text");
    CHECK(io::remove_all(dir / "empty") == 1);
    io::create_directories(dir / "p" / "q" / "r");
    io::create_directory(dir / "p" / "s");
    io::write_file(dir / "p" / "q" / "f", "text");
    io::rename(dir / "p" / "q", dir / "p" / "s" / "q");
    CHECK(io::remove_all(dir / "p" / "s" / "q" / "f" / "", ec) == 0);
    CHECK(ec == std::errc::not_a_directory);
    for (auto const* const name : {".", "q/..", ".."}) {
      CHECK(io::remove_all(dir / "p" / "s" / name, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
    }
    CHECK(io::remove_all(dir / "p" / "") == 5);
    CHECK(io::remove_all(dir / "p" / "") == 0);
    {
      auto t = io::temp_file::make(dir);
      t.write("whole");
      auto const d = io::temp_directory::make(dir);
      io::write_file(d / "x", "y");
      t.rename_to(dir / "t");
      CHECK(names_in(dir).size() == 2);
    }
    CHECK(names_in(dir) == names{"t"});
    CHECK(io::read_file(dir / "t") == "whole");
  });
}

TEST_CASE("simulated permissions count, as for the owner", "[io][simulated_files]") {
  simulation sim{1};
  simulated_files files{sim};
  files.add_file("/secret", "x", std::filesystem::perms::none);
  files.add_file("/fixed/a", "x", std::filesystem::perms{0444});
  files.add_directory("/fixed", std::filesystem::perms{0555});
  CHECK_THROWS_AS(files.add_file("/secret/a", ""), std::invalid_argument);
  CHECK_THROWS_AS(files.add_file("/fixed", ""), std::invalid_argument);
  sim.run([] {
    CHECK(open_error("/secret") == std::errc::permission_denied);
    CHECK(open_error("/fixed/a", io::open_mode::append) == std::errc::permission_denied);
    CHECK(open_error("/fixed/b", io::open_mode::write) == std::errc::permission_denied);
    CHECK(io::read_file("/fixed/a") == "x");
    std::error_code ec;
    CHECK_FALSE(io::remove("/fixed/a", ec));
    CHECK(ec == std::errc::permission_denied);
    CHECK_FALSE(io::watch_path("/fixed", ec).is_open());
    CHECK(ec == std::errc::function_not_supported);
  });
  CHECK(files.paths() == names{"/fixed", "/fixed/a", "/secret", "/tmp"});
}

TEST_CASE("each run begins with what was added, and ends with what the program made of it", "[io][simulated_files]") {
  simulation sim{1};
  simulated_files files{sim};
  files.add_file("/data/in", "one");
  for (int run = 0; run < 2; ++run) {
    sim.run([] {
      auto const text = io::read_file("/data/in");
      CHECK(text == "one");
      io::write_file("/data/in", "two");
      io::write_file("out", "three");  // from the root on
    });
    CHECK(files.contents_of("/data/in") == "two");
    CHECK(files.contents_of("/out") == "three");
    CHECK_FALSE(files.contents_of("/data"));
    CHECK_FALSE(files.contents_of("/none"));
    CHECK(files.paths() == names{"/data", "/data/in", "/out", "/tmp"});
  }
}

TEST_CASE("a simulated disk becomes full, and has room again", "[io][simulated_files]") {
  simulation sim{1};
  file_options options;
  options.capacity = 100;
  simulated_files files{sim, options};
  files.add_file("/a", std::string(60, 'x'));
  sim.run([] {
    std::error_code ec;
    auto f = io::file::open("/b", io::open_mode::create);
    CHECK(f.write(std::string(50, 'y'), ec) == 40);
    CHECK(ec == std::errc::no_space_on_device);
    f.truncate(50, ec);
    CHECK(ec == std::errc::no_space_on_device);
    io::write_file("/a", "new", ec);
    CHECK(ec == std::errc::no_space_on_device);
    CHECK(names_in("/") == names{"a", "b", "tmp"});
    CHECK(io::remove("/a"));
    CHECK(f.write(std::string(60, 'y'), ec) == 60);
    CHECK(io::remove("/b"));
    CHECK(f.write("y", ec) == 0);  // it is open yet
    f.close();
    io::write_file("/c", std::string(100, 'z'));
  });
}

TEST_CASE("a simulated call takes its time, in which others run", "[io][simulated_files]") {
  simulation sim{3};
  file_options options;
  options.min_latency = options.max_latency = 10ms;
  simulated_files files{sim, options};
  files.add_file("/a", "x");
  sim.run([] {
    auto const start = weft::testing::now();
    auto const [a, b] = weft::gather([] { return io::read_file("/a"); }, [] { return io::read_file("/a"); });
    auto const together = weft::testing::now() - start;
    CHECK(a == b);
    CHECK(together >= 40ms);
    CHECK(together < 80ms);  // and not twice as much as one alone
    // A deadline that passes meanwhile is told when the call has ended, and a read in pieces stops after one.
    auto const before = weft::testing::now();
    CHECK_THROWS_AS(weft::with_timeout(15ms, [] { (void)io::read_file("/a"); }), weft::timeout_error);
    CHECK(weft::testing::now() - before >= 20ms);
  });
}

TEST_CASE("remove_all stops when it is cancelled, and has nothing open then", "[io][simulated_files]") {
  simulation sim{4};
  file_options options;
  options.min_latency = options.max_latency = 10ms;
  simulated_files files{sim, options};
  for (int i = 0; i < 20; ++i) files.add_file("/t/a/b/" + std::to_string(i), "x");
  sim.run([&] {
    auto const start = weft::testing::now();
    CHECK_THROWS_AS(weft::with_timeout(305ms, [] { io::remove_all("/t"); }), weft::timeout_error);
    CHECK(weft::testing::now() - start < 350ms);
    CHECK(files.open_descriptors() == 0);
    auto const left = names_in("/t/a/b").size();
    CHECK(left > 0);
    CHECK(left < 20);
    CHECK(io::remove_all("/t") == left + 3);
  });
}

TEST_CASE("simulated files and a simulated network are in one simulation", "[io][simulated_files]") {
  for (std::uint64_t seed = 0; seed < scaled(50); ++seed) {
    INFO("seed " << seed);
    simulation sim{seed};
    simulated_files files{sim};
    simulated_network net{sim};
    std::string const text(200'000, 'x');
    files.add_file("/a", text);
    sim.run([] {
      auto [here, there] = weft::test::tcp_pair();
      auto sender = weft::spawn([&end = here] {
        auto f = io::file::open("/a");
        verify(io::copy(f, end) == 200'000);
        end.close();
      });
      auto t = io::temp_file::make("/", io::default_permissions);
      CHECK(io::copy(there, t) == 200'000);
      t.rename_to("/b");
      sender.get();
    });
    CHECK(files.contents_of("/b") == text);
    CHECK(files.open_descriptors() == 0);
    CHECK(net.open_descriptors() == 0);
  }
}

TEST_CASE("io_faults stands in front of a simulated file system, too", "[io][simulated_files]") {
  simulation sim{1};
  simulated_files files{sim};
  sim.run([] {
    weft::testing::io_faults faults;
    faults.fail(weft::testing::io_call::pwrite, std::errc::no_space_on_device);
    std::error_code ec;
    io::write_file("/a", "x", ec);
    CHECK(ec == std::errc::no_space_on_device);
    faults.delay_files(1s);
    auto const start = weft::testing::now();
    CHECK_FALSE(io::exists("/a"));
    CHECK(weft::testing::now() - start >= 1s);
  });
}

namespace {

/// Reads a file by lines, transforms them on the pool, and writes the result, the three at once; a failure ends it all.
/// @returns whether the result is there
bool transform(path const& from, path const& to) {
  weft::channel<std::string> lines{4};
  weft::channel<std::string> results{4};
  try {
    weft::gather(
        [&] {
          for (auto& line : io::file::open(from).lines()) lines.send(std::move(line));
          lines.close();
        },
        [&] {
          while (auto line = lines.receive()) {
            results.send(weft::offload([&] {
              std::transform(line->begin(), line->end(), line->begin(),
                             [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
              return std::move(*line);
            }));
          }
          results.close();
        },
        [&] {
          auto out = io::temp_file::make(to.parent_path(), io::default_permissions);
          while (auto const result = results.receive()) out.write(*result + "\n");
          out.rename_to(to);
        });
    return true;
  } catch (std::system_error const&) {
    return false;
  }
}

}  // namespace

TEST_CASE("a program on a failing disk leaves the whole result or none, for every seed", "[io][simulation][soak]") {
  constexpr std::uint64_t seeds = full_length ? 10'000 : scaled(300);
  std::string in;
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    in += "line " + std::to_string(i) + "\n";
    expected += "LINE " + std::to_string(i) + "\n";
  }
  std::set<std::uint64_t> hashes;
  std::uint64_t done = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    INFO("seed " << seed);
    simulation sim{seed};
    simulated_files files{sim, file_options::with_faults()};
    files.add_file("/in", in);
    files.add_file("/result/out", "old");
    auto const run = [&] {
      return sim.run([] {
        auto const whole = transform("/in", "/result/out");
        weft::testing::expect_no_leaks();
        return whole;
      });
    };
    bool const whole = run();
    done += whole;
    auto const contents = files.contents_of("/result/out");
    // What fails when the new name is there already is told, too.
    if (contents != expected) REQUIRE_FALSE(whole);
    REQUIRE((contents == expected || contents == "old"));
    // Nothing else is left, unless even to remove it was interrupted: that is repeated.
    REQUIRE(files.paths() == names{"/in", "/result", "/result/out", "/tmp"});
    REQUIRE(files.open_descriptors() == 0);
    hashes.insert(sim.trace_hash());
    if (seed % 64 == 0) {
      auto const hash = sim.trace_hash();
      REQUIRE(run() == whole);
      REQUIRE(sim.trace_hash() == hash);
    }
  }
  CHECK(hashes.size() == seeds);
  CHECK(done > seeds / 4);
  CHECK(done < seeds);
}
