#include "job_pool.hpp"

#include "fork_guard.hpp"
#include "scheduler.hpp"
#include "signal_mask.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <cstdio>
#include <ctime>
#include <new>
#include <pthread.h>
#include <utility>

namespace weft::inline v0::detail {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

thread_local offload_job* this_job = nullptr;  // of a pool's thread; a fiber never asks, for it may change its thread

/// Coarse: good enough for ages, and several times cheaper than the exact one.
std::int64_t coarse_nanoseconds() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

[[gnu::noinline]] offload_job* job_of_this_thread() noexcept { return this_job; }

job_pool::job_pool(job_pool_options options) : options_(std::move(options)) {}

job_pool::~job_pool() { end_threads(); }

bool job_pool::is_mine() const noexcept {
  for (offload_job const* job = job_of_this_thread(); job != nullptr; job = job->within) {
    if (job->pool == this) return true;
  }
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------
// The queue. All under the lock.
// ---------------------------------------------------------------------------------------------------------------------

void job_pool::append(offload_job& job) noexcept {
  job.next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = &job;
  tail_ = &job;
  queued_.store(queued() + 1, std::memory_order_relaxed);  // a hint for who spins; the lock orders the rest
}

/// A place in the queue has become free: it goes to the oldest that waits for one. One that has been cancelled
/// meanwhile loses its claim.  @returns who is to be woken when the lock has been released, or null
waiter* job_pool::admit() noexcept {
  wait_list::section list{room_};
  while (wait_node* const node = list.pop_front()) {
    if (!node->owner->claim()) continue;
    append(*reinterpret_cast<waiting_for_room*>(node)->job);
    return node->owner;
  }
  return nullptr;
}

void job_pool::unlink(sleeper& s) noexcept {
  (s.prev != nullptr ? s.prev->next : sleepers_) = s.next;
  if (s.next != nullptr) s.next->prev = s.prev;
  s.linked = false;
  --sleeping_;
}

/// If more jobs are queued than threads are coming: takes the newest sleeper.
/// @returns whom to wake when the lock has been released, or null
waiter* job_pool::call_sleeper() noexcept {
  if (queued() <= coming_) return nullptr;
  while (sleepers_ != nullptr) {
    sleeper& newest = *sleepers_;
    unlink(newest);
    // One whose idle time is over loses its claim; it is about to take the lock, and looks at the queue then.
    if (!newest.wait->claim()) continue;
    ++coming_;
    return newest.wait;
  }
  return nullptr;
}

/// For a thread that will not come soon: call_sleeper(), or if nobody sleeps, another is started where that is
/// possible.
waiter* job_pool::call_another() noexcept {
  waiter* const called = call_sleeper();
  if (called != nullptr || queued() <= coming_ || members_.size() >= options_.threads) return called;
  try {
    start_thread();
  } catch (...) {  // NOLINT: the job waits for one of those there are
  }
  return nullptr;
}

void job_pool::start_thread() {
  // First: once the thread is there, nothing may throw.
  auto const name = (options_.thread_name + std::to_string(members_.size() % 100)).substr(0, 15);
  blocked_signals const mask;  // inherited by the thread
  auto const me = members_.emplace(members_.end());
  try {
    me->thread = std::thread([this, me] { serve(me); });
  } catch (...) {
    members_.erase(me);
    throw;
  }
  ::pthread_setname_np(me->thread.native_handle(), name.c_str());
  ++coming_;
}

offload_job* job_pool::take(member& me) noexcept {
  offload_job* const job = head_;
  if (job == nullptr) return nullptr;
  head_ = job->next;
  if (head_ == nullptr) tail_ = nullptr;
  queued_.store(queued() - 1, std::memory_order_relaxed);  // as in append()
  job->since = coarse_nanoseconds();
  me.job = job;
  ++running_;
  return job;
}

// ---------------------------------------------------------------------------------------------------------------------
// Callers
// ---------------------------------------------------------------------------------------------------------------------

/// Under the lock: queues `job` if there is room, and sees to a thread for it.
/// @param called  set to whom to wake when the lock has been released, or null
bool job_pool::try_append(offload_job& job, waiter*& called) {
  if (coming_ + sleeping_ <= queued() && members_.size() < options_.threads) {
    try {
      start_thread();
    } catch (...) {
      if (members_.empty()) throw;  // with some threads, the job only waits longer
    }
  }
  if (queued() >= options_.queue) return false;
  append(job);
  called = call_sleeper();
  return true;
}

void job_pool::submit(offload_job& job) {
  waiter* called = nullptr;
  bool appended = false;
  {
    std::lock_guard const lock{mutex_};
    appended = try_append(job, called);
  }
  if (!appended) return submit_slowly(job);
  if (called != nullptr) called->wake();
}

void job_pool::submit_slowly(offload_job& job) {
  waiter self{"room in the offload queue"};
  waiting_for_room place{wait_node{self}, &job};
  waiter* called = nullptr;
  bool appended = false;
  {
    std::lock_guard const lock{mutex_};
    appended = try_append(job, called);
    if (!appended) {
      wait_list::section list{room_};
      list.push_back(place.node);
    }
  }
  if (called != nullptr) called->wake();
  if (appended) return;
  auto const cause = self.wait();
  if (cause == wake_cause::notified) return;  // admit() has queued the job
  {
    wait_list::section list{room_};
    list.remove(place.node);
  }
  self.rethrow(cause);
}

bool job_pool::withdraw(offload_job& job) noexcept {
  waiter* admitted = nullptr;
  {
    std::lock_guard const lock{mutex_};
    offload_job* before = nullptr;
    offload_job* at = head_;
    for (; at != nullptr && at != &job; at = at->next) before = at;
    if (at == nullptr) return false;
    (before != nullptr ? before->next : head_) = at->next;
    if (tail_ == at) tail_ = before;
    queued_.store(queued() - 1, std::memory_order_relaxed);  // as in append()
    admitted = admit();
  }
  if (admitted != nullptr) admitted->wake();
  return true;
}

bool job_pool::enter() noexcept {
  // acq_rel, as in leave() and close(): all that those did who left is visible to who finds the pool drained.
  return (users_.fetch_add(user, std::memory_order_acq_rel) & closed) == 0;
}

void job_pool::leave() noexcept {
  auto seen = users_.load(std::memory_order_relaxed);  // the exchange decides
  bool last = false;
  do {
    last = seen == closed + user;
  } while (!users_.compare_exchange_weak(seen, last ? closed + drained : seen - user, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
  if (last) drained_.set_flags_and_wake(wait_list::flag_a);  // otherwise the pool may be gone
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads
// ---------------------------------------------------------------------------------------------------------------------

void job_pool::serve(std::list<member>::iterator me) noexcept {
  std::unique_lock lock{mutex_};
  --coming_;
  offload_job* ended = nullptr;  // has run, and its caller is to be told
  for (;;) {
    // Not beside the remains of one that has been left: they may wait for what this thread would have taken.
    offload_job* const job = ended != nullptr && ended->may_be_left ? nullptr : take(*me);
    if (job == nullptr && ended != nullptr) {
      bool const spins = !is_looking() && !quit_;
      if (spins) {
        spinning_.store(true, relaxed);  // a hint to callers; among threads the lock orders it
        ++coming_;
      }
      lock.unlock();
      bool const was_left = tell_end(*ended);
      if (spins && !was_left) (void)threads_spin_.spin([this] { return queued() != 0; });
      lock.lock();
      if (spins) {
        spinning_.store(false, relaxed);
        --coming_;
      }
      if (was_left) {  // who left it may have left much to be destroyed
        waiter* const called = call_another();
        lock.unlock();
        if (called != nullptr) called->wake();
        clear_up(*ended);
        lock.lock();
      }
      ended = nullptr;
      continue;
    }
    if (job == nullptr) {
      if (!sleep(me, lock)) return;
      continue;
    }
    waiter* const admitted = admit();
    waiter* const called = call_sleeper();
    lock.unlock();
    if (ended != nullptr) (void)tell_end(*ended);  // it could not be left
    if (called != nullptr) called->wake();
    if (admitted != nullptr) admitted->wake();
    ended = nullptr;
    this_job = job;
    {
      context_scope const of_caller{std::move(job->context)};
      job->run();
    }
    expect_not_forked();
    this_job = nullptr;
    lock.lock();
    me->job = nullptr;
    --running_;
    ended = job;
  }
}

/// Sleeps until called.  @returns false if the thread is to end
bool job_pool::sleep(std::list<member>::iterator me, std::unique_lock<std::mutex>& lock) noexcept {
  if (quit_) return false;
  waiter self{"work for an offload pool"};
  sleeper place{&self, sleepers_};
  if (sleepers_ != nullptr) sleepers_->prev = &place;
  sleepers_ = &place;
  ++sleeping_;
  lock.unlock();
  bool const stays = options_.idle_time == time_point::duration::max();
  auto const cause = self.wait(stays ? never : add(clock::now(), options_.idle_time));
  lock.lock();
  if (cause == wake_cause::notified) {
    --coming_;
    return true;
  }
  if (place.linked) unlink(place);
  if (head_ != nullptr || quit_) return true;
  // The idle time is over. Who ends joins those that have ended before, so that at most one is left over.
  std::list<member> former;
  former.splice(former.begin(), ended_);
  ended_.splice(ended_.begin(), members_, me);
  lock.unlock();
  for (member& m : former) m.thread.join();
  return false;
}

/// @returns whether it has been left; if not, it is gone
bool job_pool::tell_end(offload_job& job) noexcept {
  bool left = false;
  {
    wait_list::section end{job.end};
    left = (end.flags() & offload_job::left) != 0;
    end.set_flags(end.flags() | offload_job::ended);
    while (wait_node* const node = end.pop_front()) (void)node->owner->notify();
  }  // if it has not been left, the job is gone once the section ends
  return left;
}

/// After a job that has been left. Its remains are the user's, and their destructors may call the pool: they are a part
/// of the job still.
void job_pool::clear_up(offload_job& job) noexcept {
  scheduler* const home = job.home;
  this_job = &job;
  report_failure(job);
  if (home != nullptr) home->left.remove(job);
  job.discard();
  this_job = nullptr;
  if (home != nullptr) home->left.done();
  if (!of_runtime()) leave();
}

void job_pool::end_threads() noexcept {
  {
    std::lock_guard const lock{mutex_};
    quit_ = true;
    while (sleepers_ != nullptr) {
      sleeper& s = *sleepers_;
      unlink(s);
      if (!s.wait->claim()) continue;
      ++coming_;
      s.wait->wake();
    }
  }
  // From here on no thread moves from one list to the other.
  for (auto* const list : {&members_, &ended_}) {
    for (member& m : *list) m.thread.join();
    list->clear();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Owners
// ---------------------------------------------------------------------------------------------------------------------

bool job_pool::close(time_point deadline, cancellation mode) {
  // As leave() does it, by one who is not counted.
  auto seen = users_.load(std::memory_order_relaxed);
  while (!users_.compare_exchange_weak(seen, seen == 0 ? closed + drained : seen | closed, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
  }
  if (seen == 0) drained_.set_flags_and_wake(wait_list::flag_a);
  if (drained_.flags() == 0) {
    waiter self{"the end of an offload pool", mode};
    wait_node node{self};
    bool waits = false;
    {
      wait_list::section list{drained_};
      waits = list.flags() == 0;
      if (waits) list.push_back(node);
    }
    auto const cause = waits ? self.wait(deadline) : wake_cause::notified;
    if (cause != wake_cause::notified) {
      {
        wait_list::section list{drained_};
        list.remove(node);
      }
      self.rethrow(cause);
      if (drained_.flags() == 0) return false;
    }
  }
  drained_.wait_unlocked();  // by who left last
  end_threads();
  return true;
}

void job_pool::await_refused() const noexcept {
  // acquire: as in enter().
  for (unsigned turn = 0; users_.load(std::memory_order_acquire) != closed + drained; ++turn) std_atomics::pause(turn);
}

void job_pool::for_each_running(std::function<void(running_job const&)> const& f) const {
  std::lock_guard const lock{mutex_};
  for (member const& m : members_) {
    if (m.job != nullptr) f(describe(*m.job));
  }
}

void job_pool::report(char const* doing) const noexcept try {
  std::size_t jobs = 0;
  std::string list;
  for_each_running([&](running_job const& job) {
    ++jobs;
    list.append("\n  ").append(to_string(job));
  });
  std::string text = "weft: the offload pool '";
  text.append(name()).append("' ").append(doing).append(": ").append(std::to_string(jobs));
  text.append(jobs == 1 ? " call runs" : " calls run");
  if (auto const waiting = queued(); waiting != 0) text.append(", ").append(std::to_string(waiting)).append(" queued");
  text.append(list).append("\n");
  std::fputs(text.c_str(), stderr);  // one call: nothing comes between the lines
} catch (std::bad_alloc const&) {
  std::fprintf(stderr, "weft: the offload pool '%s' %s; there is no memory to say for what\n", name().c_str(), doing);
}

std::size_t job_pool::threads() const noexcept {
  std::lock_guard const lock{mutex_};
  return members_.size();
}

std::size_t job_pool::sleeping() const noexcept {
  std::lock_guard const lock{mutex_};
  return sleeping_;
}

std::size_t job_pool::running() const noexcept {
  std::lock_guard const lock{mutex_};
  return running_;
}

void report_failure(offload_job const& job) noexcept {
  auto const error = job.failure();
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (cancelled const&) {
    return;        // as it was asked to
  } catch (...) {  // NOLINT: told below
  }
  auto const name = job.name.empty() ? std::string_view{"offload"} : job.name;
  if (job.home != nullptr) return job.home->records->report_unhandled(error, name);
  print_unhandled(error, name, {});
}

running_job describe(offload_job const& job) noexcept {
  return {job.pool->name(),
          job.name,
          job.caller_name,
          fiber_id{job.caller},
          std::chrono::nanoseconds{coarse_nanoseconds() - job.since},
          (job.end.flags() & offload_job::left) != 0};
}

std::string to_string(running_job const& job) {
  std::string text;
  auto const quoted = [&text](std::string_view name) { text.append("'").append(name).append("'"); };
  if (job.name.empty()) {
    text.append("a call");
  } else {
    quoted(job.name);
  }
  if (job.caller == fiber_id{}) {
    text.append(" of a thread");
  } else {
    text.append(" of fiber ").append(std::to_string(job.caller.value()));
    if (!job.caller_name.empty()) {
      text.append(" ");
      quoted(job.caller_name);
    }
  }
  if (job.left) text.append(", which has left it");
  auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(job.age).count();
  return text.append(", for ").append(std::to_string(ms)).append(" ms");
}

}  // namespace weft::inline v0::detail
