#pragma once
/// @file
/// Counts the system calls of weft's io/ while they are made, each thread in a variable of its own.

#include <weft/io/detail/system_calls.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>

namespace bench {

/// From its construction on, for descriptors made then; report() when the threads that made calls have ended.
class counted_calls final : public weft::detail::system_calls {
public:
  counted_calls() : before_{weft::detail::set_calls(this)} {}
  ~counted_calls() override { weft::detail::set_calls(before_); }

  /// @param others  system calls made elsewhere
  static void report(std::uint64_t others) {
    auto const echoes = all_sends.load();
    if (echoes == 0) return;
    std::printf("system_calls_per_req %.4f calls\n",
                static_cast<double>(all_calls.load() + others) / static_cast<double>(echoes));
  }

  int socket(int domain, int type, int protocol) noexcept override { return counted().socket(domain, type, protocol); }
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override { return counted().bind(fd, to, size); }
  int listen(int fd, int backlog) noexcept override { return counted().listen(fd, backlog); }
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override { return counted().accept(fd, from, size); }
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override { return counted().connect(fd, to, size); }
  int shutdown(int fd, int how) noexcept override { return counted().shutdown(fd, how); }
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override {
    return counted().getsockname(fd, name, size);
  }
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override {
    return counted().getpeername(fd, name, size);
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override {
    return counted().getsockopt(fd, level, name, value, size);
  }
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override {
    return counted().setsockopt(fd, level, name, value, size);
  }
  int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept override {
    return counted().socketpair(domain, type, protocol, fds);
  }
  int pipe(int (&fds)[2]) noexcept override { return counted().pipe(fds); }
  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override {
    return counted().recv(fd, to, size, flags);
  }
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override {
    ++mine.sends;
    return counted().send(fd, from, size, flags);
  }
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override {
    return counted().recvmsg(fd, message, flags);
  }
  ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept override {
    return counted().sendmsg(fd, message, flags);
  }
  ssize_t read(int fd, void* to, std::size_t size) noexcept override { return counted().read(fd, to, size); }
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override {
    return counted().write(fd, from, size);
  }
  ssize_t readv(int fd, iovec const* to, int count) noexcept override { return counted().readv(fd, to, count); }
  ssize_t writev(int fd, iovec const* from, int count) noexcept override { return counted().writev(fd, from, count); }
  int close(int fd) noexcept override { return counted().close(fd); }

private:
  /// A thread's; added to all when it ends.
  struct tally {
    std::uint64_t calls;  // zero, as all that is thread_local
    std::uint64_t sends;
    ~tally() {
      all_calls.fetch_add(calls);
      all_sends.fetch_add(sends);
    }
  };
  static weft::detail::system_calls& counted() noexcept {
    ++mine.calls;
    return weft::detail::kernel_calls();
  }

  static inline std::atomic<std::uint64_t> all_calls{0};
  static inline std::atomic<std::uint64_t> all_sends{0};
  static inline thread_local tally mine;
  weft::detail::system_calls* before_;
};

}  // namespace bench
