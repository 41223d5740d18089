#pragma once
/// @file
/// A simulated stream socket: new, then bound or not, and then either listening or one end of a connection.

#include "listening.hpp"
#include "names.hpp"
#include "stream_end.hpp"

#include <memory>

namespace weft::inline v0::testing {

class stream_socket final : public simulated_file {
public:
  /// @param end  null: it is new; else it is connected, by accept() or socketpair()
  stream_socket(wire& by, bound_names& names, int family, std::shared_ptr<stream_end> end);

  int bind(socket_name const& to) override;
  int listen(int backlog) override;
  std::shared_ptr<simulated_file> accept(socket_name& from, int& error) override;
  int connect(socket_name const& to) override;
  int shutdown(int how) override;
  int name(socket_name& own) override;
  int peer_name(socket_name& peer) override;
  int option(int level, int option, std::vector<std::byte>& value) override;
  ssize_t receive(pieces to, int flags, received& about) override;
  ssize_t send(pieces from, socket_name const* to, int flags) override;
  [[nodiscard]] bool ready(readiness what) const noexcept override;
  void close() noexcept override;

  /// Null: it does not listen.
  [[nodiscard]] listening* queue() noexcept { return queue_.get(); }

private:
  [[nodiscard]] bool is_unix() const noexcept;
  [[nodiscard]] protocol which() const noexcept { return is_unix() ? protocol::unix_stream : protocol::tcp; }

  wire& wire_;
  bound_names& names_;
  int const family_;
  socket_name own_;
  std::unique_ptr<listening> queue_;
  std::shared_ptr<stream_end> end_;
  bool told_connected_ = false;  // the first connect() after it has worked says so, the next that it is connected
};

/// One end of a simulated pipe: a stream of which one direction is used.
class pipe_end final : public simulated_file {
public:
  pipe_end(std::shared_ptr<stream_end> end, bool reads) noexcept;
  ssize_t receive(pieces to, int flags, received& about) override;
  ssize_t send(pieces from, socket_name const* to, int flags) override;
  [[nodiscard]] bool is_socket() const noexcept override { return false; }
  [[nodiscard]] bool ready(readiness what) const noexcept override;
  void close() noexcept override;

private:
  std::shared_ptr<stream_end> end_;
  bool const reads_;
};

}  // namespace weft::inline v0::testing
