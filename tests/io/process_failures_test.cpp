/// @file
/// Processes that cannot be started, talked to or ended: each is told, and nothing is left of it.

#include <weft/io/process.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/error.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::has_children;
using weft::test::open_descriptors;
using weft::test::run_on;
using weft::test::scaled_bytes;
using weft::test::some_workers;
using weft::test::throws;
using weft::testing::io_call;
using weft::testing::io_faults;

/// Runs `f` with each number of workers, and looks what is left.
template <class F>
void run_clean(F&& f) {
  auto const workers = some_workers();
  run_on(1, [] { auto const one = process::spawn({"true"}); });  // what is there for good from then on
  auto const before = open_descriptors();
  run_on(workers, std::forward<F>(f));
  CHECK_FALSE(has_children());
  CHECK(open_descriptors() == before);
}

/// Both forms fail with `expected`, and what is thrown has `words` in it.
void refused(std::vector<std::string> const& argv, process_options const& options, std::errc expected,
             std::vector<std::string> const& words) {
  std::error_code ec;
  auto const none = process::spawn(argv, options, ec);
  CHECK(ec == expected);
  CHECK(none.id() == -1);
  try {
    (void)process::spawn(argv, options);
    FAIL("it started");
  } catch (std::system_error const& e) {
    CHECK(e.code() == expected);
    std::string const what = e.what();
    CAPTURE(what);
    for (auto const& word : words) CHECK(what.find(word) != std::string::npos);
  }
}

/// A directory of its own, gone with what is in it.
class scratch {
public:
  scratch() { REQUIRE(::mkdtemp(path_) != nullptr); }
  scratch(scratch const&) = delete;
  ~scratch() {
    for (auto const& file : files_) ::unlink(file.c_str());
    ::rmdir(path_);
  }
  [[nodiscard]] std::string path() const { return path_; }
  std::string make(std::string const& name, std::string const& text, mode_t mode) {
    auto const file = path() + "/" + name;
    int const fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    REQUIRE(fd >= 0);
    REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(fd);
    files_.push_back(file);
    return file;
  }

private:
  char path_[32] = "/tmp/weft-process-XXXXXX";
  std::vector<std::string> files_;
};

}  // namespace

TEST_CASE("a program that is missing, a directory or not to be executed is told by name", "[io][process][bad-input]") {
  scratch files;
  auto const plain = files.make("plain", "#!/bin/sh\n", 0644);
  auto const not_one = files.make("not_one", "neither script nor program", 0755);
  auto const no_interpreter = files.make("no_interpreter", "#!/nowhere/sh\n", 0755);
  run_clean([&] {
    using enum std::errc;
    refused({"weft-no-such-program"}, {}, no_such_file_or_directory,
            {"starting 'weft-no-such-program'", "No such file"});
    refused({"/nowhere/weft"}, {}, no_such_file_or_directory, {"'/nowhere/weft'"});
    refused({""}, {}, no_such_file_or_directory, {"starting ''"});
    refused({files.path()}, {}, permission_denied, {files.path(), "Permission denied"});
    refused({plain}, {}, permission_denied, {plain});
    refused({not_one}, {}, executable_format_error, {not_one});
    refused({no_interpreter}, {}, no_such_file_or_directory, {no_interpreter});
    refused({"true"}, {.program = "/nowhere/else"}, no_such_file_or_directory, {"'/nowhere/else'"});
    refused({plain + "/below"}, {}, not_a_directory, {plain});
    refused({std::string(5000, 'n')}, {}, filename_too_long, {"nnn"});
  });
}

