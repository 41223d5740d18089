#pragma once
/// @file
/// Runs code that must end the process, in a child.

#include <array>
#include <csignal>
#include <cstdio>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::test {

struct death {
  bool exited = false;  ///< by itself, with `status`; otherwise by the signal `status`
  int status = 0;
  std::string output;  ///< what it wrote to stderr
};

/// Calls `f` in a child process, which ends with _exit(0) if `f` returns. The caller must have no other threads.
template <class F>
death run_in_child(F&& f) {
  std::array<int, 2> ends{};
  death result;
  if (::pipe(ends.data()) != 0) return result;
  pid_t const child = ::fork();
  if (child == 0) {
    rlimit const no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    for (int const s : {SIGABRT, SIGSEGV, SIGTERM}) ::signal(s, SIG_DFL);  // Catch2 has handlers for these
    f();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::array<char, 1024> buffer{};
  for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    result.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exited = WIFEXITED(status);
  result.status = result.exited ? WEXITSTATUS(status) : WTERMSIG(status);
  return result;
}

/// Whether `f` aborts with `message` on stderr.
template <class F>
bool aborts_with(std::string const& message, F&& f) {
  death const d = run_in_child(f);
  bool const aborted = !d.exited && d.status == SIGABRT;
  if (aborted && d.output.find(message) != std::string::npos) return true;
  std::fprintf(stderr, "expected an abort with '%s', got %s %d and '%s'\n", message.c_str(),
               d.exited ? "exit" : "signal", d.status, d.output.c_str());
  return false;
}

}  // namespace weft::test
