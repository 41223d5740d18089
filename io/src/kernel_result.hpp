#pragma once
/// @file
/// What the kernel's calls return, as the classes of calls have it: in the function that made the call, so that `errno`
/// is that of its thread.

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <sys/types.h>

namespace weft::inline v0::detail {

/// What it returned, or the negative error number.
template <class R>
[[nodiscard]] inline R or_error(R result) noexcept {
  return result < 0 ? static_cast<R>(-errno) : result;
}

/// A write that raises no SIGPIPE, for descriptors that cannot be asked not to: one that it raises in this thread is
/// taken here.
/// @param asked  bytes. If it writes less, but some, it may have been told of the broken pipe by the signal alone
template <class Write>
[[nodiscard]] ssize_t without_sigpipe(std::size_t asked, Write write) noexcept {
  sigset_t broken_pipe;
  sigset_t before;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
  ssize_t const result = or_error(write());
  if (result == -EPIPE || (result > 0 && static_cast<std::size_t>(result) < asked)) {
    timespec const at_once{};
    while (::sigtimedwait(&broken_pipe, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace weft::inline v0::detail