TEST_CASE("what a process cannot be given is told", "[io][process][bad-input]") {
  scratch files;
  auto const plain = files.make("plain", "text", 0644);
  run_clean([&] {
    using enum std::errc;
    refused({}, {}, invalid_argument, {"no arguments"});
    refused({"echo", std::string("a\0b", 3)}, {}, invalid_argument, {"'echo'", "argument 1"});
    refused({std::string("ec\0ho", 5)}, {}, invalid_argument, {"NUL"});
    refused({"true"}, {.directory = std::string("/\0", 2)}, invalid_argument, {"directory"});
    refused({"true"}, {.environment_changes = {{"", "x"}}}, invalid_argument, {"environment"});
    refused({"true"}, {.environment = {{{"A", std::string("\0", 1)}}}}, invalid_argument, {"environment"});
    refused({"true"}, {.out = redirection::to_file(std::string("\0", 1))}, invalid_argument, {"file"});
    refused({"true"}, {.in = redirection::to_stdout()}, invalid_argument, {"standard error"});
    refused({"true"}, {.directory = "/nowhere"}, no_such_file_or_directory, {"'true' in '/nowhere'"});
    refused({"true"}, {.directory = plain}, not_a_directory, {plain});
    refused({"true"}, {.in = redirection::from_file("/nowhere/in")}, no_such_file_or_directory,
            {"opening '/nowhere/in' for its standard input"});
    refused({"true"}, {.err = redirection::to_file("/")}, is_a_directory, {"'/'", "standard error"});
    refused({"true"}, {.out = redirection::to(-1)}, bad_file_descriptor, {"standard output"});
    refused({"true"}, {.in = redirection::to(1'000'000)}, bad_file_descriptor, {"standard input"});
    refused({"true"}, {.in = redirection::to(stream{})}, bad_file_descriptor, {"standard input"});
    refused({"true", std::string(1'000'000, 'x')}, {}, argument_list_too_long, {"'true'"});
    refused({"true"}, {.environment = {{{"LARGE", std::string(1'000'000, 'x')}}}}, argument_list_too_long, {});
  });
}

