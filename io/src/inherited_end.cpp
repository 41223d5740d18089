#include <weft/io/standard_streams.hpp>

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/offload.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::inline v0::detail {

namespace {

/// Not the end of a terminal that is its maker's: to open that again makes another terminal.
bool is_terminal(int number) noexcept {
  unsigned count = 0;
  return ::isatty(number) != 0 && ::ioctl(number, TIOCGPTN, &count) != 0;
}

/// Of what is writable.
std::size_t least_room(int number) noexcept {
  struct stat about{};
  return ::fstat(number, &about) == 0 && S_ISFIFO(about.st_mode) ? PIPE_BUF : 1;
}

/// Into an epoll set.  @returns the set, or the negative error
int watched_by_set(int number, std::uint32_t events) noexcept {
  int const set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) return -errno;
  epoll_event event{};
  event.events = events;
  if (::epoll_ctl(set, EPOLL_CTL_ADD, number, &event) == 0) return set;
  int const error = errno;
  ::close(set);
  return -error;
}

}  // namespace

short inherited_end::event() const noexcept { return what_ == readiness::readable ? POLLIN : POLLOUT; }

bool inherited_end::open_anew() {
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", number_);
  int const access = what_ == readiness::readable ? O_RDONLY : O_WRONLY;
  int const number = ::open(path.data(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (number < 0) return false;
  descriptor_ = open_descriptor{number, kernel_calls()};
  return true;
}

int inherited_end::make_gate() {
  int const set = watched_by_set(number_, what_ == readiness::readable ? EPOLLIN : EPOLLOUT);
  if (set < 0) return set;
  descriptor_ = open_descriptor{set, kernel_calls()};
  return 0;
}

inherited_end::way inherited_end::find_way(std::error_code& ec) {
  struct stat about{};
  if (::fstat(number_, &about) != 0) {
    ec = system_error_of(-errno);
    return way::unknown;
  }
  // What is opened anew could do what the descriptor itself cannot.
  int const access = ::fcntl(number_, F_GETFL) & O_ACCMODE;
  if (access == (what_ == readiness::readable ? O_WRONLY : O_RDONLY)) {
    ec = closed_error();
    return way::unknown;
  }
  if (S_ISFIFO(about.st_mode) || (S_ISCHR(about.st_mode) && is_terminal(number_))) {
    if (open_anew()) return way::own;
  }
  if (S_ISREG(about.st_mode)) return way::thread;
  if (int const status = make_gate(); status == -EPERM) {
    return way::thread;  // of its kind nobody can be told whether it is ready
  } else if (status < 0) {
    ec = system_error_of(status);
    return way::unknown;  // out of descriptors or memory: next time there may be some
  }
  return S_ISSOCK(about.st_mode) ? way::gate_and_socket : way::gate_and_thread;
}

ssize_t inherited_end::make_call(system_calls& calls, int number, std::byte* data, std::size_t size) const noexcept {
  return what_ == readiness::readable ? calls.read(number, data, size) : calls.write(number, data, size);
}

ssize_t inherited_end::on_thread(std::byte* data, std::size_t size) const {
  auto const call = [&] {
    for (;;) {
      auto const done = make_call(kernel_calls(), number_, data, size);
      if (done != -EINTR) return done;
    }
  };
  if (current_fiber() == nullptr) return call();
  cancel_shield const to_its_end;  // what has been read must not be lost
  return offload_blocking(call);
}

std::size_t inherited_end::move(std::byte* data, std::size_t size, std::error_code& ec) {
  check_cancelled();
  ec.clear();
  if (way_ == way::unknown) way_ = find_way(ec);
  if (ec) return 0;
  auto const moved = [&](ssize_t result) {
    if (result < 0 && !ec) ec = system_error_of(result);
    return result > 0 ? static_cast<std::size_t>(result) : std::size_t{0};
  };
  if (way_ == way::thread) return moved(on_thread(data, size));
  if (way_ == way::own) {
    // Always tried first: of a named pipe that was opened when its writers had gone, the end is not reported.
    descriptor_.polled()->not_exhausted(what_);
    return moved(descriptor_.perform(
        what_, size, ec, [&](system_calls& calls, int number) { return make_call(calls, number, data, size); }));
  }
  // A set is readable when what is in it is ready.
  descriptor_.polled()->not_exhausted(readiness::readable);
  if (way_ == way::gate_and_socket) {
    return moved(descriptor_.perform(readiness::readable, size, ec, [&](system_calls& calls, int) {
      return what_ == readiness::readable ? calls.recv(number_, data, size, MSG_DONTWAIT)
                                          : calls.send(number_, data, size, MSG_DONTWAIT);
    }));
  }
  for (;;) {
    auto const ready = descriptor_.perform(readiness::readable, 1, ec, [&](system_calls& calls, int) -> ssize_t {
      int const happened = calls.poll(number_, event());
      return happened == 0 ? -EAGAIN : happened;
    });
    if (ready < 0) return 0;
    // The thread is not to wait, unless another process has been faster: what is writable has room for so much at
    // least.
    auto const room = what_ == readiness::writable ? least_room(number_) : size;
    auto const result = on_thread(data, std::min(size, room));
    if (result != -EAGAIN) return moved(result);  // its flags are what others have made of them
  }
}

}  // namespace weft::inline v0::detail
