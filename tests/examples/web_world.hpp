#pragma once
/// @file
/// A simulated machine for the programs of examples/web: the services that stand in for a network's, and a disk.

#include "stand_in.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/testing/simulated_files.hpp>
#include <weft/io/testing/simulated_network.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/testing.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace weft::test {

class web_world {
public:
  web_world(std::uint64_t seed, testing::network_options network, testing::file_options disk)
      : simulation_(seed), network_(simulation_, network), files_(simulation_, disk) {
    files_.add_directory("/data");
  }

  /// Runs `f` beside the services, which are at `http://127.0.0.1`. @returns the trace's hash
  template <class F>
  std::uint64_t run(F f) {
    simulation_.run([&] {
      stand_in services;
      {
        auto listener = io::tcp_listener::bind({"127.0.0.1", 80});
        auto serving = weft::spawn([&] { services.server().serve(listener, std::chrono::nanoseconds{0}); });
        f();
        serving.cancel();
        serving.wait();
      }
      weft::testing::expect_no_leaks();
    });
    verify(network_.open_descriptors() == 0);
    verify(files_.open_descriptors() == 0);
    return simulation_.trace_hash();
  }

  [[nodiscard]] testing::simulated_files& files() noexcept { return files_; }

private:
  testing::simulation simulation_;
  testing::simulated_network network_;
  testing::simulated_files files_;
};

}  // namespace weft::test
