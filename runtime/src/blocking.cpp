#include <weft/runtime/blocking.hpp>

#include "fatal.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

namespace weft::inline v0::detail {

away_from_worker::away_from_worker() noexcept {
  worker* const w = current_worker();
  if (w == nullptr || w->current == nullptr) return;
  if (!w->home.away.call()) return;
  left_ = w;
  home_ = w->home.own_id;
  before_ = w->away;
  w->away = w->current.get();  // nothing to report, and nobody else need be called
}

away_from_worker::~away_from_worker() {
  if (left_ == nullptr) return;
  worker* const here = current_worker();
  fiber_record* const self = here != nullptr ? here->current.get() : nullptr;
  // It may lie in a generator's body that has outlived the runtime, and with it the worker.
  if (self == nullptr || here->home.own_id != home_)
    fatal("a call of weft::blocking ends outside of its runtime: a generator's body yielded in it");
  // The fiber may be on another worker by now, and another may be away here. Noted for the monitor alone, as a hint.
  // `before_` may have come back from elsewhere meanwhile.
  if (left_->away.get() == self) left_->away = before_ == self ? self : nullptr;
  left_->home.away.dismiss();
}

}  // namespace weft::inline v0::detail
