#pragma once
/// @file
/// The system calls of io/, behind one interface: tests make them fail, do less than they were asked to, or count them;
/// a simulated network takes their place.
///
/// Each does what the system call of its name does, and returns what that returns, or the negative error number where
/// it failed: `errno` belongs to a thread, and is read in the same function that made the call. Descriptors that come
/// out of them do not block, and are closed on exec; what is sent raises no SIGPIPE. Called on any thread.

#include <weft/runtime/detail/polled_descriptor.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <memory>
#include <sys/types.h>

struct sockaddr;
struct msghdr;
struct iovec;

namespace weft::inline v0::detail {

class name_service;
struct child_plan;

class system_calls {
public:
  system_calls() = default;
  system_calls(system_calls const&) = delete;
  virtual ~system_calls() = default;

  virtual int socket(int domain, int type, int protocol) noexcept = 0;
  virtual int bind(int fd, sockaddr const* to, unsigned size) noexcept = 0;
  virtual int listen(int fd, int backlog) noexcept = 0;
  virtual int accept(int fd, sockaddr* from, unsigned* size) noexcept = 0;
  virtual int connect(int fd, sockaddr const* to, unsigned size) noexcept = 0;
  virtual int shutdown(int fd, int how) noexcept = 0;
  virtual int getsockname(int fd, sockaddr* name, unsigned* size) noexcept = 0;
  virtual int getpeername(int fd, sockaddr* name, unsigned* size) noexcept = 0;
  virtual int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept = 0;
  virtual int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept = 0;
  virtual int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept = 0;
  virtual int pipe(int (&fds)[2]) noexcept = 0;

  virtual ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept = 0;
  virtual ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept = 0;
  virtual ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept = 0;
  virtual ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept = 0;
  virtual ssize_t read(int fd, void* to, std::size_t size) noexcept = 0;
  virtual ssize_t write(int fd, void const* from, std::size_t size) noexcept = 0;
  virtual ssize_t readv(int fd, iovec const* to, int count) noexcept = 0;
  virtual ssize_t writev(int fd, iovec const* from, int count) noexcept = 0;

  virtual int close(int fd) noexcept = 0;

  /// Which of POLLIN and POLLOUT in `events` hold now, or POLLERR and the like.  @returns -ENOSYS: it cannot tell
  virtual int poll(int fd, short events) noexcept {
    (void)fd;
    (void)events;
    return -ENOSYS;
  }

  // --- processes, of which a simulation knows none ---

  /// Starts a program; blocks until it is executed. See src/child.hpp.
  /// @param pidfd  set to a descriptor of the process  @returns its number
  virtual int start_process(child_plan& plan, int& pidfd) noexcept {
    (void)plan;
    (void)pidfd;
    return -ENOSYS;
  }
  /// How the process has ended, of which that forgets then; with no number in it: it has not.
  virtual int wait_process(int pidfd, siginfo_t& ended) noexcept {
    (void)pidfd;
    (void)ended;
    return -ENOSYS;
  }
  virtual int signal_process(int pidfd, int signal) noexcept {
    (void)pidfd;
    (void)signal;
    return -ENOSYS;
  }
  virtual int signal_group(int group, int signal) noexcept {
    (void)group;
    (void)signal;
    return -ENOSYS;
  }

  /// Who knows names, see name_service.hpp; null: the system.
  [[nodiscard]] virtual std::shared_ptr<name_service> names() { return nullptr; }

  /// Who reports readiness of the descriptors that come out of here.
  [[nodiscard]] virtual descriptor_kind kind() const noexcept { return descriptor_kind::real; }
  /// `of`, with the number of an open descriptor, is what those who wait for it wait on, until that is closed.
  virtual void watched(polled_descriptor& of) noexcept { (void)of; }
  /// Those that these stand in front of, at the very bottom.
  [[nodiscard]] virtual system_calls& beneath() noexcept { return *this; }

  /// Whether these are kernel_calls(): who knows how may then make the call in line.
  [[nodiscard]] bool are_kernels() const noexcept { return are_kernels_; }

protected:
  struct in_person {};
  explicit system_calls(in_person) noexcept : are_kernels_(true) {}

private:
  bool const are_kernels_ = false;
};

/// Those of the kernel.
[[nodiscard]] system_calls& kernel_calls() noexcept;
/// Those that new descriptors use: of the calling fiber's environment if that has its own, or else the kernel's; or
/// what was set in front of those.
[[nodiscard]] system_calls& current_calls() noexcept;
/// For tests: what current_calls() gives from now on, in place of what is beneath(); null: nothing.
/// @returns what was set before
system_calls* set_calls(system_calls* calls) noexcept;

}  // namespace weft::inline v0::detail
