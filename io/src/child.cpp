#include "child.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <memory>
#include <new>
#include <sched.h>
#include <stop_token>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__GLIBC__)
// clone() by the name that ThreadSanitizer does not put its own in the place of: that takes the child for one of
// fork(), with memory of its own.
extern "C" int __clone(int (*f)(void*), void* stack, int flags, void* argument, ...) noexcept;
#define WEFT_CLONE ::__clone
#else
#define WEFT_CLONE ::clone
#endif

// For what runs in the child, on a stack and in a thread that sanitizers do not know.
#if defined(__clang__)
#define WEFT_IN_CHILD [[clang::disable_sanitizer_instrumentation, clang::noinline]]
#else
#define WEFT_IN_CHILD [[gnu::no_sanitize_thread, gnu::no_sanitize_address, gnu::no_sanitize_undefined, gnu::noinline]]
#endif

namespace weft::inline v0::detail {

namespace {

using step = child_plan::step;
using source = child_plan::source;

/// As the kernel counts them: SIGRTMAX is what the C library leaves to programs.
constexpr int signals = _NSIG - 1;
/// A set of all of them, in bytes; and a disposition by default is zeros, in whatever order its fields are.
constexpr std::size_t kernel_set_size = static_cast<std::size_t>(signals) / CHAR_BIT;
constexpr std::size_t kernel_action_size = 64;  // at least

/// The least that a descriptor may be to be out of the way of the three.
constexpr int first_other = STDERR_FILENO + 1;

/// The child's last words.
WEFT_IN_CHILD void give_up(child_plan& plan, step at, int with = 0) {
  plan.error = errno;  // this thread's own: the one that it belongs to stands still
  plan.failed_at = at;
  plan.failed_with = with;
  for (;;) ::syscall(SYS_exit_group, 127);
}

/// Handlers first: with the mask gone, one of this process's would run in its memory.
WEFT_IN_CHILD void reset_dispositions() {
  unsigned long const by_default[kernel_action_size / sizeof(unsigned long)] = {};
  for (int n = 1; n <= signals; ++n) ::syscall(SYS_rt_sigaction, n, by_default, nullptr, kernel_set_size);
}

WEFT_IN_CHILD void reset_mask() {
  unsigned long const empty[kernel_set_size / sizeof(unsigned long)] = {};
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, empty, nullptr, kernel_set_size);
}

WEFT_IN_CHILD void enter_group(child_plan& plan) {
  if (plan.group == io::process_group::own && ::syscall(SYS_setpgid, 0, 0) < 0) give_up(plan, step::group);
  if (plan.group == io::process_group::own_session && ::syscall(SYS_setsid) < 0) give_up(plan, step::group);
}

/// Sees to it that what becomes descriptor `n` is open, and not where another of the three goes.
WEFT_IN_CHILD void gather_source(child_plan& plan, int n) {
  source& from = plan.standard[static_cast<std::size_t>(n)];
  if (from.what == source::kind::as_it_is || from.what == source::kind::as_output) return;
  if (from.what == source::kind::opened) {
    from.fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, from.path, from.flags | O_CLOEXEC | O_NOCTTY, 0666));
    if (from.fd < 0) give_up(plan, step::open, n);
  }
  if (from.blocking) {
    long const flags = ::syscall(SYS_fcntl, from.fd, F_GETFL);
    if (flags < 0 || ::syscall(SYS_fcntl, from.fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
      give_up(plan, step::descriptor, n);
  }
  if (from.fd >= first_other) return;
  from.fd = static_cast<int>(::syscall(SYS_fcntl, from.fd, F_DUPFD_CLOEXEC, first_other));
  if (from.fd < 0) give_up(plan, step::descriptor, n);
}

/// The copies are not closed on exec, even if the originals would be.
WEFT_IN_CHILD void place_descriptors(child_plan& plan) {
  for (int n = 0; n < first_other; ++n) gather_source(plan, n);
  for (int n = 0; n < first_other; ++n) {
    source const& from = plan.standard[static_cast<std::size_t>(n)];
    if (from.what == source::kind::as_it_is) continue;
    int const fd = from.what == source::kind::as_output ? STDOUT_FILENO : from.fd;
    if (fd != n && ::syscall(SYS_dup3, fd, n, 0) < 0) give_up(plan, step::descriptor, n);
  }
  if (::syscall(SYS_close_range, first_other, UINT_MAX, 0) < 0) give_up(plan, step::others);
}

/// As execvp(), but that what is no program is not given to a shell.
WEFT_IN_CHILD void execute(child_plan& plan) {
  bool refused = false;
  for (char const* const* path = plan.candidates; *path != nullptr; ++path) {
    ::syscall(SYS_execve, *path, plan.argv, plan.environment);
    if (errno == EACCES) refused = true;
    if (errno != EACCES && errno != ENOENT && errno != ENOTDIR && errno != ENODEV && errno != ESTALE) break;
  }
  if (refused && (errno == ENOENT || errno == ENOTDIR)) errno = EACCES;
  give_up(plan, step::execute);
}

WEFT_IN_CHILD int run_child(void* argument) {
  auto& plan = *static_cast<child_plan*>(argument);
  // seq_cst, both: pairs with stop_child(). Either that sees the number, or this that it has been stopped.
  plan.number.store(static_cast<int>(::syscall(SYS_getpid)));
  if (plan.stopped.load()) ::syscall(SYS_kill, plan.number.load(), SIGKILL);
  reset_dispositions();
  enter_group(plan);
  place_descriptors(plan);
  if (plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) < 0) give_up(plan, step::directory);
  reset_mask();
  execute(plan);
  return 0;
}

/// Any thread, while the child is not reaped: so the number is its own.
void stop_child(child_plan& plan) noexcept {
  // seq_cst, both: as in run_child().
  plan.stopped.store(true);
  if (int const number = plan.number.load(); number != 0) ::kill(number, SIGKILL);
}

}  // namespace

int start_child(child_plan& plan, int& pidfd) noexcept {
  constexpr std::size_t size = 32 * 1024;
  std::unique_ptr<std::byte[]> const stack{new (std::nothrow) std::byte[size]};
  if (stack == nullptr) return -ENOMEM;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);  // else a handler of this process's could run in the child
  auto const top = (reinterpret_cast<std::uintptr_t>(stack.get()) + size) & ~std::uintptr_t{63};
  int pid = -1;
  int error = 0;
  {
    std::stop_callback const stopping{plan.stop, [&plan] { stop_child(plan); }};
    pid = WEFT_CLONE(run_child, reinterpret_cast<void*>(top), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan,
                     &pidfd, nullptr, nullptr);
    error = pid < 0 ? errno : plan.error;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid >= 0 && error != 0) {
    reap_child(pid);
    ::close(pidfd);
  }
  return error != 0 ? -error : pid;
}

void reap_child(int number) noexcept {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(number), &info, WEXITED) < 0 && errno == EINTR) {
  }
}

}  // namespace weft::inline v0::detail
