#include "network_core.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace weft::inline v0::testing {

namespace {

/// Far from those of the kernel, so that a mixture is found out at once.
constexpr int lowest_number = 1 << 24;
constexpr int highest_number = 1 << 30;
constexpr std::size_t most_files = 1 << 20;

std::span<iovec const> pieces_of(msghdr const& message) noexcept { return {message.msg_iov, message.msg_iovlen}; }

}  // namespace

network_core::network_core(network_options const& options) : wire_(options), first_(lowest_number) {}

std::size_t network_core::open_descriptors() const noexcept {
  std::lock_guard const lock{mutex_};
  return static_cast<std::size_t>(
      std::count_if(files_.begin(), files_.end(), [](auto const& file) { return file != nullptr; }));
}

void network_core::begin(std::uint64_t seed) noexcept {
  std::lock_guard const lock{mutex_};
  for (auto const& file : files_) {
    if (file != nullptr) file->watch_by(nullptr);
  }
  first_ += static_cast<int>(files_.size());
  if (first_ > highest_number) first_ = lowest_number;
  auto const old = std::exchange(files_, {});
  for (auto const& file : old) {
    if (file != nullptr) file->close();
  }
  names_.clear();
  wire_.restart(seed);
}

time_point network_core::next_arrival() noexcept {
  std::lock_guard const lock{mutex_};
  return wire_.next();
}

void network_core::arrive(time_point now) noexcept {
  std::lock_guard const lock{mutex_};
  wire_.arrive(now);
}

// ---------------------------------------------------------------------------------------------------------------------
// Numbers
// ---------------------------------------------------------------------------------------------------------------------

simulated_file* network_core::find(int fd) const noexcept {
  auto const index = static_cast<std::size_t>(fd) - static_cast<std::size_t>(first_);
  return fd >= first_ && index < files_.size() ? files_[index].get() : nullptr;
}

void network_core::make_room(std::size_t count) {
  if (files_.capacity() - files_.size() < count) files_.reserve(std::max<std::size_t>(2 * files_.size(), 16));
}

int network_core::add(std::shared_ptr<simulated_file> file) {
  auto free = std::find(files_.begin(), files_.end(), nullptr);
  if (free == files_.end()) {
    if (files_.size() == most_files) return -ENFILE;
    free = files_.insert(free, nullptr);
  }
  *free = std::move(file);
  return first_ + static_cast<int>(free - files_.begin());
}

template <class F>
auto network_core::call(char const* what, int fd, F&& f) noexcept -> decltype(f(std::declval<simulated_file&>())) {
  std::lock_guard const lock{mutex_};
  auto* const file = find(fd);
  if (file == nullptr) return -EBADF;
  decltype(f(*file)) result = -ENOMEM;
  try {
    result = f(*file);
  } catch (std::bad_alloc const&) {  // NOLINT: result says so
  }
  weft::detail::tell_world(what, static_cast<std::uint64_t>(fd - first_), result);
  return result;
}

void network_core::watched(weft::detail::polled_descriptor& of) noexcept {
  std::lock_guard const lock{mutex_};
  if (auto* const file = find(of.number()); file != nullptr) file->watch_by(&of);
  of.reported_by(*this);
}

void network_core::wanted(weft::detail::polled_descriptor& of, readiness what) noexcept {
  std::lock_guard const lock{mutex_};
  if (auto* const file = find(of.number()); file == nullptr || file->ready(what)) of.became_ready(what);
}

int network_core::close(int fd) noexcept {
  std::lock_guard const lock{mutex_};
  auto* const file = find(fd);
  if (file == nullptr) return -EBADF;
  file->watch_by(nullptr);
  file->close();
  files_[static_cast<std::size_t>(fd - first_)] = nullptr;
  weft::detail::tell_world("simulated close", static_cast<std::uint64_t>(fd - first_), 0);
  return 0;
}

