#include <weft/runtime/runtime.hpp>

#include "affinity.hpp"
#include "cpu_count.hpp"
#include "fatal.hpp"
#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "shadow_stack.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <stdexcept>
#include <system_error>

namespace weft::inline v0 {

namespace {

[[noreturn]] void bad_option(std::string const& what) { throw std::invalid_argument("weft::runtime_options: " + what); }

void check_affinity(std::vector<int> const& cpus) {
  auto const allowed = detail::current_cpus();
  for (int const cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) continue;
    bad_option("affinity names CPU " + std::to_string(cpu) + ", which this process may not use");
  }
}

void check_shadow_stack() {
  // relaxed: one function or the other.
  if (!detail::shadow_stack_probe.load(std::memory_order_relaxed)()) return;
  throw std::system_error(std::make_error_code(std::errc::not_supported),
                          "weft::runtime: hardware shadow stacks are on for this thread, and fibers cannot be switched "
                          "with them; start the program without (glibc takes that from GLIBC_TUNABLES)");
}

/// Puts in the defaults that depend on the machine, and refuses what cannot be.
runtime_options checked(runtime_options o) {
  if (o.world != nullptr && o.order == scheduling::work_stealing) o.order = scheduling::fifo;
  detail::unpinned const all_cpus;
  check_affinity(o.affinity);
  if (o.workers == 0 && !o.affinity.empty()) o.workers = o.order == scheduling::fifo ? 1 : o.affinity.size();
  if (o.workers == 0) {
    constexpr std::size_t most = detail::idle_set::most_workers;
    o.workers = o.order == scheduling::fifo || o.guest ? 1 : std::min(detail::cpu_count(), most);
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
  if (o.spare_workers > 64) {
    bad_option("spare_workers is " + std::to_string(o.spare_workers) + ", at most 64 are possible");
  }
  if (o.blocking_threads_max == 0) bad_option("blocking_threads_max is 0, at least 1 is needed");
  if (o.blocking_threads_max > 4096) {
    bad_option("blocking_threads_max is " + std::to_string(o.blocking_threads_max) + ", at most 4096");
  }
  if (o.offload_queue == 0) bad_option("offload_queue is 0, at least 1 is needed");
  if (o.order == scheduling::fifo && o.workers != 1) bad_option("scheduling::fifo needs workers to be 1");
  if (o.order == scheduling::forced_migration && o.workers < 2) {
    bad_option("scheduling::forced_migration needs at least 2 workers");
  }
  if (o.guest && o.workers != 1) bad_option("a guest needs workers to be 0 or 1");
  if (o.guest && o.world != nullptr) bad_option("a guest cannot have an environment: its time is the loop's");
  if (o.world != nullptr && o.workers != 1) bad_option("an environment needs workers to be 1");
  return o;
}

}  // namespace

namespace detail {

admission::admission(scheduler& home) : home_(home) {
  if (!home_.entrance.enter()) {
    throw runtime_stopped("weft: the runtime '" + home_.options.name + "' is shutting down and takes no new fibers");
  }
}

admission::~admission() { home_.entrance.leave(); }

void check_run_outside() {
  check_not_forked();
  if (current_fiber() != nullptr) {
    throw error("weft::run: called inside a fiber; call the function itself, or weft::spawn it");
  }
}

}  // namespace detail

namespace {

/// Whether the calling thread, of a pool, carries out what a fiber of `home` has offloaded: a shutdown waits for that,
/// also where the fiber has left it.
bool within_call_of(detail::scheduler const& home) noexcept {
  if (detail::current_worker() != nullptr) return false;
  for (auto const* job = detail::job_of_this_thread(); job != nullptr; job = job->within) {
    if (job->home == &home) return true;
  }
  return false;
}

}  // namespace

runtime::runtime(runtime_options options) : options_(checked(std::move(options))) { start(); }

runtime::~runtime() {
  if (scheduler_ == nullptr) return;
  if (detail::fork_watch::in_child()) {
    (void)scheduler_.release();  // its threads are the parent's
    return;
  }
  if (detail::worker const* const w = detail::current_worker(); w != nullptr && &w->home == scheduler_.get()) {
    detail::fatal("a runtime is destroyed on one of its own fibers, which would wait for itself");
  }
  if (within_call_of(*scheduler_)) {
    detail::fatal("a runtime is destroyed within a call that its own fiber has offloaded, and would wait for that");
  }
  (void)stop(never);
}

void runtime::start() {
  detail::check_not_forked();
  check_shadow_stack();
  auto const check_stopped = [this] {
    if (scheduler_ != nullptr) throw error("weft::runtime::start: the runtime '" + options_.name + "' is running");
  };
  {
    std::lock_guard const lock{mutex_};
    check_stopped();
  }
  // Without the lock: on_worker_start, which is waited for, may ask for the runtime.
  auto started = std::make_unique<detail::scheduler>(options_);
  std::lock_guard const lock{mutex_};
  check_stopped();
  scheduler_ = std::move(started);
}

bool runtime::stop(time_point deadline) {
  detail::check_not_forked();
  if (scheduler_ == nullptr) return true;
  if (detail::worker const* const w = detail::current_worker(); w != nullptr && &w->home == scheduler_.get()) {
    throw error("weft::runtime::shutdown: called on one of the runtime's own fibers, which would wait for itself");
  }
  if (deadline == never && within_call_of(*scheduler_)) {
    throw error(
        "weft::runtime::shutdown: called within a call that the runtime's own fiber has offloaded, without a "
        "limit: it would wait for itself");
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

void detail::throw_if_deadlocked(runtime const& rt) {
  if (!rt.options_.debug) return;
  std::lock_guard const lock{rt.mutex_};
  if (rt.scheduler_ != nullptr) rt.scheduler_->throw_if_deadlocked();
}

detail::admission runtime::admit() const {
  detail::check_not_forked();
  std::lock_guard const lock{mutex_};
  if (scheduler_ == nullptr) throw runtime_stopped("weft: the runtime '" + options_.name + "' is not running");
  return detail::admission{*scheduler_};
}

std::size_t runtime::workers() const noexcept { return options_.workers; }

std::size_t runtime::live_fibers() const noexcept {
  detail::expect_not_forked();
  std::lock_guard const lock{mutex_};
  return scheduler_ != nullptr ? scheduler_->live_fibers() : 0;
}

}  // namespace weft::inline v0
