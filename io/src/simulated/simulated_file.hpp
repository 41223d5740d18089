#pragma once
/// @file
/// What a simulated descriptor's number stands for: a socket, or an end of a pipe. Each call gives what the kernel's
/// gives, or the negative error number.

#include "address.hpp"

#include <weft/runtime/detail/polled_descriptor.hpp>

#include <cerrno>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <sys/types.h>
#include <sys/uio.h>
#include <utility>
#include <vector>

namespace weft::inline v0::testing {

class network_core;
using weft::detail::readiness;

/// What a message is put together from, or taken apart into.
class pieces {
public:
  explicit pieces(std::span<iovec const> of) noexcept : of_(of) {}
  [[nodiscard]] std::size_t size() const noexcept;
  /// Copies what fits.  @returns how much that is
  std::size_t fill(char const* from, std::size_t size) const noexcept;
  /// Appends the first `size` bytes of all.
  void take(std::size_t size, std::vector<char>& to) const;

private:
  std::span<iovec const> of_;
};

/// A datagram, or part of a stream, as recvmsg() gives it.
struct received {
  socket_name from;
  bool truncated = false;
};

class simulated_file {
public:
  simulated_file() = default;
  simulated_file(simulated_file const&) = delete;
  virtual ~simulated_file() = default;

  virtual int bind(socket_name const& to) noexcept(false);
  virtual int listen(int backlog);
  /// @param from  set to the peer's name  @returns null with `error` set
  virtual std::shared_ptr<simulated_file> accept(socket_name& from, int& error);
  virtual int connect(socket_name const& to);
  virtual int shutdown(int how);
  /// Its own, and its peer's.
  virtual int name(socket_name& own);
  virtual int peer_name(socket_name& peer);
  virtual int set_option(int level, int option, std::span<std::byte const> value);
  virtual int option(int level, int option, std::vector<std::byte>& value);

  virtual ssize_t receive(pieces to, int flags, received& about) = 0;
  /// @param to  null: where it is connected to
  virtual ssize_t send(pieces from, socket_name const* to, int flags) = 0;

  [[nodiscard]] virtual bool is_socket() const noexcept { return true; }
  /// As poll() has it: the next such call would not fail with EAGAIN.
  [[nodiscard]] virtual bool ready(readiness what) const noexcept = 0;
  /// Its number has been closed. What is under way may hold on to it yet.
  virtual void close() noexcept = 0;

  void watch_by(weft::detail::polled_descriptor* watcher) noexcept { watcher_ = watcher; }
  /// Tells who waits, if it is ready.
  void report(readiness what) noexcept;
  void report_both() noexcept {
    report(readiness::readable);
    report(readiness::writable);
  }

protected:
  /// What has been set by set_option().  @returns `otherwise` if it has not, or is no number
  [[nodiscard]] int number_set(int level, int option, int otherwise) const noexcept;

private:
  std::map<std::pair<int, int>, std::vector<std::byte>> options_;
  weft::detail::polled_descriptor* watcher_ = nullptr;
};

}  // namespace weft::inline v0::testing
