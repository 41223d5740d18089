#pragma once
/// @file
/// What is under way in a simulated network, ordered by the time at which it arrives; and what all of its sockets ask
/// for: options, choices, the present.

#include "dice.hpp"

#include <weft/io/testing/simulated_network.hpp>
#include <weft/runtime/clock.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace weft::inline v0::testing {

class wire {
public:
  explicit wire(network_options const& how) : options(how) {}

  void restart(std::uint64_t seed) noexcept;

  [[nodiscard]] static time_point now() noexcept { return weft::detail::deadline_after({}); }
  [[nodiscard]] std::chrono::nanoseconds latency() noexcept {
    return random.between(options.min_latency, options.max_latency);
  }
  /// How much of `size` a call of a stream moves; at least 1 of them.
  [[nodiscard]] std::size_t part_of(std::size_t size) noexcept {
    if (size < 2 || !random.chance(options.partial)) return size;
    return 1 + static_cast<std::size_t>(random.up_to(size - 2));
  }

  /// `what` happens at `at`; of several at the same time the first first.  @throws std::bad_alloc
  void send(time_point at, std::function<void()> what);
  /// `never`: nothing is under way.
  [[nodiscard]] time_point next() const noexcept { return under_way_.empty() ? never : under_way_.front().at; }
  /// Whatever is due by `present` happens.
  void arrive(time_point present) noexcept;

  network_options const options;
  dice random;

private:
  struct packet {
    time_point at;
    std::uint64_t order;
    std::function<void()> what;
  };
  [[nodiscard]] static bool later(packet const& a, packet const& b) noexcept {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  std::vector<packet> under_way_;  // a heap: the next is in front
  std::uint64_t sent_ = 0;
};

}  // namespace weft::inline v0::testing
