/// @file
/// A caller's way through a pool.

#include "call_in_place.hpp"
#include "fork_guard.hpp"
#include "job_pool.hpp"
#include "sanitizers.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/waiter.hpp>

#include <optional>

namespace weft::inline v0::detail {

namespace {

/// Whether nothing waits for this worker's time. Only where fibers may run in any order and on any worker: elsewhere a
/// caller that does not park would be seen.
bool may_hold_up(worker& w) noexcept {
  under_identity const scheduler_code{w.identity};
  return w.home.options.order == scheduling::work_stealing && !w.others_ready() && w.home.injected.empty();
}

/// Looks for the end of the job for a moment, where nothing else is to do.
/// @returns whether it has ended, and the caller has not been cancelled meanwhile: then it goes the way of all who wait
bool spin_for_end(job_pool& pool, offload_job& job) noexcept {
  // Asked anew: to wait for room may have changed it.
  if (!may_hold_up(*current_worker()) || !pool.callers_spin.spin([&job] { return job.end.flags() != 0; })) return false;
  job.end.wait_unlocked();  // by the pool's thread, whose last step it is
  return !this_fiber::cancel_requested();
}

wake_cause wait_for_end(offload_job& job, cancellation mode) {
  waiter waiting{"offload", mode};
  wait_node node{waiting};
  {
    wait_list::section end{job.end};
    if (end.flags() != 0) return wake_cause::notified;
    end.push_back(node);
  }
  auto const cause = waiting.wait();
  if (cause == wake_cause::notified) {
    job.end.wait_unlocked();  // as above
  } else {
    wait_list::section end{job.end};
    end.remove(node);
  }
  return cause;
}

/// The caller goes, and the job, which runs, stays.  @returns false if it has ended meanwhile
bool leave(offload_job& job) noexcept {
  scheduler* const home = job.home;  // null: a thread leaves, in a scope of its own, and no runtime waits for the job
  if (home != nullptr) home->left.add(job);  // first: once `left` is set, the job may be gone
  {
    wait_list::section end{job.end};
    if (end.flags() == 0) {
      end.set_flags(offload_job::left);
      return true;
    }
  }
  if (home != nullptr) {
    home->left.remove(job);
    home->left.done();
  }
  return false;
}

/// A caller in a pool of the user's own, whose destructor waits for it.
class visit {
public:
  explicit visit(job_pool& pool) : pool_(pool.of_runtime() ? nullptr : &pool) {
    if (pool_ == nullptr || pool_->enter()) return;
    struct left {
      job_pool* pool;
      ~left() { pool->leave(); }
    } const last{pool_};  // after which the pool may go
    throw runtime_stopped("weft: the offload pool '" + pool_->name() + "' has been shut down and takes no more calls");
  }
  visit(visit const&) = delete;
  ~visit() {
    if (pool_ != nullptr) pool_->leave();
  }
  /// A job that has been left stands for the caller.
  void hand_over() noexcept { pool_ = nullptr; }

private:
  job_pool* pool_;
};

job_outcome pass(job_pool& pool, offload_job& job, std::stop_source& stop) {
  visit inside{pool};
  check_cancelled();
  bool const soon = job.home != nullptr && pool.is_looking();
  pool.submit(job);
  if (soon && spin_for_end(pool, job)) return job_outcome::ended;
  bool was_cancelled = false;
  try {
    was_cancelled = wait_for_end(job, cancellation::heeded) == wake_cause::cancelled;
  } catch (cancelled const&) {
    was_cancelled = true;  // between submit() and here
  }
  if (!was_cancelled) return job_outcome::ended;
  stop.request_stop();
  if (pool.withdraw(job)) return job_outcome::cancelled;
  if (job.may_be_left) {
    if (leave(job)) {
      inside.hand_over();
      return job_outcome::left;
    }
    job.end.wait_unlocked();  // as above
    report_failure(job);
    return job_outcome::cancelled;
  }
  (void)wait_for_end(job, cancellation::ignored);  // the job refers to our stack
  report_failure(job);                             // which the cancellation would hide
  return job_outcome::cancelled;
}

/// How many turns others have before the job runs.
std::size_t choose_turns(worker& w) noexcept {
  under_identity const scheduler_code{w.identity};
  return w.home.world->choose(4) % 4;
}

/// After some turns for others, who may cancel it meanwhile.
/// @param pool  the user's own, or null: it counts its calls wherever they run
job_outcome run_in_place(job_pool* pool, offload_job& job, std::stop_source& stop) {
  std::optional<visit> inside;
  if (pool != nullptr) inside.emplace(*pool);
  check_cancelled();
  for (auto turns = choose_turns(*current_worker()); turns > 0; --turns) {
    this_fiber::yield();
    check_cancelled();
  }
  {
    context_scope const of_its_own{context_ref::current()};
    call_in_place const here{stop};
    job.run();
  }
  if (!this_fiber::cancel_requested()) return job_outcome::ended;
  stop.request_stop();
  report_failure(job);
  return job_outcome::cancelled;
}

}  // namespace

std::string_view caller_name() noexcept {
  fiber_record const* const self = current_fiber();
  char const* const name = self != nullptr ? self->name() : nullptr;
  return name != nullptr ? name : "";
}

job_outcome pass_job(job_route route, offload_job& job, std::stop_source& stop, bool may_leave) {
  worker* const w = current_worker();
  fiber_record const* const self = w != nullptr ? w->current.get() : nullptr;
  job_pool* pool = route.pool;
  if (self == nullptr) {
    check_not_forked();
    // Who runs within a job of the pool holds a thread of it already, and would wait for itself if there is no other.
    offload_job* const outer = w == nullptr ? job_of_this_thread() : nullptr;
    for (offload_job const* at = outer; at != nullptr; at = at->within) {
      if (pool != nullptr ? at->pool != pool : !at->pool->of_runtime()) continue;
      context_scope const of_its_own{context_ref::current()};
      job.run();
      return job_outcome::ended;
    }
    if (pool == nullptr) throw no_runtime("weft::offload: not called on a fiber");
    job.within = outer;
  } else {
    job.home = &w->home;
    if (w->home.world != nullptr && w->home.world->calls_in_place()) return run_in_place(pool, job, stop);
    if (pool == nullptr) {
      pool = route.of_runtime == job_route::kind::computing ? &w->home.offload : &w->home.blocking;
    }
    job.caller = self->id;
    if (char const* const name = self->name(); !may_leave && name != nullptr) job.caller_name = name;
  }
  job.pool = pool;
  job.may_be_left = may_leave && job.within == nullptr;  // from within another call it would refer to that
  job.context = context_ref::current();
  return pass(*pool, job, stop);
}

}  // namespace weft::inline v0::detail
