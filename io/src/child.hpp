#pragma once
/// @file
/// The start of a process: what its first moments consist of, between clone() and execve().
///
/// It is a child that shares this process's memory, while the thread that made it stands still (CLONE_VM and
/// CLONE_VFORK, as in Go's syscall.forkExec and glibc's posix_spawn): no page table is copied, however much memory
/// there is, and what fails is told by a plain store. The price is that the child must not touch anything that others
/// use: it makes system calls by number, on a stack of its own, with all signals blocked, and nothing else. No handler
/// of pthread_atfork() runs. posix_spawn() does not tell which step failed, and gives no pidfd before glibc 2.39.

#include <weft/io/process_options.hpp>

#include <array>
#include <atomic>
#include <stop_token>

namespace weft::inline v0::detail {

/// What a child does before it becomes the program; put together before, because it cannot.
struct child_plan {
  enum class step : unsigned char { make, group, open, descriptor, others, directory, execute };

  /// One of descriptors 0 to 2.
  struct source {
    enum class kind : unsigned char { as_it_is, copied, opened, as_output };
    kind what = kind::as_it_is;
    bool blocking = false;       ///< is made so, before it is copied
    int fd = -1;                 ///< what is copied
    char const* path = nullptr;  ///< what is opened
    int flags = 0;
  };

  std::array<source, 3> standard{};
  char const* const* candidates = nullptr;  ///< paths, tried as execvp() does; ends with a null pointer
  char* const* argv = nullptr;
  char* const* environment = nullptr;
  char const* directory = nullptr;  ///< null: stays where it is
  io::process_group group = io::process_group::inherited;
  /// Ends the child wherever it is: to open a named pipe may take for ever. start_child() returns as if all were well.
  std::stop_token stop;

  // Written by the child and by who stops it: each looks at the other's after it has written its own.
  std::atomic<int> number{0};
  std::atomic<bool> stopped{false};

  // Written by the child: where it failed, with which of the three, and how; 0: it did not.
  step failed_at = step::make;
  int failed_with = 0;
  int error = 0;
};

/// Blocks this thread until the program is executed, or that has failed: then nothing is left of the child.
/// @param pidfd  set to a descriptor of the process, closed on exec
/// @returns the process's number, or the negative error number: then `plan` says where it failed
[[nodiscard]] int start_child(child_plan& plan, int& pidfd) noexcept;

/// Takes what is left in the system of a child that has exited, or is about to. Blocks this thread until then.
void reap_child(int number) noexcept;

}  // namespace weft::inline v0::detail
