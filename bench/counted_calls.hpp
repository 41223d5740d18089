#pragma once
/// @file
/// Counts the system calls of an echo server while it makes them, libraries included: this program's own versions of
/// the C library's functions count and pass on, each thread in variables of its own. To be included in one file of a
/// program. Not counted are calls that the C library makes within itself, such as the futexes of a lock that is waited
/// for. Without BENCH_COUNTED nothing is counted, and nothing stands in the way: each server is built both ways, and
/// the one that counts is not the one that is timed.

#if !defined(BENCH_COUNTED)

namespace bench {
inline void count_echo() noexcept {}
inline void report_calls() noexcept {}
}  // namespace bench

#else

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

namespace bench {

namespace counting {

enum kind : std::size_t { receive, send, wait, control, other, kinds };
using counts = std::array<std::uint64_t, kinds + 1>;  // the last: echoes

inline std::array<std::atomic<std::uint64_t>, kinds + 1> all{};

/// A thread's, zero at first; added to all when it ends.
struct tally {
  counts own;
  ~tally() {
    for (std::size_t i = 0; i < own.size(); ++i) all[i].fetch_add(own[i]);
  }
};
inline thread_local tally mine;

template <class... Args>
long pass_on(kind k, long number, Args... args) {
  ++mine.own[k];
  return ::syscall(number, args...);
}

}  // namespace counting

/// To be told of each echo. Out of line: a fiber may be on another thread each time.
[[gnu::noinline]] inline void count_echo() { ++counting::mine.own[counting::kinds]; }

/// For a library that makes some calls by itself: so many, if they have not come by here.
inline void saw(counting::kind k, std::uint64_t calls) {
  auto& all = counting::all[k];
  all.store(std::max(all.load(), calls));
}

/// To be asked when the threads that served have ended.
inline void report_calls() {
  auto const echoes = static_cast<double>(counting::all[counting::kinds].load());
  if (echoes == 0) return;
  std::uint64_t sum = 0;
  constexpr std::array<char const*, counting::kinds> names{"receive", "send", "wait", "control", "other"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    sum += counting::all[i].load();
    std::printf("%s_calls_per_req %.4f calls\n", names[i], static_cast<double>(counting::all[i].load()) / echoes);
  }
  std::printf("system_calls_per_req %.4f calls\n", static_cast<double>(sum) / echoes);
}

}  // namespace bench

extern "C" {

inline constexpr std::size_t kernel_signals = 8;  // bytes of the kernel's set

[[gnu::used]] ssize_t recv(int fd, void* to, size_t size, int flags) {
  return bench::counting::pass_on(bench::counting::receive, SYS_recvfrom, fd, to, size, flags, nullptr, nullptr);
}
[[gnu::used]] ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return bench::counting::pass_on(bench::counting::receive, SYS_recvmsg, fd, message, flags);
}
[[gnu::used]] ssize_t read(int fd, void* to, size_t size) {
  return bench::counting::pass_on(bench::counting::receive, SYS_read, fd, to, size);
}
[[gnu::used]] ssize_t readv(int fd, iovec const* to, int count) {
  return bench::counting::pass_on(bench::counting::receive, SYS_readv, fd, to, count);
}
[[gnu::used]] ssize_t send(int fd, void const* from, size_t size, int flags) {
  return bench::counting::pass_on(bench::counting::send, SYS_sendto, fd, from, size, flags, nullptr, 0);
}
[[gnu::used]] ssize_t sendmsg(int fd, msghdr const* message, int flags) {
  return bench::counting::pass_on(bench::counting::send, SYS_sendmsg, fd, message, flags);
}
[[gnu::used]] ssize_t write(int fd, void const* from, size_t size) {
  return bench::counting::pass_on(bench::counting::send, SYS_write, fd, from, size);
}
[[gnu::used]] ssize_t writev(int fd, iovec const* from, int count) {
  return bench::counting::pass_on(bench::counting::send, SYS_writev, fd, from, count);
}
[[gnu::used]] int epoll_wait(int fd, epoll_event* events, int count, int timeout) {
  return static_cast<int>(bench::counting::pass_on(bench::counting::wait, SYS_epoll_pwait, fd, events, count, timeout,
                                                   nullptr, kernel_signals));
}
[[gnu::used]] int epoll_pwait(int fd, epoll_event* events, int count, int timeout, sigset_t const* mask) {
  return static_cast<int>(bench::counting::pass_on(bench::counting::wait, SYS_epoll_pwait, fd, events, count, timeout,
                                                   mask, kernel_signals));
}
[[gnu::used]] int epoll_ctl(int fd, int what, int of, epoll_event* event) noexcept {
  return static_cast<int>(bench::counting::pass_on(bench::counting::control, SYS_epoll_ctl, fd, what, of, event));
}
[[gnu::used]] int timerfd_settime(int fd, int flags, itimerspec const* to, itimerspec* old) noexcept {
  return static_cast<int>(bench::counting::pass_on(bench::counting::other, SYS_timerfd_settime, fd, flags, to, old));
}
[[gnu::used]] int accept4(int fd, sockaddr* from, socklen_t* size, int flags) {
  return static_cast<int>(bench::counting::pass_on(bench::counting::other, SYS_accept4, fd, from, size, flags));
}
[[gnu::used]] int setsockopt(int fd, int level, int name, void const* value, socklen_t size) noexcept {
  return static_cast<int>(
      bench::counting::pass_on(bench::counting::other, SYS_setsockopt, fd, level, name, value, size));
}
[[gnu::used]] int close(int fd) {
  return static_cast<int>(bench::counting::pass_on(bench::counting::other, SYS_close, fd));
}

}  // extern "C"

#endif
