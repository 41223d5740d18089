#include "fatal.hpp"
#include "fork_guard.hpp"
#include "spin_lock.hpp"

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/detail/short_spin.hpp>

#include <algorithm>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace weft::inline v0::detail {

bool thread_barrier::asymmetric() noexcept {
  static bool const registered = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0U, 0) == 0;
  return registered;
}

void thread_barrier::heavy() noexcept {
  if (!asymmetric()) return;
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0U, 0) == 0) return;
  // Others rely on it by now, and do without barriers of their own.
  fatal(
      "membarrier(2) worked when the program began and is refused now (by a sandbox?): allow it, or forbid it from the "
      "beginning");
}

void std_atomics::pause(unsigned turn) noexcept {
  constexpr unsigned spins = 64;
  if (turn < spins) return cpu_relax();
  expect_not_forked();        // who is waited for may be a thread of the parent
  std::this_thread::yield();  // it has lost its CPU
}

void std_atomics::back_off(unsigned turn) noexcept {
  // Longer each time, up to a point: the more who try, the longer each has it to itself.
  constexpr unsigned turns = 4;  // 9 us at 2.5 GHz
  if (turn >= turns) return pause(~0U);
  for (auto pauses = 2U << std::min(turn, 2U); pauses != 0; --pauses) pause_briefly();
}

}  // namespace weft::inline v0::detail
