#include "wire.hpp"

#include <weft/runtime/environment.hpp>

#include <algorithm>
#include <new>
#include <utility>

namespace weft::inline v0::testing {

void wire::restart(std::uint64_t seed) noexcept {
  random.restart(seed ^ 0x6E6574776F726B21U);  // not the numbers that order the fibers
  sent_ = 0;
  // What a packet holds on to may be a connection whose end has others: not while the list is being changed.
  auto const dropped = std::exchange(under_way_, {});
}

void wire::send(time_point at, std::function<void()> what) {
  under_way_.push_back({at, sent_++, std::move(what)});
  std::push_heap(under_way_.begin(), under_way_.end(), later);
}

void wire::arrive(time_point present) noexcept {
  while (!under_way_.empty() && under_way_.front().at <= present) {
    std::pop_heap(under_way_.begin(), under_way_.end(), later);
    packet const arrived = std::move(under_way_.back());
    under_way_.pop_back();
    weft::detail::tell_world("a packet arrives", arrived.order, 0);
    try {
      arrived.what();
    } catch (std::bad_alloc const&) {  // NOLINT: without memory it is lost
    }
  }
}

}  // namespace weft::inline v0::testing
