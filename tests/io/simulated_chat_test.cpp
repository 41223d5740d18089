/// @file
/// A chat server and its clients on the simulated network, with and without faults, for many seeds. With -DWEFT_SOAK=ON
/// once more with 10,000.

#include "io/chat_program.hpp"
#include "support/catch.hpp"
#include "support/scale.hpp"

#include <weft/io/testing/simulated_network.hpp>

#include <cstdint>
#include <set>

namespace {

using namespace weft::test;
using weft::testing::network_options;
using weft::testing::simulated_network;
using weft::testing::simulation;

constexpr std::uint64_t seeds = full_length ? 10'000 : scaled(200);

chat_counts run_program(simulation& sim, simulated_network& net, std::size_t patience = 4) {
  auto const counts = sim.run([patience] {
    auto const at_the_end = run_chat(patience);
    weft::testing::expect_no_leaks();
    return at_the_end;
  });
  verify(net.open_descriptors() == 0);
  return counts;
}

}  // namespace

TEST_CASE("chat: with faults and slow readers, each hears its room in order, for every seed",
          "[io][simulation][soak]") {
  std::set<std::uint64_t> hashes;
  chat_counts all;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    simulation sim{seed};
    simulated_network net{sim, network_options::with_faults()};
    INFO("seed " << seed);
    chat_counts counts;
    REQUIRE_NOTHROW(counts = run_program(sim, net));
    all.heard += counts.heard;
    all.put_out += counts.put_out;
    all.lost += counts.lost;
    hashes.insert(sim.trace_hash());
    if (seed % 64 == 0) {
      auto const hash = sim.trace_hash();
      (void)run_program(sim, net);
      REQUIRE(sim.trace_hash() == hash);
    }
  }
  CHECK(hashes.size() == seeds);
  CHECK(all.heard > seeds);
  CHECK(all.lost > seeds / 2);
  CHECK(all.put_out > 0);
}

TEST_CASE("chat: without faults all that is said arrives at the server", "[io][simulation]") {
  for (std::uint64_t seed = 0; seed < scaled(50); ++seed) {
    simulation sim{seed};
    simulated_network net{sim};
    INFO("seed " << seed);
    auto const counts = run_program(sim, net, 100);
    CHECK(counts.said == 8 * chat_client::lines_each);
    CHECK(counts.put_out == 0);
    CHECK(counts.lost == 0);
  }
}
