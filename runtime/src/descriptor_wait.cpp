#include <weft/runtime/detail/descriptor_wait.hpp>

namespace weft::inline v0::detail {

bool wait_descriptor(int descriptor, readiness what, time_point deadline) {
  auto const polled = polled_descriptor::make(descriptor);
  polled->exhausted(what);
  polled_descriptor::use in_use{*polled};
  return in_use.wait(what, deadline) == descriptor_outcome::ready;
}

}  // namespace weft::inline v0::detail
