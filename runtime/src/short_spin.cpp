#include <weft/runtime/detail/short_spin.hpp>

#include "coarse_clock.hpp"
#include "cpu_count.hpp"
#include "scheduler.hpp"
#include "spin_lock.hpp"
#include "worker.hpp"

namespace weft::inline v0::detail {

bool others_may_run() noexcept {
  static bool const several_cpus = cpu_count() > 1;
  if (!several_cpus) return false;
  worker const* const w = current_worker();
  if (w == nullptr) return true;
  auto const& home = w->home;
  return home.idle.parked() + home.idle.searching() + 1 < home.options.workers;
}

void pause_briefly() noexcept {
  constexpr std::uint64_t cycles = 1000;  // of the time-stamp counter
  for (auto const start = coarse_now(); coarse_now() - start < cycles;) cpu_relax();
}

}  // namespace weft::inline v0::detail
