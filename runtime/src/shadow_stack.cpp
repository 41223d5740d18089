#include "shadow_stack.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace weft::inline v0::detail {

bool has_shadow_stack() noexcept {
#if defined(__x86_64__)
  constexpr int status = 0x5005;         // ARCH_SHSTK_STATUS, Linux 6.6
  constexpr unsigned long enabled = 1U;  // ARCH_SHSTK_SHSTK
  unsigned long features = 0;
  // An older kernel fails, and has none.
  return ::syscall(SYS_arch_prctl, status, &features) == 0 && (features & enabled) != 0;
#else
  return false;
#endif
}

}  // namespace weft::inline v0::detail
