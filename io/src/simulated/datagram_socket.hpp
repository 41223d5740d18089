#pragma once
/// @file
/// A simulated datagram socket, of UDP or of the Unix family. What it sends is lost, doubled or overtaken as the
/// options say; what arrives when its buffer is full is dropped.

#include "names.hpp"
#include "wire.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <vector>

namespace weft::inline v0::testing {

class datagram_socket final : public simulated_file, public std::enable_shared_from_this<datagram_socket> {
public:
  datagram_socket(wire& by, bound_names& names, int family);
  /// Of a socketpair: each sends to the other.
  static void join(std::shared_ptr<datagram_socket> const& a, std::shared_ptr<datagram_socket> const& b) noexcept;

  int bind(socket_name const& to) override;
  int connect(socket_name const& to) override;
  int shutdown(int how) override;
  int name(socket_name& own) override;
  int peer_name(socket_name& peer) override;
  int set_option(int level, int option, std::span<std::byte const> value) override;
  int option(int level, int option, std::vector<std::byte>& value) override;
  ssize_t receive(pieces to, int flags, received& about) override;
  ssize_t send(pieces from, socket_name const* to, int flags) override;
  [[nodiscard]] bool ready(readiness what) const noexcept override;
  void close() noexcept override;

private:
  struct datagram {
    socket_name from;
    std::vector<char> bytes;
  };
  using shared_datagram = std::shared_ptr<datagram const>;

  [[nodiscard]] bool is_unix() const noexcept;
  [[nodiscard]] protocol which() const noexcept { return is_unix() ? protocol::unix_datagram : protocol::udp; }
  [[nodiscard]] int bind_to_any();
  [[nodiscard]] bool reaches(socket_name const& to) noexcept;
  [[nodiscard]] bool takes_from(socket_name const& sender) const noexcept;
  [[nodiscard]] bool has_room_for(std::size_t size) const noexcept;
  void arrive(shared_datagram what);
  /// On its way once, perhaps late.
  void send_off(shared_datagram what, socket_name const& to);
  void deliver(shared_datagram const& what, socket_name const& to);
  ssize_t send_locally(shared_datagram what, socket_name const* to);

  wire& wire_;
  bound_names& names_;
  int const family_;
  socket_name own_;
  socket_name peer_;  // family 0: none
  std::weak_ptr<datagram_socket> pair_;
  bool is_pair_ = false;
  std::set<io::ip_address> groups_;
  std::deque<shared_datagram> inbox_;
  std::size_t size_ = 0;  // of all in it
  time_point last_sent_{};
  int error_ = 0;
  bool receives_no_more_ = false;
  bool sends_no_more_ = false;
  bool closed_ = false;
};

}  // namespace weft::inline v0::testing
