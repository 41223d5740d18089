/// @file
/// Processes: what they get, what they say, and how they end.

#include <weft/io/process.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/pipe.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/select.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/time.h>
#include <system_error>
#include <thread>
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
using weft::test::verify;

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

/// The hexadecimal number behind `name` in what /proc says of a process.
unsigned long field(std::string const& status, std::string_view name) {
  auto const at = status.find(std::string(name).append(":"));
  verify(at != std::string::npos);
  return std::strtoul(status.c_str() + at + name.size() + 1, nullptr, 16);
}

/// A program that lives until it is told to end, and has told that it is there.
process sleeper(std::string const& before = "", std::string const& then = "exec sleep 1000") {
  auto made = process::spawn({"sh", "-c", before + "echo ready; " + then},
                             {.in = redirection::pipe(), .out = redirection::pipe()});
  verify(made.stdout_stream().read_line() == "ready");
  return made;
}

}  // namespace

TEST_CASE("a program runs, and its end is told", "[io][process]") {
  run_clean([] {
    CHECK(process::spawn({"true"}).wait().success());
    CHECK(process::spawn({"sh", "-c", "exit 7"}).wait() == exit_status::exited(7));
    auto killed = process::spawn({"sh", "-c", "kill -USR1 $$"});
    CHECK(killed.id() > 0);
    auto const status = killed.wait();
    CHECK(status.signal() == SIGUSR1);
    CHECK_FALSE(status.code());
    CHECK_FALSE(status.success());
    CHECK(killed.wait() == status);
    CHECK(killed.try_wait() == status);
    CHECK(killed.wait_for(0s));
    CHECK_FALSE(killed.kill());
  });
}

TEST_CASE("how a process ended can be read", "[io][process]") {
  CHECK(exit_status::exited(3).to_string() == "exited with 3");
  CHECK(exit_status::signalled(SIGTERM).to_string().substr(0, 18) == "ended by signal 15");
  CHECK(exit_status::signalled(SIGSEGV, true).core_dumped());
  CHECK(exit_status::signalled(SIGSEGV, true).to_string().find("core dump") != std::string::npos);
  CHECK(exit_status::exited(9) != exit_status::signalled(9));
}

