#include <weft/runtime/map.hpp>

#include <weft/runtime/error.hpp>

#include <stdexcept>

namespace weft::inline v0::detail {

void check_concurrency(max_concurrency limit) {
  if (limit.value == 0) throw std::invalid_argument("weft::map: max_concurrency is 0, and nothing would ever run");
  if (current_fiber() == nullptr) {
    throw no_runtime("weft::map: not called on a fiber; use weft::run, or runtime::run");
  }
}

}  // namespace weft::inline v0::detail
