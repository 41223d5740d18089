#pragma once
/// @file
/// The calls of a simulated network: from numbers to what they stand for. One lock guards it and all that belongs to
/// it. (In a simulation nothing runs at once; the lock says so to ThreadSanitizer, and keeps those out who close what
/// is left from elsewhere.)

#include "datagram_socket.hpp"
#include "host_table.hpp"
#include "names.hpp"
#include "stream_socket.hpp"
#include "wire.hpp"

#include <weft/io/detail/system_calls.hpp>
#include <weft/runtime/environment.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace weft::inline v0::testing {

class network_core final : public weft::detail::simulated_outside,
                           public weft::detail::system_calls,
                           public weft::detail::readiness_source {
public:
  explicit network_core(network_options const& options);

  [[nodiscard]] host_table& hosts() const noexcept { return *hosts_; }
  [[nodiscard]] std::size_t open_descriptors() const noexcept;
  void wrap(system_calls* by) noexcept { wrapper_ = by; }

  // simulated_outside
  void begin(std::uint64_t seed) noexcept override;
  [[nodiscard]] system_calls* calls() noexcept override { return wrapper_ != nullptr ? wrapper_ : this; }
  [[nodiscard]] time_point next_arrival() noexcept override;
  void arrive(time_point now) noexcept override;

  // system_calls
  int socket(int domain, int type, int protocol) noexcept override;
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override;
  int listen(int fd, int backlog) noexcept override;
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override;
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override;
  int shutdown(int fd, int how) noexcept override;
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override;
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override;
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override;
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override;
  int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept override;
  int pipe(int (&fds)[2]) noexcept override;
  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override;
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override;
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override;
  ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept override;
  ssize_t read(int fd, void* to, std::size_t size) noexcept override;
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override;
  ssize_t readv(int fd, iovec const* to, int count) noexcept override;
  ssize_t writev(int fd, iovec const* from, int count) noexcept override;
  int close(int fd) noexcept override;
  int poll(int fd, short events) noexcept override;
  [[nodiscard]] weft::detail::descriptor_kind kind() const noexcept override {
    return weft::detail::descriptor_kind::simulated;
  }
  void watched(weft::detail::polled_descriptor& of) noexcept override;
  [[nodiscard]] std::shared_ptr<weft::detail::name_service> names() override { return hosts_; }

  // readiness_source
  void wanted(weft::detail::polled_descriptor& of, readiness what) noexcept override;

private:
  [[nodiscard]] simulated_file* find(int fd) const noexcept;
  /// So that as many can be added without more memory.  @throws std::bad_alloc
  void make_room(std::size_t count);
  /// The lowest number that is free.  @throws std::bad_alloc
  [[nodiscard]] int add(std::shared_ptr<simulated_file> file);
  /// Calls `f(file)` under the lock, tells the simulation what came of it, and makes an error of what it throws.
  template <class F>
  auto call(char const* what, int fd, F&& f) noexcept -> decltype(f(std::declval<simulated_file&>()));
  enum class only : bool { sockets, any_file };
  ssize_t receive(char const* what, int fd, only which, pieces to, int flags, received& about) noexcept;
  ssize_t send(char const* what, int fd, only which, pieces from, socket_name const* to, int flags) noexcept;

  std::mutex mutable mutex_;
  wire wire_;
  bound_names names_;
  int first_;                                           // number; those of an earlier run never come again
  std::vector<std::shared_ptr<simulated_file>> files_;  // by number
  std::shared_ptr<host_table> hosts_ = std::make_shared<host_table>();
  system_calls* wrapper_ = nullptr;
};

}  // namespace weft::inline v0::testing
