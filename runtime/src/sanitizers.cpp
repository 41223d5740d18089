#include "sanitizers.hpp"

#include <cstdlib>

namespace weft::inline v0::detail {

#if defined(WEFT_TSAN)

namespace {
/// `WEFT_TSAN_SWITCH_FLAG`: 0 makes each switch a synchronisation, which hides races between two fibers of one worker;
/// 1, the default, does not.
unsigned const chosen_flag = [] {
  char const* const value = std::getenv("WEFT_TSAN_SWITCH_FLAG");
  return value != nullptr && *value == '0' ? 0U : 1U;
}();
}  // namespace

unsigned sanitizer_thread::switch_flag() noexcept { return chosen_flag; }

#endif

}  // namespace weft::inline v0::detail
