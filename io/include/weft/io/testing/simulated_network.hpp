#pragma once
/// @file
/// A network inside a simulation: what io/ opens there are sockets and pipes of this one, so that servers and clients
/// run together, in virtual time, as a seed decides. The seed also decides how long each packet takes, and which of the
/// faults that are asked for happens when.
///
///     weft::testing::simulation sim{seed};
///     weft::testing::simulated_network net{sim, weft::testing::network_options::with_faults()};
///     sim.run([] { ... tcp_listener, tcp_stream, ... });
///
/// All addresses are of one machine: any can be bound, and who connects has the address that it connects to, as on
/// loopback. What a socket does is what Linux does. Streams keep their order and their bytes, or are reset; datagrams
/// may be lost, doubled and overtaken.

#include <weft/io/endpoint.hpp>
#include <weft/runtime/simulation.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0::detail {
class readiness_source;
class system_calls;
}  // namespace weft::inline v0::detail

namespace weft::inline v0::testing {

/// What the network is like. Probabilities are from 0 to 1; without any all goes well, but for datagrams that come when
/// their receiver's buffer is full.
struct network_options {
  /// How long a packet takes: each as the seed says, within these limits. Unix sockets and pipes take no time.
  std::chrono::nanoseconds min_latency = std::chrono::microseconds{10};
  std::chrono::nanoseconds max_latency = std::chrono::microseconds{200};
  /// Bytes of one direction of a stream that have been written and not been read. At least 1.
  std::size_t stream_buffer = 65'536;
  /// Bytes of datagrams that have arrived at a socket and not been received.
  std::size_t datagram_buffer = 212'992;
  /// The largest datagram; larger ones are refused (std::errc::message_size).
  std::size_t datagram_size = 65'507;

  /// A read or write of a stream moves only some of the bytes that it could.
  double partial = 0;
  /// A call is interrupted (EINTR), having done nothing; weft's operations then repeat it.
  double interrupted = 0;
  /// A packet of a stream does not arrive: instead the connection is reset at both ends.
  double reset = 0;
  /// An attempt to connect is refused though somebody listens.
  double refused = 0;
  /// accept() finds no free descriptor (EMFILE); the connection stays in the queue.
  double no_descriptors = 0;
  /// A datagram does not arrive.
  double loss = 0;
  /// A datagram arrives twice.
  double duplicate = 0;
  /// A datagram takes up to ten times as long as it should. Those before and after it keep their order otherwise.
  double reorder = 0;

  /// Some of each, so that a program meets all of them within some hundred packets.
  [[nodiscard]] static network_options with_faults();
};

class network_core;

/// The network of one simulation: made before its runs, which each begin with no socket open. Every descriptor has to
/// be closed before both are gone.
class simulated_network {
public:
  /// @throws std::invalid_argument  if `options.stream_buffer` is 0
  explicit simulated_network(simulation& of, network_options options = {});
  simulated_network(simulated_network const&) = delete;
  simulated_network& operator=(simulated_network const&) = delete;
  ~simulated_network();

  /// `name` is resolved to these addresses, in this order, in the runs that follow. Case does not matter. `localhost`
  /// is there from the beginning.
  void add_host(std::string_view name, std::vector<io::ip_address> addresses);
  /// Those of `name`; empty: there is no such host.
  [[nodiscard]] std::vector<io::ip_address> addresses_of(std::string_view name) const;

  /// How many descriptors are open: at the end of a program that closes all it opens, none.
  [[nodiscard]] std::size_t open_descriptors() const noexcept;

  /// What takes the place of the kernel's calls.
  [[nodiscard]] weft::detail::system_calls& calls() noexcept;
  /// Who tells fibers that what they wait for is ready.
  [[nodiscard]] weft::detail::readiness_source& reports() noexcept;
  /// In the runs that follow, fibers get `by` in its place, which passes on to calls() what it does not change: for
  /// faults of a test's own. Null: calls() itself.
  void wrap_calls(weft::detail::system_calls* by) noexcept;

private:
  std::shared_ptr<network_core> core_;
};

}  // namespace weft::inline v0::testing
