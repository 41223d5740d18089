#pragma once
/// @file
/// The kernel's calls, to be changed one by one, and set for as long as this lives.

#include <weft/io/detail/system_calls.hpp>

namespace weft::test {

class forwarding_calls : public detail::system_calls {
public:
  forwarding_calls() : before_(detail::set_calls(this)) {}
  ~forwarding_calls() override { (void)detail::set_calls(before_); }

  int socket(int domain, int type, int protocol) noexcept override { return kernel_.socket(domain, type, protocol); }
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override { return kernel_.bind(fd, to, size); }
  int listen(int fd, int backlog) noexcept override { return kernel_.listen(fd, backlog); }
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override { return kernel_.accept(fd, from, size); }
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override { return kernel_.connect(fd, to, size); }
  int shutdown(int fd, int how) noexcept override { return kernel_.shutdown(fd, how); }
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override {
    return kernel_.getsockname(fd, name, size);
  }
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override {
    return kernel_.getpeername(fd, name, size);
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override {
    return kernel_.getsockopt(fd, level, name, value, size);
  }
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override {
    return kernel_.setsockopt(fd, level, name, value, size);
  }
  int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept override {
    return kernel_.socketpair(domain, type, protocol, fds);
  }
  int pipe(int (&fds)[2]) noexcept override { return kernel_.pipe(fds); }
  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override {
    return kernel_.recv(fd, to, size, flags);
  }
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override {
    return kernel_.send(fd, from, size, flags);
  }
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override { return kernel_.recvmsg(fd, message, flags); }
  ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept override {
    return kernel_.sendmsg(fd, message, flags);
  }
  ssize_t read(int fd, void* to, std::size_t size) noexcept override { return kernel_.read(fd, to, size); }
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override { return kernel_.write(fd, from, size); }
  ssize_t readv(int fd, iovec const* to, int count) noexcept override { return kernel_.readv(fd, to, count); }
  ssize_t writev(int fd, iovec const* from, int count) noexcept override { return kernel_.writev(fd, from, count); }
  int close(int fd) noexcept override { return kernel_.close(fd); }
  int start_process(detail::child_plan& plan, int& pidfd) noexcept override {
    return kernel_.start_process(plan, pidfd);
  }
  int wait_process(int pidfd, siginfo_t& ended) noexcept override { return kernel_.wait_process(pidfd, ended); }
  int signal_process(int pidfd, int signal) noexcept override { return kernel_.signal_process(pidfd, signal); }
  int signal_group(int group, int signal) noexcept override { return kernel_.signal_group(group, signal); }
  int poll(int fd, short events) noexcept override { return kernel_.poll(fd, events); }
  [[nodiscard]] detail::system_calls& beneath() noexcept override { return kernel_; }

private:
  detail::system_calls& kernel_ = detail::kernel_calls();
  detail::system_calls* before_;
};

}  // namespace weft::test
