#include "offload_pool.hpp"

#include "scheduler.hpp"
#include "signal_mask.hpp"
#include "worker.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <exception>
#include <pthread.h>

namespace weft::detail {

namespace {
thread_local offload_pool const* this_pool = nullptr;
}  // namespace

offload_pool::offload_pool(std::size_t threads, std::size_t queue, std::string name)
    : most_threads_(threads), capacity_(queue), name_(std::move(name)) {}

offload_pool::~offload_pool() {
  {
    std::lock_guard const lock{mutex_};
    stopping_ = true;
  }
  work_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool offload_pool::is_mine() const noexcept { return this_pool == this; }

void offload_pool::append(offload_job& job) noexcept {
  job.next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = &job;
  tail_ = &job;
  ++queued_;
}

void offload_pool::submit(offload_job& job) {
  waiter self{"room in the offload queue"};
  waiting_for_room place{wait_node{self}, &job};
  {
    std::lock_guard const lock{mutex_};
    if (idle_ <= queued_ && threads_.size() < most_threads_) {
      blocked_signals const mask;
      try {
        threads_.emplace_back([this, index = threads_.size()] { serve(index); });
      } catch (...) {                 // no thread, or no memory for one
        if (threads_.empty()) throw;  // with some threads, the job only waits longer
      }
    }
    if (queued_ < capacity_) {
      append(job);
      work_.notify_one();
      return;
    }
    wait_list::section list{room_};
    list.push_back(place.node);
  }
  auto const cause = self.wait();
  if (cause == wake_cause::notified) return;  // serve() has queued the job
  {
    wait_list::section list{room_};
    list.remove(place.node);
  }
  self.rethrow(cause);
}

/// A place in the queue has become free: it goes to the oldest that waits for one. One that has been cancelled
/// meanwhile loses its claim. Under the lock.
void offload_pool::admit() noexcept {
  wait_list::section list{room_};
  while (wait_node* const node = list.pop_front()) {
    if (!node->owner->claim()) continue;
    append(*reinterpret_cast<waiting_for_room*>(node)->job);
    work_.notify_one();
    node->owner->wake();
    return;
  }
}

bool offload_pool::withdraw(offload_job& job) noexcept {
  std::lock_guard const lock{mutex_};
  offload_job* before = nullptr;
  for (offload_job* at = head_; at != nullptr; before = at, at = at->next) {
    if (at != &job) continue;
    (before != nullptr ? before->next : head_) = at->next;
    if (tail_ == at) tail_ = before;
    --queued_;
    admit();
    return true;
  }
  return false;
}

void offload_pool::serve(std::size_t index) noexcept {
  this_pool = this;
  ::pthread_setname_np(::pthread_self(), (name_.substr(0, 9) + "-cpu" + std::to_string(index % 100)).c_str());
  std::unique_lock lock{mutex_};
  for (;;) {
    ++idle_;
    work_.wait(lock, [this] { return head_ != nullptr || stopping_; });
    --idle_;
    if (head_ == nullptr) return;
    offload_job& job = *head_;
    head_ = job.next;
    if (head_ == nullptr) tail_ = nullptr;
    --queued_;
    admit();
    lock.unlock();
    job.run();
    {
      wait_list::section end{job.end};
      end.set_flags(wait_list::flag_a);
      while (wait_node* const node = end.pop_front()) (void)node->owner->notify();
    }  // the job is gone once the section ends
    lock.lock();
  }
}

namespace {

/// How many turns others have before the job runs.
std::size_t choose_turns(worker& w) noexcept {
  under_identity const scheduler_code{w.identity};
  return w.home.world->choose(4) % 4;
}

/// In a closed world there are no other threads: the job runs on the caller's fiber, in no time, after some turns for
/// others, who may cancel it meanwhile.
bool run_in_place(offload_job& job, std::stop_source& stop) {
  check_cancelled();
  for (auto turns = choose_turns(*current_worker()); turns > 0; --turns) {
    this_fiber::yield();
    check_cancelled();
  }
  job.run();
  if (!this_fiber::cancel_requested() || std::uncaught_exceptions() != 0) return false;
  stop.request_stop();
  return true;
}

}  // namespace

bool run_offloaded(offload_job& job, std::stop_source& stop) {
  worker* const w = current_worker();
  fiber_record const* const self = current_fiber();
  if (self == nullptr) {
    if (this_pool != nullptr) {
      job.run();
      return false;
    }
    throw no_runtime("weft::offload: not called on a fiber");
  }
  if (w->home.world != nullptr && w->home.world->closed()) return run_in_place(job, stop);
  offload_pool& pool = w->home.offload;
  pool.submit(job);
  auto wait_for_end = [&job](cancellation mode) {
    waiter waiting{"offload", mode};
    wait_node node{waiting};
    {
      wait_list::section end{job.end};
      if (end.flags() != 0) return wake_cause::notified;
      end.push_back(node);
    }
    auto const cause = waiting.wait();
    if (cause == wake_cause::notified) {
      job.end.wait_unlocked();  // by the pool thread, whose last step it is
    } else {
      wait_list::section end{job.end};
      end.remove(node);
    }
    return cause;
  };
  bool was_cancelled = false;
  try {
    was_cancelled = wait_for_end(cancellation::heeded) == wake_cause::cancelled;
  } catch (cancelled const&) {
    was_cancelled = true;  // between submit() and here
  }
  if (!was_cancelled) return false;
  stop.request_stop();
  // The job refers to our stack: unless it has not begun, its end is waited for.
  if (!pool.withdraw(job)) (void)wait_for_end(cancellation::ignored);
  return true;
}

}  // namespace weft::detail