int network_core::poll(int fd, short events) noexcept {
  std::lock_guard const lock{mutex_};
  auto const* const file = find(fd);
  if (file == nullptr) return POLLNVAL;
  bool const readable = (events & POLLIN) != 0 && file->ready(readiness::readable);
  bool const writable = (events & POLLOUT) != 0 && file->ready(readiness::writable);
  return (readable ? POLLIN : 0) | (writable ? POLLOUT : 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Making sockets
// ---------------------------------------------------------------------------------------------------------------------

int network_core::socket(int domain, int type, int) noexcept {
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) return -EAFNOSUPPORT;
  std::lock_guard const lock{mutex_};
  try {
    if (type == SOCK_STREAM) return add(std::make_shared<stream_socket>(wire_, names_, domain, nullptr));
    if (type == SOCK_DGRAM) return add(std::make_shared<datagram_socket>(wire_, names_, domain));
  } catch (std::bad_alloc const&) {
    return -ENOMEM;
  }
  return type > SOCK_PACKET ? -EINVAL : -ESOCKTNOSUPPORT;
}

int network_core::socketpair(int domain, int type, int, int (&fds)[2]) noexcept {
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (domain != AF_UNIX) return -EOPNOTSUPP;
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
  std::lock_guard const lock{mutex_};
  try {
    std::array<std::shared_ptr<simulated_file>, 2> files;
    if (type == SOCK_STREAM) {
      auto const a = std::make_shared<stream_end>(wire_, stream_end::kind::local);
      auto const b = std::make_shared<stream_end>(wire_, stream_end::kind::local);
      stream_end::join(a, b);
      a->established();
      b->established();
      files = {std::make_shared<stream_socket>(wire_, names_, domain, a),
               std::make_shared<stream_socket>(wire_, names_, domain, b)};
    } else {
      auto const a = std::make_shared<datagram_socket>(wire_, names_, domain);
      auto const b = std::make_shared<datagram_socket>(wire_, names_, domain);
      datagram_socket::join(a, b);
      files = {a, b};
    }
    make_room(2);
    for (std::size_t i = 0; i < 2; ++i) fds[i] = add(files[i]);
    return 0;
  } catch (std::bad_alloc const&) {
    return -ENOMEM;
  }
}

int network_core::pipe(int (&fds)[2]) noexcept {
  std::lock_guard const lock{mutex_};
  try {
    auto const out = std::make_shared<stream_end>(wire_, stream_end::kind::pipe);
    auto const in = std::make_shared<stream_end>(wire_, stream_end::kind::pipe);
    stream_end::join(out, in);
    out->established();
    in->established();
    auto reader = std::make_shared<pipe_end>(out, true);
    auto writer = std::make_shared<pipe_end>(in, false);
    make_room(2);
    fds[0] = add(std::move(reader));
    fds[1] = add(std::move(writer));
    return 0;
  } catch (std::bad_alloc const&) {
    return -ENOMEM;
  }
}

int network_core::bind(int fd, sockaddr const* to, unsigned size) noexcept {
  return call("simulated bind", fd, [&](simulated_file& file) {
    auto const name = read_name(to, size);
    return name ? file.bind(*name) : -EINVAL;
  });
}

int network_core::listen(int fd, int backlog) noexcept {
  return call("simulated listen", fd, [&](simulated_file& file) { return file.listen(backlog); });
}

int network_core::accept(int fd, sockaddr* from, unsigned* size) noexcept {
  int number = 0;
  int const result = call("simulated accept", fd, [&](simulated_file& file) {
    make_room(1);  // for what would be lost without
    socket_name name;
    int error = 0;
    auto accepted = file.accept(name, error);
    if (accepted == nullptr) return error;
    write_name(name, from, size);
    number = add(accepted);
    if (number < 0) accepted->close();
    return number < 0 ? number : number - first_;  // as the simulation is told
  });
  return result < 0 ? result : number;
}

int network_core::connect(int fd, sockaddr const* to, unsigned size) noexcept {
  return call("simulated connect", fd, [&](simulated_file& file) {
    auto const name = read_name(to, size);
    if (!name) return -EINVAL;
    int const result = file.connect(*name);
    // As with the kernel: it goes on all the same.
    return result == -EINPROGRESS && wire_.random.chance(wire_.options.interrupted) ? -EINTR : result;
  });
}

int network_core::shutdown(int fd, int how) noexcept {
  return call("simulated shutdown", fd, [&](simulated_file& file) { return file.shutdown(how); });
}

int network_core::getsockname(int fd, sockaddr* name, unsigned* size) noexcept {
  return call("simulated getsockname", fd, [&](simulated_file& file) {
    socket_name own;
    int const result = file.name(own);
    if (result == 0) write_name(own, name, size);
    return result;
  });
}

int network_core::getpeername(int fd, sockaddr* name, unsigned* size) noexcept {
  return call("simulated getpeername", fd, [&](simulated_file& file) {
    socket_name peer;
    int const result = file.peer_name(peer);
    if (result == 0) write_name(peer, name, size);
    return result;
  });
}

int network_core::getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept {
  return call("simulated getsockopt", fd, [&](simulated_file& file) {
    if (!file.is_socket()) return -ENOTSOCK;
    std::vector<std::byte> found;
    int const result = file.option(level, name, found);
    if (result != 0) return result;
    *size = std::min(*size, static_cast<unsigned>(found.size()));
    if (*size > 0) std::memcpy(value, found.data(), *size);
    return 0;
  });
}

int network_core::setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept {
  return call("simulated setsockopt", fd, [&](simulated_file& file) {
    if (!file.is_socket()) return -ENOTSOCK;
    return file.set_option(level, name, {static_cast<std::byte const*>(value), size});
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Bytes and datagrams
// ---------------------------------------------------------------------------------------------------------------------

ssize_t network_core::receive(char const* what, int fd, only which, pieces to, int flags, received& about) noexcept {
  return call(what, fd, [&](simulated_file& file) -> ssize_t {
    if (which == only::sockets && !file.is_socket()) return -ENOTSOCK;
    if (wire_.random.chance(wire_.options.interrupted)) return -EINTR;
    return file.receive(to, flags, about);
  });
}

ssize_t network_core::send(char const* what, int fd, only which, pieces from, socket_name const* to,
                           int flags) noexcept {
  return call(what, fd, [&](simulated_file& file) -> ssize_t {
    if (which == only::sockets && !file.is_socket()) return -ENOTSOCK;
    if (wire_.random.chance(wire_.options.interrupted)) return -EINTR;
    return file.send(from, to, flags);
  });
}

ssize_t network_core::recv(int fd, void* to, std::size_t size, int flags) noexcept {
  iovec const whole{to, size};
  received about;
  return receive("simulated recv", fd, only::sockets, pieces{{&whole, 1}}, flags, about);
}

ssize_t network_core::send(int fd, void const* from, std::size_t size, int flags) noexcept {
  iovec const whole{const_cast<void*>(from), size};
  return send("simulated send", fd, only::sockets, pieces{{&whole, 1}}, nullptr, flags);
}

ssize_t network_core::recvmsg(int fd, msghdr* message, int flags) noexcept {
  received about;
  auto const result = receive("simulated recvmsg", fd, only::sockets, pieces{pieces_of(*message)}, flags, about);
  if (result < 0) return result;
  message->msg_flags = about.truncated ? MSG_TRUNC : 0;
  message->msg_controllen = 0;
  unsigned size = message->msg_namelen;
  about.from.family != 0 ? write_name(about.from, static_cast<sockaddr*>(message->msg_name), &size) : void(size = 0);
  if (message->msg_name != nullptr) message->msg_namelen = size;
  return result;
}

ssize_t network_core::sendmsg(int fd, msghdr const* message, int flags) noexcept {
  if (message->msg_controllen != 0) return -EOPNOTSUPP;
  try {
    auto const to = message->msg_name != nullptr
                        ? read_name(static_cast<sockaddr const*>(message->msg_name), message->msg_namelen)
                        : std::nullopt;
    if (message->msg_name != nullptr && !to) return -EINVAL;
    return send("simulated sendmsg", fd, only::sockets, pieces{pieces_of(*message)}, to ? &*to : nullptr, flags);
  } catch (std::bad_alloc const&) {
    return -ENOMEM;
  }
}

ssize_t network_core::read(int fd, void* to, std::size_t size) noexcept {
  iovec const whole{to, size};
  return readv(fd, &whole, 1);
}

ssize_t network_core::write(int fd, void const* from, std::size_t size) noexcept {
  iovec const whole{const_cast<void*>(from), size};
  return writev(fd, &whole, 1);
}

ssize_t network_core::readv(int fd, iovec const* to, int count) noexcept {
  received about;
  if (count < 0) return -EINVAL;
  return receive("simulated read", fd, only::any_file, pieces{{to, static_cast<std::size_t>(count)}}, 0, about);
}

ssize_t network_core::writev(int fd, iovec const* from, int count) noexcept {
  if (count < 0) return -EINVAL;
  return send("simulated write", fd, only::any_file, pieces{{from, static_cast<std::size_t>(count)}}, nullptr, 0);
}

}  // namespace weft::inline v0::testing
