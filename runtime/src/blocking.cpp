#include <weft/runtime/blocking.hpp>

#include "scheduler.hpp"
#include "worker.hpp"

namespace weft::inline v0::detail {

away_from_worker::away_from_worker() noexcept {
  worker* const w = current_worker();
  if (w == nullptr || w->current == nullptr) return;
  if (!w->home.away.call()) return;
  called_ = &w->home;
  w->away = w->current.get();  // nothing to report, and nobody else need be called
}

away_from_worker::~away_from_worker() {
  if (called_ == nullptr) return;
  worker* const w = current_worker();
  if (w->away.get() == w->current.get()) w->away = nullptr;
  called_->away.dismiss();
}

}  // namespace weft::inline v0::detail
