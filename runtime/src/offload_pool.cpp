#include <weft/runtime/offload_pool.hpp>

#include "cpu_count.hpp"
#include "fatal.hpp"
#include "job_pool.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <stdexcept>
#include <unistd.h>

namespace weft::inline v0 {

namespace {

[[noreturn]] void bad_pool_option(std::string const& what) {
  throw std::invalid_argument("weft::offload_pool_options: " + what);
}

detail::job_pool_options checked(offload_pool_options&& o) {
  constexpr std::size_t most = 4096;
  bool const elastic = o.growth == pool_growth::elastic;
  if (o.threads == 0) o.threads = elastic ? 512 : std::min(detail::cpu_count(), most);
  if (o.threads > most) bad_pool_option("threads is " + std::to_string(o.threads) + ", at most 4096 are possible");
  if (o.queue == 0) bad_pool_option("queue is 0, at least 1 is needed");
  if (o.idle_time.count() < 0) bad_pool_option("idle_time is negative");
  if (o.report_every.count() <= 0) bad_pool_option("report_every is not positive");
  detail::job_pool_options made{o.name, o.name.substr(0, 12) + "-", o.threads, o.queue};
  if (elastic) made.idle_time = o.idle_time;
  return made;
}

}  // namespace

offload_pool::offload_pool(offload_pool_options options) : report_every_(options.report_every), maker_(::getpid()) {
  pool_ = std::make_unique<detail::job_pool>(checked(std::move(options)));
}

offload_pool::~offload_pool() {
  if (maker_ != ::getpid()) {
    (void)pool_.release();
    return;
  }
  if (pool_->is_mine()) {
    detail::fatal("an offload pool is destroyed within one of its own calls, which would wait for itself");
  }
  detail::worker const* const w = detail::current_worker();
  // In virtual time a limit is over as soon as nothing else can run, however short the wait.
  bool const reports = w == nullptr || w->home.world == nullptr;
  while (!pool_->close(reports ? detail::deadline_after(report_every_) : never, cancellation::ignored)) {
    pool_->report("is being destroyed, and waits");
  }
  pool_->await_refused();
}

bool offload_pool::stop(time_point deadline) {
  if (pool_->is_mine()) {
    throw error("weft::offload_pool::shutdown: within a call of the pool '" + pool_->name() +
                "', which would wait for itself");
  }
  if (pool_->close(deadline, cancellation::heeded)) return true;
  pool_->report("is not done at the end of its shutdown's limit");
  return false;
}

std::string_view offload_pool::name() const noexcept { return pool_->name(); }
std::size_t offload_pool::threads() const noexcept { return pool_->threads(); }
std::size_t offload_pool::running() const noexcept { return pool_->running(); }
std::size_t offload_pool::queued() const noexcept { return pool_->queued(); }

}  // namespace weft::inline v0