TEST_CASE("what was given away is closed though the process does not start", "[io][process][bad-input]") {
  run_clean([] {
    auto [reader, writer] = weft::io::pipe();
    std::error_code ec;
    process_options const options{.out = redirection::to(std::move(writer))};
    (void)process::spawn({"/nowhere"}, options, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
    CHECK_FALSE(reader.read_line());
  });
}

TEST_CASE("a stream is given away once: who uses the same options again is refused", "[io][process][bad-input]") {
  run_clean([] {
    auto [reader, writer] = weft::io::pipe();
    process_options const options{.in = redirection::pipe(), .out = redirection::to(std::move(writer))};
    (void)process::spawn({"true"}, options).wait();
    std::error_code ec;
    (void)process::spawn({"true"}, options, ec);  // whose pipe gets the number that the stream had
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK_FALSE(reader.read_line());
  });
}

TEST_CASE("an environment with entries that are no variables can be inherited", "[io][process][bad-input]") {
  run_clean([] {
    std::array<char, 8> no_sign{"NOSIGN"};
    std::array<char, 4> no_name{"=x"};
    std::array<char, 8> good{"W=good"};
    std::array<char*, 4> odd{no_sign.data(), no_name.data(), good.data(), nullptr};
    char** const before = std::exchange(::environ, odd.data());
    auto shows = process::spawn({"/usr/bin/env"}, {.out = redirection::pipe()});
    ::environ = before;
    CHECK(shows.communicate().out == "W=good\n");
  });
}

TEST_CASE("a process that is none says so", "[io][process][bad-input]") {
  run_clean([] {
    process none;
    std::error_code ec;
    CHECK(none.id() == -1);
    CHECK(none.program().empty());
    (void)none.wait(ec);
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK_FALSE(none.kill(ec));
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(throws<std::system_error>([&] { (void)none.wait(); }));
    CHECK(throws<std::system_error>([&] { (void)none.try_wait(); }));
    CHECK(throws<std::system_error>([&] { (void)none.wait_for(0s); }));
    CHECK(throws<std::system_error>([&] { (void)none.terminate(); }));
    CHECK(throws<std::system_error>([&] { (void)none.communicate(); }));
    auto moved = process::spawn({"true"});
    auto const kept = std::move(moved);
    CHECK(kept.program() == "true");
    CHECK(throws<std::system_error>([&] { (void)moved.wait(); }));
    auto real = process::spawn({"sleep", "1000"});
    CHECK_FALSE(real.signal(1000, ec));
    CHECK(ec == std::errc::invalid_argument);
    CHECK_FALSE(real.signal(-1, ec));
    CHECK(ec == std::errc::invalid_argument);
    CHECK(real.signal(0));
    CHECK(throws<std::system_error>([&] { (void)real.communicate("input without a pipe"); }));
  });
}

TEST_CASE("a closed pipe ends a program, and an error tells the one who writes", "[io][process][bad-input]") {
  run_clean([] {
    auto talks = process::spawn({"yes"}, {.out = redirection::pipe()});
    CHECK(talks.stdout_stream().read_line() == "y");
    talks.stdout_stream().close();
    CHECK(talks.wait().signal() == SIGPIPE);  // which has its default disposition there
    auto deaf = process::spawn({"sh", "-c", "exec <&-; echo ready; exec sleep 1000"},
                               {.in = redirection::pipe(), .out = redirection::pipe()});
    CHECK(deaf.stdout_stream().read_line() == "ready");
    std::error_code ec;
    (void)deaf.stdin_stream().write_all("x", ec);
    CHECK(ec == std::errc::broken_pipe);
    CHECK(throws<std::system_error>([&] { deaf.stdin_stream().write_all("x"); }));
  });
}

TEST_CASE("a program that says too much is left to its owner", "[io][process][bad-input]") {
  run_clean([] {
    auto talks = process::spawn({"yes"},
                                {.in = redirection::pipe(), .out = redirection::pipe(), .err = redirection::pipe()});
    CHECK(
        throws<weft::limit_overrun>([&] { (void)talks.communicate(std::string(scaled_bytes(1'000'000), 'x'), 1000); }));
    CHECK_FALSE(talks.try_wait());
    auto again = process::spawn({"yes"}, {.out = redirection::pipe()});
    std::error_code ec;
    auto const said = again.communicate({}, 1000, ec);
    CHECK(ec == std::errc::message_size);
    CHECK(said.out.size() > 1000);
    CHECK(said.out.starts_with("y\ny\n"));
  });
}

TEST_CASE("the end of a child that another has waited for is not told, and does not hang", "[io][process][bad-input]") {
  run_clean([] {
    auto stolen = process::spawn({"true"});
    REQUIRE(::waitpid(stolen.id(), nullptr, 0) == stolen.id());
    std::error_code ec;
    (void)stolen.wait(ec);
    CHECK(ec == std::errc::no_child_process);
    CHECK(throws<std::system_error>([&] { (void)stolen.wait(); }));
    CHECK_FALSE(stolen.kill());
    auto lost = process::spawn({"sleep", "1000"});
    REQUIRE(lost.kill());
    REQUIRE(::waitpid(lost.id(), nullptr, 0) == lost.id());
  });
}

TEST_CASE("SIGCHLD may be ignored: then no status is told, and nothing hangs", "[io][process][bad-input]") {
  auto const before = ::signal(SIGCHLD, SIG_IGN);
  run_clean([] {
    auto quick = process::spawn({"true"});
    std::error_code ec;
    (void)quick.wait(ec);
    CHECK(ec == std::errc::no_child_process);
    refused({"/nowhere"}, {}, std::errc::no_such_file_or_directory, {"'/nowhere'"});
    auto const dropped = process::spawn({"sleep", "1000"});
  });
  (void)::signal(SIGCHLD, before);
}

TEST_CASE("no descriptors are left for a process: the error says so", "[io][process][bad-input]") {
  run_clean([] {
    process_options const piped{.in = redirection::pipe(), .out = redirection::pipe(), .err = redirection::pipe()};
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    int const lowest_free = ::dup(0);
    REQUIRE(lowest_free >= 0);
    ::close(lowest_free);
    // Six for the pipes, and one of the process.
    for (int left = 0; left < 7; ++left) {
      rlimit const few{static_cast<rlim_t>(lowest_free + left), before.rlim_max};
      REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
      std::error_code ec;
      (void)process::spawn({"true"}, piped, ec);
      ::setrlimit(RLIMIT_NOFILE, &before);
      CHECK(ec == std::errc::too_many_files_open);
      CHECK_FALSE(has_children());
    }
    CHECK(process::spawn({"true"}, piped).wait().success());
  });
}

TEST_CASE("whichever system call fails, no process and no descriptor is left", "[io][process][bad-input]") {
  auto const error = GENERATE(std::errc::not_enough_memory, std::errc::operation_not_permitted, std::errc::interrupted);
  run_clean([error] {
    bool whole = false;
    for (std::uint64_t nth = 1; !whole; ++nth) {
      io_faults faults;
      faults.fail(error, nth);
      bool as_it_should = false;
      try {
        auto cat = process::spawn({"cat"},
                                  {.in = redirection::pipe(), .out = redirection::pipe(), .err = redirection::pipe()});
        auto const done = cat.communicate("text");
        (void)cat.kill();
        as_it_should = done.status.success() && done.out == "text";
      } catch (std::system_error const& e) {
        CHECK(e.code() == error);
      }
      whole = faults.fail_no_more() == 0;
      CHECK((as_it_should || !whole));
      CHECK(faults.open_descriptors() == 0);
      CHECK_FALSE(has_children());
      REQUIRE(nth < 1000);
    }
  });
}

TEST_CASE("each kind of call for processes can be made to fail", "[io][process][bad-input]") {
  run_clean([] {
    io_faults faults;
    std::error_code ec;
    faults.fail(io_call::start_process, std::errc::resource_unavailable_try_again, 1, 2);
    refused({"true"}, {}, std::errc::resource_unavailable_try_again, {"'true'"});
    faults.fail(io_call::wait_process, std::errc::not_enough_memory, 1, 2);
    auto first = process::spawn({"true"});
    (void)first.wait(ec);
    CHECK(ec == std::errc::not_enough_memory);
    faults.fail(io_call::signal_process, std::errc::operation_not_permitted);
    auto second = process::spawn({"sleep", "1000"});
    CHECK_FALSE(second.kill(ec));
    CHECK(ec == std::errc::operation_not_permitted);
    faults.fail(io_call::signal_process, std::errc::operation_not_permitted);
    CHECK_THROWS_WITH(second.kill(), Catch::Matchers::Contains("sending signal 9 to 'sleep'"));
    faults.fail(std::errc::not_enough_memory, 1, 1000);  // the destructors do without
  });
}

TEST_CASE("outside of a runtime nothing is started", "[io][process][bad-input]") {
  std::error_code ec;
  CHECK_THROWS_AS(process::spawn({"true"}, {}, ec), weft::no_runtime);
  CHECK_THROWS_AS(run_process({"true"}), weft::no_runtime);
  CHECK_FALSE(has_children());
}

TEST_CASE("in a simulation nothing is started", "[io][process][bad-input]") {
  weft::testing::simulation world{1};
  world.run([] { CHECK(throws<weft::error>([] { (void)run_process({"true"}); })); });
  CHECK_FALSE(has_children());
}

TEST_CASE("rule 23: a fork without exec has no say over the processes of the other",
          "[io][process][rule23][hazard][H21]") {
  run_clean([] {
    auto child = process::spawn({"sleep", "1000"});
    pid_t const forked = ::fork();
    if (forked == 0) {
      bool const refusals = throws<weft::error>([] { (void)process::spawn({"true"}); }) &&
                            throws<weft::error>([&] { (void)child.kill(); }) &&
                            throws<weft::error>([&] { (void)child.wait(); });
      ::_exit(refusals ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(forked, &status, 0) == forked);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK_FALSE(child.try_wait());
  });
}
