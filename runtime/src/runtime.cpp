#include <weft/runtime/runtime.hpp>

#include "cpu_count.hpp"
#include "fatal.hpp"
#include "scheduler.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <stdexcept>

namespace weft {

namespace {

[[noreturn]] void bad_option(std::string const& what) { throw std::invalid_argument("weft::runtime_options: " + what); }

/// Puts in the defaults that depend on the machine, and refuses what cannot be.
runtime_options checked(runtime_options o) {
  if (o.world != nullptr && o.order == scheduling::work_stealing) o.order = scheduling::fifo;
  if (o.workers == 0) {
    constexpr std::size_t most = detail::idle_set::most_workers;
    o.workers = o.order == scheduling::fifo ? 1 : std::min(detail::cpu_count(), most);
  }
  if (o.workers > detail::idle_set::most_workers) {
    bad_option("workers is " + std::to_string(o.workers) + ", at most " +
               std::to_string(detail::idle_set::most_workers) + " are possible");
  }
  if (o.stack_size < detail::stack_pool::smallest || o.stack_size > detail::stack_pool::largest) {
    bad_option("stack_size is " + std::to_string(o.stack_size) + ", possible are " +
               std::to_string(detail::stack_pool::smallest) + " to " + std::to_string(detail::stack_pool::largest));
  }
  if (o.offload_threads == 0) o.offload_threads = detail::cpu_count();
  if (o.offload_threads > 4096)
    bad_option("offload_threads is " + std::to_string(o.offload_threads) + ", at most 4096");
  if (o.blocking_threads_max == 0) bad_option("blocking_threads_max is 0, at least 1 is needed");
  if (o.blocking_threads_max > 4096) {
    bad_option("blocking_threads_max is " + std::to_string(o.blocking_threads_max) + ", at most 4096");
  }
  if (o.offload_queue == 0) bad_option("offload_queue is 0, at least 1 is needed");
  if (o.order == scheduling::fifo && o.workers != 1) bad_option("scheduling::fifo needs workers to be 1");
  if (o.order == scheduling::forced_migration && o.workers < 2) {
    bad_option("scheduling::forced_migration needs at least 2 workers");
  }
  if (o.world != nullptr && o.workers != 1) bad_option("an environment needs workers to be 1");
  return o;
}

}  // namespace

namespace detail {

admission::admission(scheduler& home) : home_(home) {
  if (!home_.enter()) {
    throw runtime_stopped("weft: the runtime '" + home_.options.name + "' is shutting down and takes no new fibers");
  }
}

admission::~admission() { home_.leave(); }

void check_run_outside() {
  if (current_fiber() != nullptr) {
    throw error("weft::run: called inside a fiber; call the function itself, or weft::spawn it");
  }
}

}  // namespace detail

runtime::runtime(runtime_options options) : options_(checked(std::move(options))) { start(); }

runtime::~runtime() {
  if (scheduler_ == nullptr) return;
  if (detail::worker const* const w = detail::current_worker(); w != nullptr && &w->home == scheduler_.get()) {
    detail::fatal("a runtime is destroyed on one of its own fibers, which would wait for itself");
  }
  (void)stop(never);
}

void runtime::start() {
  std::lock_guard const lock{mutex_};
  if (scheduler_ != nullptr) throw error("weft::runtime::start: the runtime '" + options_.name + "' is running");
  scheduler_ = std::make_unique<detail::scheduler>(options_);
}

bool runtime::stop(time_point deadline) {
  if (scheduler_ == nullptr) return true;
  if (detail::worker const* const w = detail::current_worker(); w != nullptr && &w->home == scheduler_.get()) {
    throw error("weft::runtime::shutdown: called on one of the runtime's own fibers, which would wait for itself");
  }
  scheduler_->stop_admission();
  if (!scheduler_->drain(deadline)) return false;
  std::unique_ptr<detail::scheduler> drained;
  {
    std::lock_guard const lock{mutex_};
    drained = std::move(scheduler_);
  }
  return true;  // and takes the threads down, without the lock
}

detail::admission runtime::admit() const {
  std::lock_guard const lock{mutex_};
  if (scheduler_ == nullptr) throw runtime_stopped("weft: the runtime '" + options_.name + "' is not running");
  return detail::admission{*scheduler_};
}

std::size_t runtime::workers() const noexcept { return options_.workers; }

std::size_t runtime::live_fibers() const noexcept {
  std::lock_guard const lock{mutex_};
  return scheduler_ != nullptr ? scheduler_->live_fibers() : 0;
}

}  // namespace weft
