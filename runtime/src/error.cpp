#include <weft/runtime/error.hpp>

namespace weft::inline v0 {

char const* to_string(cancel_reason reason) noexcept {
  switch (reason) {
    case cancel_reason::user: return "user";
    case cancel_reason::deadline: return "deadline";
    case cancel_reason::sibling_failed: return "sibling_failed";
    case cancel_reason::shutdown: return "shutdown";
    case cancel_reason::handle_dropped: return "handle_dropped";
  }
  return "unknown";
}

}  // namespace weft::inline v0
