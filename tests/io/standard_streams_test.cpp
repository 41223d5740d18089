/// @file
/// Descriptors that are shared with others, of every kind: read, written, waited for, and never changed.

#include <weft/io/standard_streams.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <termios.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::test;
using weft::io::inherited_stream;

/// Two ends of something that bytes go through.
struct channel_of_bytes {
  int reader = -1;
  int writer = -1;
  channel_of_bytes() = default;
  channel_of_bytes(channel_of_bytes&& other) noexcept
      : reader(std::exchange(other.reader, -1)), writer(std::exchange(other.writer, -1)) {}
  ~channel_of_bytes() {
    for (int const fd : {reader, writer}) {
      if (fd >= 0) ::close(fd);
    }
  }
  void put(std::string const& text) const {
    verify(::write(writer, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void end_writing() { ::close(std::exchange(writer, -1)); }
};

channel_of_bytes make_pipe() {
  channel_of_bytes made;
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  made.reader = ends[0];
  made.writer = ends[1];
  return made;
}

channel_of_bytes make_sockets() {
  channel_of_bytes made;
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  made.reader = ends[0];
  made.writer = ends[1];
  return made;
}

/// A terminal that changes nothing of what goes through. Which end reads is asked for.
channel_of_bytes make_terminal(bool reads_at_the_terminal) {
  channel_of_bytes made;
  int const master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return made;
  std::array<char, 64> name{};
  REQUIRE(::ptsname_r(master, name.data(), name.size()) == 0);
  int const terminal = ::open(name.data(), O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  termios raw{};
  REQUIRE(::tcgetattr(terminal, &raw) == 0);
  ::cfmakeraw(&raw);
  REQUIRE(::tcsetattr(terminal, TCSANOW, &raw) == 0);
  made.reader = reads_at_the_terminal ? terminal : master;
  made.writer = reads_at_the_terminal ? master : terminal;
  return made;
}

enum class kind { pipe, sockets, terminal, terminal_maker };
channel_of_bytes make(kind what) {
  switch (what) {
    case kind::pipe: return make_pipe();
    case kind::sockets: return make_sockets();
    case kind::terminal: return make_terminal(true);
    default: return make_terminal(false);
  }
}
kind each_kind() { return GENERATE(kind::pipe, kind::sockets, kind::terminal, kind::terminal_maker); }

/// Runs `f` with both ends of one of each kind, on each number of workers.
template <class F>
void with_each_kind(F&& f) {
  auto const what = each_kind();
  auto const workers = some_workers();
  run_on(1, [] {});  // what is there for good from then on
  auto const before = open_descriptors();
  {
    auto ends = make(what);
    if (ends.reader < 0) {
      WARN("skipped: there are no terminals here");
      return;
    }
    std::array const flags{::fcntl(ends.reader, F_GETFL), ::fcntl(ends.writer, F_GETFL)};
    auto const unchanged = [&] {
      return ::fcntl(ends.reader, F_GETFL) == flags[0] &&
             (ends.writer < 0 || ::fcntl(ends.writer, F_GETFL) == flags[1]);
    };
    run_on(workers, [&] { f(ends, unchanged); });
    CHECK(unchanged());
  }
  CHECK(open_descriptors() == before);
}

class temporary_file {
public:
  temporary_file() : number(::mkstemp(path_)) { REQUIRE(number >= 0); }
  temporary_file(temporary_file const&) = delete;
  ~temporary_file() {
    ::close(number);
    ::unlink(path_);
  }

private:
  char path_[32] = "/tmp/weft-stream-XXXXXX";

public:
  int const number;
};

}  // namespace

TEST_CASE("what comes is read, and the descriptor's flags stay, while it is waited for, too",
          "[io][standard-streams]") {
  with_each_kind([](channel_of_bytes& ends, auto const& unchanged) {
    inherited_stream in{ends.reader};
    ends.put("first\nsec");
    CHECK(in.read_line() == "first");
    auto waiting = weft::spawn([&] { return in.read_line(); });
    weft::yield();
    weft::sleep_for(1ms);
    CHECK(unchanged());
    ends.put("ond\n");
    CHECK(waiting.get() == "second");
    CHECK(unchanged());
  });
}

TEST_CASE("the end is read", "[io][standard-streams]") {
  auto const what = GENERATE(kind::pipe, kind::sockets);
  run_on(some_workers(), [what] {
    auto ends = make(what);
    inherited_stream in{ends.reader};
    ends.put("last");
    auto waiting = weft::spawn([&] { return in.read_all(100); });
    weft::yield();
    ends.end_writing();
    CHECK(waiting.get() == "last");
    CHECK_FALSE(in.read_line());
  });
}

TEST_CASE("what has come and ended before anybody looked is read", "[io][standard-streams]") {
  run_on(some_workers(), [] {
    for (auto const what : {kind::pipe, kind::sockets}) {
      auto ends = make(what);
      ends.put("all of it");
      ends.end_writing();
      inherited_stream in{ends.reader};
      CHECK(in.read_all(100) == "all of it");
    }
    char directory[] = "/tmp/weft-fifo-XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    std::string const path = std::string(directory) + "/fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    int const reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
    int const writer = ::open(path.c_str(), O_WRONLY);
    REQUIRE(::write(writer, "named\n", 6) == 6);
    ::close(writer);
    inherited_stream in{reader};
    CHECK(in.read_line() == "named");
    CHECK_FALSE(in.read_line());
    ::close(reader);
    ::unlink(path.c_str());
    ::rmdir(directory);
  });
}

TEST_CASE("a wait for input ends at its limit and at cancellation", "[io][standard-streams]") {
  with_each_kind([](channel_of_bytes& ends, auto const&) {
    inherited_stream in{ends.reader};
    CHECK(throws<weft::timeout_error>([&] { weft::with_timeout(1ms, [&] { (void)in.read_line(); }); }));
    auto waiting = weft::spawn([&] { return in.read_line(); });
    weft::yield();
    waiting.cancel();
    CHECK(throws<weft::cancelled>([&] { (void)waiting.get(); }));
    ends.put("still there\n");
    CHECK(in.read_line() == "still there");
  });
}

TEST_CASE("out of descriptors at first use, a stream says so, and can be waited for later", "[io][standard-streams]") {
  with_each_kind([](channel_of_bytes& ends, auto const&) {
    inherited_stream in{ends.reader};
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit const none{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    std::error_code ec;
    (void)in.read_line(100, ec);
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(ec == std::errc::too_many_files_open);
    CHECK(throws<weft::timeout_error>([&] { weft::with_timeout(1ms, [&] { (void)in.read_line(); }); }));
    ends.put("still there\n");
    CHECK(in.read_line() == "still there");
  });
}

TEST_CASE("who waits for input does not hold up a shutdown", "[io][standard-streams]") {
  auto const what = each_kind();
  auto ends = make(what);
  if (ends.reader < 0) {
    WARN("skipped: there are no terminals here");
    return;
  }
  inherited_stream in{ends.reader};
  for (int round = 0; round < 3; ++round) {  // and the next runtime reads on
    std::atomic<bool> begun{false};
    {
      weft::runtime rt{on(some_workers())};
      auto reader = rt.spawn([&] {
        begun = true;
        return in.read_line();
      });
      while (!begun) std::this_thread::yield();
      reader.detach();
      rt.shutdown();
    }
    weft::runtime next{on(1)};
    ends.put("next\n");
    CHECK(next.run([&] { return in.read_line(); }) == "next");
  }
}

TEST_CASE("what is written arrives, more than there is room for, and each write whole", "[io][standard-streams]") {
  with_each_kind([](channel_of_bytes& ends, auto const& unchanged) {
    inherited_stream out{ends.writer};
    constexpr std::size_t writers = 4;
    constexpr std::size_t lines = 5;
    // A terminal's maker writes a byte at a time.
    std::size_t const length = ::isatty(ends.writer) != 0 ? 200 : 30'000;
    std::vector<weft::task<void>> writing;
    for (std::size_t w = 0; w < writers; ++w) {
      writing.push_back(weft::spawn([&, w] {
        auto line = std::string(length, static_cast<char>('a' + w));
        line.append("\n");
        for (std::size_t i = 0; i < lines; ++i) out.write_all(line);
      }));
    }
    inherited_stream in{ends.reader};
    std::array<std::size_t, writers> seen{};
    for (std::size_t i = 0; i < writers * lines; ++i) {
      auto const line = in.read_line(length + 1);
      REQUIRE(line);
      CHECK(line->size() == length);
      CHECK(line->find_first_not_of(line->front()) == std::string::npos);
      ++seen[static_cast<std::size_t>(line->front() - 'a')];
    }
    for (auto const n : seen) CHECK(n == lines);
    for (auto& w : writing) w.get();
    CHECK(unchanged());
  });
}

TEST_CASE("a wait for room ends at its limit", "[io][standard-streams]") {
  with_each_kind([](channel_of_bytes& ends, auto const&) {
    inherited_stream out{ends.writer};
    std::string const much(10'000'000, 'm');
    CHECK(throws<weft::timeout_error>([&] { weft::with_timeout(20ms, [&] { out.write_all(much); }); }));
  });
}

TEST_CASE("a file is read and written where it is, and its place is shared", "[io][standard-streams]") {
  run_on(some_workers(), [] {
    temporary_file const file;
    inherited_stream out{file.number};
    out.write_all("by weft, ");
    REQUIRE(::write(file.number, "by others, ", 11) == 11);
    out.write_all("by weft\nline\n");
    REQUIRE(::lseek(file.number, 0, SEEK_SET) == 0);
    inherited_stream in{file.number};
    CHECK(in.read_line() == "by weft, by others, by weft");
    CHECK(in.read_line() == "line");
    CHECK_FALSE(in.read_line());
  });
}

TEST_CASE("/dev/null is empty, and takes all", "[io][standard-streams]") {
  run_on(some_workers(), [] {
    int const null = ::open("/dev/null", O_RDWR);
    inherited_stream both{null};
    CHECK(both.read_all(10).empty());
    both.write_all("anything");
    std::error_code ec;
    CHECK(both.write_some({}, ec) == 0);
    CHECK_FALSE(ec);
    ::close(null);
    int const full = ::open("/dev/full", O_RDWR);
    inherited_stream none{full};
    CHECK(none.write_all("anything", ec) == 0);
    CHECK(ec == std::errc::no_space_on_device);
    ::close(full);
  });
}

TEST_CASE("a descriptor that is closed, or the wrong end, or broken, says so", "[io][standard-streams][bad-input]") {
  auto const before = ::signal(SIGPIPE, SIG_DFL);  // and never SIGPIPE
  run_on(some_workers(), [] {
    std::error_code ec;
    inherited_stream none{1'000'000};
    CHECK_FALSE(none.read_line(ec));
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(none.write_all("x", ec) == 0);
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(throws<std::system_error>([&] { (void)none.read_line(); }));
    CHECK_THROWS_WITH(none.write_all("x"), Catch::Matchers::Contains("descriptor 1000000"));
    auto const pipe = make_pipe();
    inherited_stream reader{pipe.reader};
    CHECK(reader.write_all("x", ec) == 0);  // the system would open a pipe anew for what this end of it cannot do
    CHECK(ec == std::errc::bad_file_descriptor);
    inherited_stream writer{pipe.writer};
    CHECK_FALSE(writer.read_line(ec));
    CHECK(ec == std::errc::bad_file_descriptor);
    writer.write_all("line\n");
    CHECK(reader.read_line() == "line");
    for (auto const what : {kind::pipe, kind::sockets}) {
      auto ends = make(what);
      inherited_stream out{ends.writer};
      out.write_all("x");
      ::close(std::exchange(ends.reader, -1));
      while (!ec || ec == std::errc::bad_file_descriptor) (void)out.write_all("x", ec);
      CHECK(ec == std::errc::broken_pipe);
      ec.clear();
      // And where that was so from the beginning.
      inherited_stream again{ends.writer};
      (void)again.write_all("x", ec);
      CHECK(ec == std::errc::broken_pipe);
      ec.clear();
    }
  });
  (void)::signal(SIGPIPE, before);
}

TEST_CASE("outside of a runtime, what need not wait is done, and what must throws",
          "[io][standard-streams][bad-input]") {
  auto const pipe = make_pipe();
  inherited_stream in{pipe.reader};
  inherited_stream out{pipe.writer};
  out.write_all("line\n");
  CHECK(in.read_line() == "line");
  CHECK_THROWS_AS(in.read_line(), weft::no_runtime);
  temporary_file const file;
  inherited_stream to_file{file.number};
  to_file.write_all("text");
}

TEST_CASE("the standard streams are descriptors 0, 1 and 2, and keep what they have read ahead",
          "[io][standard-streams]") {
  CHECK(weft::io::stdin_stream().native_handle() == 0);
  CHECK(weft::io::stdout_stream().native_handle() == 1);
  CHECK(weft::io::stderr_stream().native_handle() == 2);
  auto ends = make_pipe();
  int const saved = ::dup(0);
  REQUIRE(::dup2(ends.reader, 0) == 0);
  ends.put("one\ntwo\nthree\n");
  ends.end_writing();
  for (char const* const line : {"one", "two", "three"}) {
    weft::run([&] { CHECK(weft::io::stdin_stream().read_line() == line); });
  }
  weft::run([&] { CHECK_FALSE(weft::io::stdin_stream().read_line()); });
  saved >= 0 ? ::dup2(saved, 0) : ::close(0);
  ::close(saved);
}
