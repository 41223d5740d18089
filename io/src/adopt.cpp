#include <weft/io/stream.hpp>

#include "error_text.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::inline v0::io {

namespace {

/// What may be waited for is what the kernel lets into an epoll set.  @returns the negative error number, or 0
int try_to_watch(int fd) noexcept {
  int const set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) return -errno;
  epoll_event event{};
  int const status = ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
  ::close(set);
  return status;
}

/// Non-blocking, and closed on exec.  @returns as try_to_watch()
int make_ours(int fd) noexcept {
  int const status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0) return -errno;
  int const flags = ::fcntl(fd, F_GETFD);
  return flags < 0 || ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0;
}

bool is_socket(int fd) noexcept {
  struct stat about{};
  return ::fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
}

}  // namespace

stream stream::adopt(int fd, std::error_code& ec) {
  int status = try_to_watch(fd);
  if (status == 0) status = make_ours(fd);
  if (status < 0) {
    ec = detail::system_error_of(status);
    return {};
  }
  ec.clear();
  // A simulated network knows nothing of it.
  auto& current = detail::current_calls();
  auto& calls = current.kind() == detail::descriptor_kind::real ? current : detail::kernel_calls();
  return {detail::open_descriptor{fd, calls}, is_socket(fd) ? carrier::socket : carrier::other};
}

stream stream::adopt(int fd) {
  std::error_code ec;
  auto adopted = adopt(fd, ec);
  if (ec == std::errc::operation_not_permitted) {
    throw_error(ec, {"adopting descriptor ", std::to_string(fd),
                     ": it is a regular file, or another that is always ready and cannot be waited for"});
  }
  if (ec) throw_error(ec, {"adopting descriptor ", std::to_string(fd)});
  return adopted;
}

}  // namespace weft::inline v0::io