TEST_CASE("arguments are passed as they are", "[io][process]") {
  run_clean([] {
    std::vector<std::string> const argv{"printf", "%s|", "a b", "", "$HOME", "*", "'\"\\", "\n", "\xff\xfe", "-n"};
    std::string expected;
    for (std::size_t i = 2; i < argv.size(); ++i) expected.append(argv[i]).append("|");
    CHECK(run_process(argv).out == expected);
    // Its own name is what it is given, whatever is executed.
    CHECK(run_process({"another name", "-c", "echo $0"}, {}, {.program = "/bin/sh"}).out == "another name\n");
    std::string const large(100'000, 'x');  // the most that one argument may have is 128 KiB
    CHECK(run_process({"printf", "%s", large}).out == large);
  });
}

TEST_CASE("the environment is inherited, changed or replaced", "[io][process]") {
  ::setenv("WEFT_TEST_KEPT", "kept", 1);
  ::setenv("WEFT_TEST_GONE", "gone", 1);
  run_clean([] {
    auto const inherited = run_process({"env"}).out;
    CHECK(inherited.find("WEFT_TEST_KEPT=kept\n") != std::string::npos);
    auto const changed = run_process({"env"}, {},
                                     {.environment_changes = {{"WEFT_TEST_GONE", std::nullopt},
                                                              {"WEFT_TEST_NEW", "a=b"},
                                                              {"WEFT_TEST_KEPT", "other"}}})
                             .out;
    CHECK(changed.find("WEFT_TEST_GONE") == std::string::npos);
    CHECK(changed.find("WEFT_TEST_NEW=a=b\n") != std::string::npos);
    CHECK(changed.find("WEFT_TEST_KEPT=other\n") != std::string::npos);
    CHECK(changed.find("WEFT_TEST_KEPT=kept") == std::string::npos);
    CHECK(run_process({"env"}, {}, {.environment = {{{"A", "1"}, {"B", ""}}}}).out == "A=1\nB=\n");
    CHECK(run_process({"env"}, {}, {.environment = {{}}, .environment_changes = {{"C", "3"}}}).out == "C=3\n");
  });
}

TEST_CASE("a process starts in the directory that it is given", "[io][process]") {
  run_clean([] {
    CHECK(run_process({"pwd"}, {}, {.directory = "/"}).out == "/\n");
    // And its files are named from here.
    char here[] = "/tmp/weft-process-XXXXXX";
    REQUIRE(::mkdtemp(here) != nullptr);
    std::string const file = std::string(here) + "/out";
    CHECK(run_process({"pwd"}, {}, {.directory = "/usr", .out = redirection::to_file(file)}).status.success());
    CHECK(run_process({"cat"}, {}, {.in = redirection::from_file(file)}).out == "/usr\n");
    CHECK(run_process({"echo", "more"}, {}, {.out = redirection::appended_to(file)}).status.success());
    CHECK(run_process({"cat", file}).out == "/usr\nmore\n");
    CHECK(run_process({"echo", "x"}, {}, {.out = redirection::to_file(file)}).status.success());
    CHECK(run_process({"cat", file}).out == "x\n");
    ::unlink(file.c_str());
    ::rmdir(here);
  });
}

TEST_CASE("errors go where they are sent", "[io][process]") {
  run_clean([] {
    std::vector<std::string> const both{"sh", "-c", "echo out; echo err >&2"};
    auto const apart = run_process(both);
    CHECK(apart.out == "out\n");
    CHECK(apart.err == "err\n");
    auto const together = run_process(both, {}, {.err = redirection::to_stdout()});
    CHECK(together.out == "out\nerr\n");
    CHECK(together.err.empty());
    auto const silent = run_process(both, {}, {.out = redirection::null()});
    CHECK(silent.out.empty());
    CHECK(silent.err == "err\n");
    // To where output goes, be that what this process has.
    CHECK(run_process({"sh", "-c", "test /proc/self/fd/1 -ef /proc/self/fd/2"}, {},
                      {.out = redirection::inherit(), .err = redirection::to_stdout()})
              .status.success());
    // Crosswise: each is where the other of this process is.
    auto const links = run_process({"sh", "-c", "readlink /proc/$$/fd/0 /proc/$$/fd/2"}, {},
                                   {.in = redirection::to(2), .err = redirection::to(0)});
    std::string here;
    for (char const* const link : {"/proc/self/fd/2", "/proc/self/fd/0"}) {
      char name[256];
      auto const n = ::readlink(link, name, sizeof name);
      REQUIRE(n > 0);
      here.append(name, static_cast<std::size_t>(n)).append("\n");
    }
    CHECK(links.out == here);
  });
}

TEST_CASE("what a pipe does not hold goes through, both ways at once", "[io][process]") {
  run_clean([] {
    std::string const much(scaled_bytes(4'000'000), 'm');
    auto const done = run_process({"tee", "/dev/stderr"}, much);
    CHECK(done.status.success());
    CHECK(done.out == much);
    CHECK(done.err == much);
    // A program that does not read what it is sent.
    CHECK(run_process({"true"}, much).status.success());
    // And one that has nothing to do with any of it.
    auto quiet = process::spawn({"true"});
    CHECK(quiet.communicate().status.success());
  });
}

TEST_CASE("a process is talked to line by line", "[io][process]") {
  run_clean([] {
    auto cat = process::spawn({"cat"}, {.in = redirection::pipe(), .out = redirection::pipe()});
    for (int i = 0; i < 10; ++i) {
      auto const line = std::string("line ").append(std::to_string(i));
      cat.stdin_stream().write_all(line + "\n");
      CHECK(cat.stdout_stream().read_line() == line);
    }
    cat.stdin_stream().close();
    CHECK_FALSE(cat.stdout_stream().read_line());
    CHECK(cat.wait().success());
    CHECK_FALSE(cat.stderr_stream().is_open());
  });
}

TEST_CASE("streams that are given away connect processes", "[io][process]") {
  run_clean([] {
    auto [from_first, to_second] = weft::io::pipe();
    auto first = process::spawn({"printf", "3\n1\n2\n"}, {.out = redirection::to(std::move(to_second))});
    auto second = process::spawn({"sort"}, {.in = redirection::to(std::move(from_first)), .out = redirection::pipe()});
    CHECK(second.communicate().out == "1\n2\n3\n");
    CHECK(first.wait().success());
  });
}

TEST_CASE("a program's pipes block, as it expects", "[io][process]") {
  run_clean([] {
    auto const flags =
        run_process({"sh", "-c", "cat /proc/self/fdinfo/0 /proc/self/fdinfo/1; cat /proc/self/fdinfo/2"}, "x").out;
    std::istringstream lines{flags};
    int seen = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.substr(0, 6) != "flags:") continue;
      ++seen;
      CHECK((std::strtoul(line.c_str() + 6, nullptr, 8) & O_NONBLOCK) == 0);
    }
    CHECK(seen == 3);
  });
}

