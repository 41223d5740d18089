#include <weft/io/testing/simulated_network.hpp>

#include "network_core.hpp"

#include <stdexcept>
#include <utility>

namespace weft::inline v0::testing {

network_options network_options::with_faults() {
  network_options options;
  options.stream_buffer = 4096;
  options.partial = 0.2;
  options.interrupted = 0.02;
  options.reset = 0.01;
  options.refused = 0.1;
  options.no_descriptors = 0.05;
  options.loss = 0.05;
  options.duplicate = 0.05;
  options.reorder = 0.1;
  return options;
}

simulated_network::simulated_network(simulation& of, network_options options) {
  if (options.stream_buffer == 0) {
    throw std::invalid_argument(
        "weft::testing::simulated_network: stream_buffer is 0, so nothing could ever be written");
  }
  core_ = std::make_shared<network_core>(options);
  of.attach(core_);
}

simulated_network::~simulated_network() = default;

void simulated_network::add_host(std::string_view name, std::vector<io::ip_address> addresses) {
  core_->hosts().add(name, std::move(addresses));
}

std::vector<io::ip_address> simulated_network::addresses_of(std::string_view name) const {
  return core_->hosts().addresses_of(name);
}

std::size_t simulated_network::open_descriptors() const noexcept { return core_->open_descriptors(); }
weft::detail::system_calls& simulated_network::calls() noexcept { return *core_; }
weft::detail::readiness_source& simulated_network::reports() noexcept { return *core_; }
void simulated_network::wrap_calls(weft::detail::system_calls* by) noexcept { core_->wrap(by); }

}  // namespace weft::inline v0::testing
