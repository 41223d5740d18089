/// @file
/// copy() and send_file(): files and streams, each to each.

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/verify.hpp"

#include <weft/io/copy.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/temporary.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/io/whole_file.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/spawn.hpp>

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace {

namespace io = weft::io;
using weft::test::run_on;
using weft::test::scratch;
using weft::test::some_workers;
using weft::test::verify;
using weft::testing::io_call;
using weft::testing::io_faults;

/// More than a socket's buffers hold.
std::string long_text() {
  std::size_t const size = weft::test::one_byte_io() ? 10'000 : weft::test::under_sanitizer ? 1'000'000 : 8'000'000;
  std::string text;
  for (int i = 0; text.size() < size; ++i) text.append(std::to_string(i)).append(",");
  return text;
}

/// What comes at the other end of a connection while `send(stream)` sends.
template <class Send>
std::string sent_by(Send send) {
  auto [here, there] = weft::test::tcp_pair();
  auto receiver = weft::spawn([&end = there] { return end.read_all(100'000'000); });
  send(here);
  here.close();
  return receiver.get();
}

}  // namespace

TEST_CASE("a file goes to a connection by sendfile, as large as it may be", "[io][copy]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto const text = long_text();
    dir.put("a", text);
    io_faults faults;
    {
      auto f = io::file::open(dir / "a");
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f) == text.size()); }) == text);
      CHECK(f.tell() == 0);
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f, 3, 5) == 5); }) == text.substr(3, 5));
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f, text.size() - 2) == 2); }) ==
            text.substr(text.size() - 2));
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f, 0, 0) == 0); }).empty());
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f, text.size() + 9) == 0); }).empty());
      CHECK(faults.count(io_call::pread) == 0);
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("where sendfile cannot, a file is read and written", "[io][copy]") {
  auto const which = GENERATE(io_call::sendfile, io_call::dup);
  run_on(some_workers(), [&] {
    scratch const dir;
    auto const text = long_text();
    dir.put("a", text);
    io_faults faults;
    {
      auto f = io::file::open(dir / "a");
      faults.fail(which, which == io_call::dup ? std::errc::too_many_files_open : std::errc::invalid_argument);
      CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::send_file(to, f, 7) == text.size() - 7); }) == text.substr(7));
      CHECK(faults.fail_no_more() == 1);
      CHECK(faults.count(io_call::pread) > 0);
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("send_file tells what fails on either side", "[io][copy]") {
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", "text");
    io_faults faults;
    {
      auto f = io::file::open(dir / "a");
      auto [here, there] = weft::test::tcp_pair();
      std::error_code ec;
      faults.fail(io_call::sendfile, std::errc::io_error);
      CHECK(io::send_file(here, f, 0, 4, ec) == 0);
      CHECK(ec == std::errc::io_error);
      CHECK(io::send_file(here, f, ~std::uint64_t{0}, 4, ec) == 0);
      CHECK(ec == std::errc::invalid_argument);
      io::file none;
      CHECK(io::send_file(here, none, 0, 4, ec) == 0);
      CHECK(ec == std::errc::bad_file_descriptor);
      auto out = io::file::open(dir / "a", io::open_mode::append);
      CHECK(io::send_file(here, out, 0, 4, ec) == 0);
      CHECK(ec == std::errc::bad_file_descriptor);
      here.close();
      CHECK(io::send_file(here, f, 0, 4, ec) == 0);
      CHECK(ec == std::errc::bad_file_descriptor);
      CHECK_THROWS_AS(io::send_file(here, f), std::system_error);
      auto [reader, writer] = io::pipe();
      reader.close();
      CHECK(io::send_file(writer, f, 0, 4, ec) == 0);  // and no SIGPIPE
      CHECK(ec == std::errc::broken_pipe);
    }
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("a connection that is closed while a file is sent ends that", "[io][copy]") {
  if (weft::test::one_byte_io()) return;  // it would take long to fill a connection
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", std::string(16'000'000, 'x'));
    auto f = io::file::open(dir / "a");
    auto [here, there] = weft::test::tcp_pair();
    auto sender = weft::spawn([&end = here, &f] {
      std::error_code ec;
      (void)io::send_file(end, f, 0, ~std::uint64_t{0}, ec);
      return ec;
    });
    std::byte first{};
    (void)there.read_exactly(std::span{&first, 1});  // it has begun, and nobody reads the rest
    here.close();
    CHECK(sender.get() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("a cancelled send_file stops waiting for room", "[io][copy]") {
  if (weft::test::one_byte_io()) return;  // as above
  run_on(some_workers(), [] {
    scratch const dir;
    dir.put("a", std::string(16'000'000, 'x'));
    auto f = io::file::open(dir / "a");
    auto [here, there] = weft::test::tcp_pair();
    auto sender = weft::spawn([&end = here, &f] { return io::send_file(end, f); });
    std::byte first{};
    (void)there.read_exactly(std::span{&first, 1});
    sender.cancel();
    CHECK_THROWS_AS(sender.get(), weft::cancelled);
  });
}

TEST_CASE("copy takes all that there is, from files and streams to files and streams", "[io][copy]") {
  run_on(some_workers(), [] {
    scratch const dir;
    auto const text = long_text();
    dir.put("a", text);
    {
      auto from = io::file::open(dir / "a");
      auto to = io::file::open(dir / "b", io::open_mode::write);
      CHECK(io::copy(from, to) == text.size());
      CHECK(from.tell() == text.size());
      CHECK(io::copy(from, to) == 0);
    }
    CHECK(dir.get("b") == text);
    auto f = io::file::open(dir / "a");
    f.seek(10);
    CHECK(sent_by([&](io::tcp_stream& to) { CHECK(io::copy(f, to) == text.size() - 10); }) == text.substr(10));
    CHECK(f.tell() == text.size());
    // To a file by way of a temporary one, from a connection.
    auto [here, there] = weft::test::tcp_pair();
    auto sender = weft::spawn([&end = here, &text] {
      end.write_all(text);
      end.close();
    });
    auto t = io::temp_file::make(dir.path());
    CHECK(io::copy(there, t) == text.size());
    t.rename_to(dir / "c");
    sender.get();
    CHECK(dir.get("c") == text);
    auto [reader, writer] = io::pipe();
    auto short_writer = weft::spawn([&end = writer] {
      end.write_all("through a pipe");
      end.close();
    });
    auto [here2, there2] = weft::test::tcp_pair();
    CHECK(io::copy(reader, here2) == 14);
    here2.close();
    CHECK(there2.read_all(100) == "through a pipe");
    short_writer.get();
  });
}

TEST_CASE("copy tells which bytes went before it failed", "[io][copy]") {
  run_on(1, [] {
    scratch const dir;
    dir.put("a", std::string(1000, 'x'));
    io_faults faults;
    faults.limit_transfers(100);
    auto from = io::file::open(dir / "a");
    auto to = io::file::open(dir / "b", io::open_mode::write);
    faults.fail(io_call::pwrite, std::errc::no_space_on_device, 4);
    std::error_code ec;
    CHECK(io::copy(from, to, ec) == (weft::test::one_byte_io() ? 3 : 300));
    CHECK(ec == std::errc::no_space_on_device);
    faults.fail(io_call::pread, std::errc::io_error);
    CHECK(io::copy(from, to, ec) == 0);
    CHECK(ec == std::errc::io_error);
    faults.fail(io_call::pread, std::errc::io_error);
    CHECK_THROWS_AS(io::copy(from, to), std::system_error);
  });
}
