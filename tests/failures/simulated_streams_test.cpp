/// @file
/// Memory that fails at each place while a simulated connection comes to be and is used: it ends with an error, and
/// nobody waits for ever for what got lost, which would be a deadlock of the simulation.

#include "faults.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing/simulated_network.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>

#include <cstdint>
#include <new>
#include <string>
#include <system_error>

using namespace weft::io;
using namespace weft::test;

namespace {

constexpr std::size_t sent = 1000;

/// Calls `f`, out of which may come that memory has failed, or that the connection has.
template <class F>
void allow_failures(F&& f) {
  try {
    f();
  } catch (std::bad_alloc const&) {
  } catch (std::system_error const&) {
  }
}

/// All that one end has to say. What arrives is a beginning of what was sent: there are no gaps.
void converse(tcp_stream& with, char mine, char theirs) {
  with.write_all(std::string(sent, mine));
  with.shutdown(direction::send);
  auto const read = with.read_all(2 * sent);
  verify(std::string(sent, theirs).starts_with(read));
}

}  // namespace

TEST_CASE("simulated network: without memory a connection fails, and nobody waits for what was lost",
          "[io][simulation][failure]") {
  bool struck = true;
  std::uint64_t places = 0;
  for (; struck && places < 1000; ++places) {
    INFO("allocation " << places + 1);
    weft::testing::simulation sim{1};
    weft::testing::simulated_network net{sim};
    sim.run([&] {
      tcp_listener listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
      auto server = weft::spawn([&] {
        allow_failures([&] {
          tcp_stream accepted = listener.accept();
          converse(accepted, 's', 'c');
        });
        listener.close();  // so that who is in its queue is told that there will be no answer
      });
      auto const to = listener.local_endpoint();
      faults::arm(faults::kind::memory, places + 1, false);
      allow_failures([&] {
        tcp_stream client = tcp_stream::connect(to);
        converse(client, 'c', 's');
      });
      struck = faults::disarm() != 0;
      listener.close();
      server.get();
      server = {};
      weft::testing::expect_no_leaks();
    });
    CHECK(net.open_descriptors() == 0);
  }
  CHECK(places > 10);
  CHECK_FALSE(struck);
}
