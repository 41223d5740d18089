#include <weft/io/detail/system_calls.hpp>

#include "child.hpp"
#include "kernel_result.hpp"

#include <weft/runtime/detail/socket_calls.hpp>
#include <weft/runtime/environment.hpp>

#include <atomic>
#include <cstddef>
#include <fcntl.h>
#include <numeric>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::inline v0::detail {

namespace {

class kernel final : public system_calls {
public:
  kernel() noexcept : system_calls(in_person{}) {}
  int socket(int domain, int type, int protocol) noexcept override {
    return or_error(::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  }
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override { return or_error(::bind(fd, to, size)); }
  int listen(int fd, int backlog) noexcept override { return or_error(::listen(fd, backlog)); }
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override {
    return or_error(::accept4(fd, from, size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override { return or_error(::connect(fd, to, size)); }
  int shutdown(int fd, int how) noexcept override { return or_error(::shutdown(fd, how)); }
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override {
    return or_error(::getsockname(fd, name, size));
  }
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override {
    return or_error(::getpeername(fd, name, size));
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override {
    return or_error(::getsockopt(fd, level, name, value, size));
  }
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override {
    return or_error(::setsockopt(fd, level, name, value, size));
  }
  int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept override {
    return or_error(::socketpair(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol, fds));
  }
  int pipe(int (&fds)[2]) noexcept override { return or_error(::pipe2(fds, O_NONBLOCK | O_CLOEXEC)); }

  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override {
    return kernel_recv(fd, to, size, flags);
  }
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override {
    return kernel_send(fd, from, size, flags);
  }
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override {
    return or_error(::recvmsg(fd, message, flags | MSG_CMSG_CLOEXEC));
  }
  ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept override {
    return or_error(::sendmsg(fd, message, flags | MSG_NOSIGNAL));
  }
  ssize_t read(int fd, void* to, std::size_t size) noexcept override { return or_error(::read(fd, to, size)); }
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override {
    return without_sigpipe(size, [=] { return ::write(fd, from, size); });
  }
  ssize_t readv(int fd, iovec const* to, int count) noexcept override { return or_error(::readv(fd, to, count)); }
  ssize_t writev(int fd, iovec const* from, int count) noexcept override {
    auto const asked = std::accumulate(from, from + count, std::size_t{0},
                                       [](std::size_t sum, iovec const& piece) { return sum + piece.iov_len; });
    return without_sigpipe(asked, [=] { return ::writev(fd, from, count); });
  }

  // Linux has closed it whatever it says; what else it may say of a file concerns data that was written before.
  int close(int fd) noexcept override { return or_error(::close(fd)); }

  int poll(int fd, short events) noexcept override {
    pollfd asked{fd, events, 0};
    int const status = or_error(::poll(&asked, 1, 0));
    return status < 0 ? status : asked.revents;
  }

  int start_process(child_plan& plan, int& pidfd) noexcept override { return start_child(plan, pidfd); }
  int wait_process(int pidfd, siginfo_t& ended) noexcept override {
    return or_error(::waitid(P_PIDFD, static_cast<id_t>(pidfd), &ended, WEXITED | WNOHANG));
  }
  int signal_process(int pidfd, int signal) noexcept override {
    return static_cast<int>(or_error(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0)));
  }
  int signal_group(int group, int signal) noexcept override { return or_error(::kill(-group, signal)); }
};

std::atomic<system_calls*> calls_set{nullptr};

}  // namespace

system_calls& kernel_calls() noexcept {
  static kernel calls;
  return calls;
}

system_calls& current_calls() noexcept {
  environment* const world = current_environment();
  system_calls* const own = world != nullptr ? world->calls() : nullptr;
  system_calls& at_bottom = own != nullptr ? *own : kernel_calls();
  // acquire: pairs with set_calls().
  system_calls* const set = calls_set.load(std::memory_order_acquire);
  return set != nullptr && &set->beneath() == &at_bottom ? *set : at_bottom;
}

// release: publishes the object to current_calls().
system_calls* set_calls(system_calls* calls) noexcept { return calls_set.exchange(calls, std::memory_order_acq_rel); }

}  // namespace weft::inline v0::detail
