/// @file
/// Pipes, and descriptors that come from elsewhere.

#include "../../io/src/kernel_result.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"

#include <weft/io/pipe.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;

bool is_ours(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

volatile std::sig_atomic_t broken_pipes = 0;

/// SIGPIPE is counted, and would kill the process else.
class counting_sigpipe {
public:
  counting_sigpipe() {
    broken_pipes = 0;
    struct sigaction count{};
    count.sa_handler = [](int) { broken_pipes = broken_pipes + 1; };
    ::sigaction(SIGPIPE, &count, &before_);
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_UNBLOCK, &pipe, &mask_);
  }
  counting_sigpipe(counting_sigpipe const&) = delete;
  ~counting_sigpipe() {
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    ::sigaction(SIGPIPE, &before_, nullptr);
  }

private:
  struct sigaction before_{};
  sigset_t mask_{};
};

}  // namespace

TEST_CASE("what goes into a pipe comes out of it, more than it holds", "[io][pipe]") {
  run_on(some_workers(), [] {
    auto [reader, writer] = weft::io::pipe();
    CHECK(is_ours(reader.native_handle()));
    CHECK(is_ours(writer.native_handle()));
    std::string const much(1'000'000, 'p');
    auto sender = weft::spawn([&, &to = writer] {
      to.write_all(std::array<std::string_view, 2>{"first line\n", much});
      to.close();
    });
    CHECK(reader.read_line() == "first line");
    CHECK(reader.read_all(much.size()) == much);
    sender.get();
  });
}

TEST_CASE("the wrong end of a pipe says so", "[io][pipe][bad-input]") {
  run_on(some_workers(), [] {
    auto [reader, writer] = weft::io::pipe();
    std::error_code ec;
    CHECK(reader.write_all("x", ec) == 0);
    CHECK(ec == std::errc::bad_file_descriptor);
    std::array<std::byte, 1> one{};
    CHECK(writer.read_some(one, ec) == 0);
    CHECK(ec == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("SIGPIPE is taken also of a call that wrote some before the pipe broke", "[io][pipe][bad-input]") {
  counting_sigpipe const counted;
  auto const breaks_late = [](ssize_t result) {
    return weft::detail::without_sigpipe(10, [=] {
      ::raise(SIGPIPE);
      return result;
    });
  };
  CHECK(breaks_late(5) == 5);
  CHECK(broken_pipes == 0);
}

TEST_CASE("SIGPIPE is never raised, by whatever is written to", "[io][pipe][bad-input]") {
  counting_sigpipe const counted;
  auto const expect_broken = [](stream& to) {
    std::error_code ec;
    while (!ec) (void)to.write_all("x", ec);
    CHECK((ec == std::errc::broken_pipe || ec == std::errc::connection_reset));
    (void)to.write_some(std::array<std::string_view, 2>{"x", "y"}, ec);
    CHECK(ec == std::errc::broken_pipe);
    CHECK_THROWS_AS(to.write_all("x"), std::system_error);
  };
  auto const break_both = [&] {
    auto ends = weft::io::pipe();
    ends.reader.close();
    expect_broken(ends.writer);
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0);
    auto here = stream::adopt(pair[0]);
    ::close(pair[1]);
    expect_broken(here);
  };
  run_on(some_workers(), break_both);
  break_both();  // in this thread, which takes the signal
  sigset_t pending;
  sigpending(&pending);
  CHECK(sigismember(&pending, SIGPIPE) == 0);
  CHECK(broken_pipes == 0);
}

TEST_CASE("adopted descriptors do not block, and are closed on exec", "[io][adopt]") {
  run_on(some_workers(), [] {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    auto reader = stream::adopt(ends[0]);
    auto writer = stream::adopt(ends[1]);
    CHECK(is_ours(ends[0]));
    CHECK(is_ours(ends[1]));
    CHECK_THROWS_AS(weft::with_timeout(1ms, [&] { (void)reader.read_line(); }), weft::timeout_error);
    auto sender = weft::spawn([&] { writer.write_all("adopted\n"); });
    CHECK(reader.read_line() == "adopted");
    sender.get();

    if (weft::test::one_byte_io()) return;
    // 8 bytes at a time, and readable only while it counts.
    auto counter = stream::adopt(::eventfd(0, 0));
    auto waiting = weft::spawn([&] { return counter.read_exactly(sizeof(std::uint64_t)); });
    weft::yield();
    std::uint64_t const seven = 7;
    counter.write_all(std::as_bytes(std::span{&seven, 1}));
    CHECK(waiting.get().front() == '\7');
  });
}

TEST_CASE("what cannot be waited for is refused, and stays the caller's", "[io][adopt][bad-input]") {
  run_on(some_workers(), [] {
    for (char const* const path : {"/proc/self/exe", "/dev/null", "/"}) {
      int const fd = ::open(path, O_RDONLY);
      REQUIRE(fd >= 0);
      std::error_code ec;
      CHECK_FALSE(stream::adopt(fd, ec).is_open());
      CHECK(ec == std::errc::operation_not_permitted);
      CHECK_THROWS_WITH(stream::adopt(fd), Catch::Matchers::Contains("regular file"));
      CHECK(::close(fd) == 0);
    }
    CHECK_THROWS_AS(stream::adopt(-1), std::system_error);
    CHECK_THROWS_AS(stream::adopt(1'000'000), std::system_error);
  });
}

TEST_CASE("no descriptors are left for a pipe: the error says so", "[io][pipe][bad-input]") {
  run_on(1, [] {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    int const lowest_free = ::dup(0);
    REQUIRE(lowest_free >= 0);
    ::close(lowest_free);
    rlimit const none_left{static_cast<rlim_t>(lowest_free), before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none_left) == 0);
    std::error_code ec;
    auto const ends = weft::io::pipe(ec);
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(ec == std::errc::too_many_files_open);
    CHECK_FALSE(ends.reader.is_open());
    CHECK_FALSE(ends.writer.is_open());
    auto usable = weft::io::pipe();
    usable.writer.write_all("x\n");
    CHECK(usable.reader.read_line() == "x");
  });
}
