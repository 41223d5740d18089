#pragma once
/// @file
/// Who is bound to which name in a simulated network, for each protocol.

#include "simulated_file.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace weft::inline v0::testing {

enum class protocol : unsigned char { tcp, udp, unix_stream, unix_datagram };

/// May share its name with others that would, too.
struct sharing {
  bool port = false;     ///< SO_REUSEPORT
  bool address = false;  ///< SO_REUSEADDR, of datagrams
  bool only_v6 = false;  ///< IPV6_V6ONLY
};

class bound_names {
public:
  struct entry {
    socket_name name;
    sharing how;
    simulated_file* file = nullptr;
  };

  void clear() noexcept;
  /// Port 0 becomes one that is free.
  /// @returns 0 or the negative error number
  [[nodiscard]] int bind(protocol p, socket_name& name, sharing how, simulated_file& file);
  void release(simulated_file const& file) noexcept;
  /// Who gets what is sent to `given`: of those bound to that port, those bound to the address, or else those bound to
  /// any.
  [[nodiscard]] std::vector<simulated_file*> at(protocol p, socket_name const& given) const;
  /// All of that port.
  [[nodiscard]] std::vector<simulated_file*> at_port(protocol p, std::uint16_t port) const;
  /// One that nobody is bound to.
  [[nodiscard]] std::uint16_t free_port(protocol p) noexcept;

private:
  [[nodiscard]] bool taken(protocol p, socket_name const& given, sharing how) const;

  std::multimap<std::pair<protocol, std::uint16_t>, entry> bound_;  // Unix sockets have port 0
  std::uint16_t last_port_ = 0;
};

}  // namespace weft::inline v0::testing
