#include "affinity.hpp"

#include "scheduler.hpp"
#include "worker.hpp"

#include <cerrno>
#include <string>
#include <system_error>

namespace weft::inline v0::detail {

unpinned::unpinned() noexcept : changed_(false) {
  worker const* const w = current_worker();
  if (w == nullptr || w->home.options.affinity.empty()) return;
  before_ = current_cpus();
  changed_ = ::sched_setaffinity(0, sizeof w->home.cpus, &w->home.cpus) == 0;
}

unpinned::~unpinned() {
  if (changed_) ::sched_setaffinity(0, sizeof before_, &before_);
}

cpu_set_t current_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  return set;
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return;
  throw std::system_error(errno, std::generic_category(),
                          "weft: a worker cannot be pinned to CPU " + std::to_string(cpu));
}

}  // namespace weft::inline v0::detail
