#pragma once
/// @file
/// CPUs that workers are pinned to, and how that is kept from the threads that they make.

#include <sched.h>

namespace weft::inline v0::detail {

/// A thread inherits its creator's CPUs. On a pinned worker this gives the calling thread back, for as long as it
/// lives, those that the runtime's maker had; elsewhere it does nothing. Nothing may wait meanwhile.
class unpinned {
public:
  unpinned() noexcept;
  unpinned(unpinned const&) = delete;
  ~unpinned();

private:
  bool changed_;
  cpu_set_t before_;
};

/// The CPUs of the calling thread.
[[nodiscard]] cpu_set_t current_cpus() noexcept;
/// Pins the calling thread.  @throws std::system_error
void pin_to(int cpu);

}  // namespace weft::inline v0::detail