TEST_CASE("H27: a process has descriptors 0 to 2, the default mask and the default dispositions",
          "[io][process][hazard][H27]") {
  int const leaked = ::open("/dev/null", O_RDONLY);  // whoever opened it forgot that it is to be closed
  REQUIRE(leaked >= 0);
  auto const before_pipe = ::signal(SIGPIPE, SIG_IGN);
  auto const before_usr1 = ::signal(SIGUSR1, [](int) {});
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  run_clean([] {
    auto const status = run_process({"cat", "/proc/self/status"}).out;
    CHECK(field(status, "SigBlk") == 0);
    CHECK(field(status, "SigIgn") == 0);
    CHECK(field(status, "SigCgt") == 0);
    CHECK(run_process({"ls", "/proc/self/fd"}).out == "0\n1\n2\n3\n");  // 3 is that directory
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  (void)::signal(SIGPIPE, before_pipe);
  (void)::signal(SIGUSR1, before_usr1);
  ::close(leaked);
}

TEST_CASE("many wait for one process, in whatever way", "[io][process]") {
  run_clean([] {
    auto cat = process::spawn({"cat"}, {.in = redirection::pipe()});
    CHECK_FALSE(cat.wait_for(0s));
    CHECK_FALSE(cat.try_wait());
    CHECK_FALSE(cat.wait_for(1ms));
    CHECK(throws<weft::timeout_error>([&] { weft::with_timeout(1ms, [&] { (void)cat.wait(); }); }));
    std::vector<weft::task<bool>> waiting;
    for (int i = 0; i < 5; ++i) {
      waiting.push_back(weft::spawn([&] { return cat.wait().success(); }));
      waiting.push_back(weft::spawn([&] { return cat.wait_for(1h); }));
      waiting.push_back(weft::spawn([&] {
        bool ended = false;
        weft::select(weft::on_exit(cat, [&](exit_status s) { ended = s.success(); }));
        return ended;
      }));
    }
    weft::yield();
    cat.stdin_stream().close();
    for (auto& t : waiting) CHECK(t.get());
  });
}

TEST_CASE("the end of a process is a case of select", "[io][process][select]") {
  run_clean([] {
    auto cat = process::spawn({"cat"}, {.in = redirection::pipe()});
    weft::channel<int> numbers{1};
    numbers.send(1);
    auto const wait = [&] {
      return weft::select(weft::on_exit(cat), weft::on_receive(numbers, [](std::optional<int>) {}),
                          weft::on_timeout(1h, [] {}));
    };
    CHECK(wait() == 1);
    CHECK(weft::select(weft::on_exit(cat), weft::otherwise([] {})) == 1);
    auto closer = weft::spawn([&] { cat.stdin_stream().close(); });
    CHECK(wait() == 0);
    CHECK(wait() == 0);  // it stays so
    CHECK(cat.try_wait() == exit_status::exited(0));
    closer.get();
  });
}

TEST_CASE("a process that is asked to end does, one that does not is killed", "[io][process]") {
  run_clean([] {
    auto polite = sleeper();
    CHECK(polite.stop(1h).signal() == SIGTERM);
    auto with_last_words = sleeper("trap 'exit 5' TERM; ", "read line");
    // A shell that has looked for signals, and not begun to read yet, notices none until the next.
    do (void)with_last_words.terminate();
    while (!with_last_words.wait_for(100ms));
    CHECK(with_last_words.stop(1h) == exit_status::exited(5));
    auto stubborn = sleeper("trap '' TERM; ");
    CHECK(stubborn.terminate());
    CHECK(stubborn.stop(1ms).signal() == SIGKILL);
    auto stopped = sleeper();
    CHECK(stopped.signal(SIGSTOP));
    CHECK(stopped.stop(1ms).signal());  // SIGTERM only if that was faster
  });
}

TEST_CASE("a process does not outlive its object", "[io][process]") {
  run_clean([] {
    int number = 0;
    {
      auto first = sleeper("trap '' TERM INT HUP; ");
      number = first.id();
      CHECK(::kill(number, 0) == 0);
    }
    CHECK(::kill(number, 0) < 0);
    auto replaced = sleeper();
    number = replaced.id();
    replaced = process{};
    CHECK(::kill(number, 0) < 0);
    CHECK(replaced.id() == -1);
    // Of one that is cancelled, too.
    std::atomic<int> cancelled_one{0};
    auto owner = weft::spawn([&] {
      auto mine = sleeper();
      cancelled_one = mine.id();
      (void)mine.wait();
    });
    while (!owner.ready() && cancelled_one == 0) weft::yield();
    owner.cancel();
    CHECK(throws<weft::cancelled>([&] { owner.get(); }));
    CHECK(::kill(cancelled_one, 0) < 0);
  });
}

TEST_CASE("a process that ends with an exception on its way is waited for", "[io][process]") {
  run_clean([] {
    int number = 0;
    CHECK(throws<std::runtime_error>([&] {
      auto mine = sleeper();
      number = mine.id();
      throw std::runtime_error{"on the way"};
    }));
    CHECK(number > 0);
    CHECK(::kill(number, 0) < 0);
  });
}

TEST_CASE("a process may be destroyed when its runtime is gone, by a plain thread", "[io][process]") {
  run_on(1, [] {});  // libuv opens a pipe with its first loop, for good
  auto const before = open_descriptors();
  std::optional<process> left;
  int number = 0;
  run_on(some_workers(), [&] {
    left = sleeper();
    number = left->id();
  });
  CHECK(::kill(number, 0) == 0);
  CHECK_FALSE(left->try_wait());
  left.reset();
  CHECK(::kill(number, 0) < 0);
  CHECK_FALSE(has_children());
  CHECK(open_descriptors() == before);
}

TEST_CASE("what is sent to a process that leads a group goes to all in it", "[io][process]") {
  auto const group = GENERATE(process_group::own, process_group::own_session);
  run_clean([group] {
    // Both hold the pipe, so that it ends only with the last of them.
    std::string const pair = "sh -c 'echo ready; exec sleep 1000' & ";
    auto shell = process::spawn({"sh", "-c", pair + "wait"}, {.out = redirection::pipe(), .group = group});
    CHECK(shell.stdout_stream().read_line() == "ready");
    CHECK(::getpgid(shell.id()) == shell.id());
    CHECK((::getsid(shell.id()) == shell.id()) == (group == process_group::own_session));
    CHECK(shell.terminate());
    CHECK(shell.wait().signal() == SIGTERM);
    CHECK_FALSE(shell.stdout_stream().read_line());
    // And with the object.
    auto [reader, writer] = weft::io::pipe();
    {
      auto again = process::spawn({"sh", "-c", pair + "wait"},
                                  {.out = redirection::to(std::move(writer)), .group = group});
      CHECK(reader.read_line() == "ready");
    }
    CHECK_FALSE(reader.read_line());
  });
}

TEST_CASE("a cancelled call leaves no process", "[io][process]") {
  run_clean([] {
    for (int i = 0; i < 50; ++i) {
      // Before it starts, while it does, or while it is waited for.
      auto running = weft::spawn([] { return run_process({"sleep", "1000"}); });
      for (int k = 0; k < i % 10; ++k) weft::yield();
      if (i % 3 == 0) std::this_thread::yield();
      running.cancel();
      CHECK(throws<weft::cancelled>([&] { (void)running.get(); }));
      CHECK_FALSE(has_children());
    }
  });
}

TEST_CASE("a start that waits for the other end of a named pipe ends when it is cancelled",
          "[io][process][bad-input]") {
  run_clean([] {
    weft::test::scratch const dir;
    auto const fifo = dir / "fifo";
    verify(::mkfifo(fifo.c_str(), 0600) == 0);
    for (int round = 0; round < 20; ++round) {
      auto starting = weft::spawn([&] {
        round % 2 == 0 ? (void)process::spawn({"cat"}, {.in = redirection::from_file(fifo)})
                       : (void)process::spawn({"true"}, {.out = redirection::to_file(fifo)});
      });
      for (int turn = round * round * 20; turn > 0; --turn) weft::yield();  // at each point of the way
      starting.cancel();
      verify(throws<weft::cancelled>([&] { starting.get(); }));
    }
    // And where the other end is there, it goes on.
    int const reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    verify(process::spawn({"true"}, {.out = redirection::to_file(fifo)}).wait().success());
    ::close(reader);
  });
}

TEST_CASE("H22: children run and talk under a thousand signals a second", "[io][process][hazard][H22]") {
  static volatile std::sig_atomic_t arrived = 0;
  arrived = 0;
  struct sigaction count{};
  struct sigaction before_alarm{};
  struct sigaction before_prof{};
  count.sa_handler = [](int) { arrived = arrived + 1; };  // without SA_RESTART
  ::sigaction(SIGALRM, &count, &before_alarm);
  ::sigaction(SIGPROF, &count, &before_prof);
  itimerval const often{{0, 1000}, {0, 1000}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  ::setitimer(ITIMER_PROF, &often, nullptr);
  run_clean([] {
    std::string const text(scaled_bytes(200'000), 's');
    for (int i = 0; i < 10; ++i) {
      auto const done = run_process({"cat"}, text);
      CHECK(done.status.success());
      CHECK(done.out == text);
      CHECK(throws<std::system_error>([] { (void)process::spawn({"/nowhere/at/all"}); }));
    }
    auto const status = run_process({"cat", "/proc/self/status"}).out;
    CHECK(field(status, "SigBlk") == 0);
    CHECK(field(status, "SigCgt") == 0);
  });
  itimerval const never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::setitimer(ITIMER_PROF, &never, nullptr);
  ::sigaction(SIGALRM, &before_alarm, nullptr);
  ::sigaction(SIGPROF, &before_prof, nullptr);
  CHECK(arrived > 0);
}
