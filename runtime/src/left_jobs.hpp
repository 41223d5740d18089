#pragma once
/// @file
/// The jobs that a runtime's fibers have left behind in pools, of its own or of others: its shutdown waits for them.

#include <weft/runtime/detail/offload_job.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace weft::inline v0::detail {

class left_jobs {
public:
  /// By the fiber that is about to leave `job`.
  void add(offload_job& job) noexcept {
    std::lock_guard const lock{mutex_};
    count_.fetch_add(1, std::memory_order_relaxed);  // the fiber is alive: nobody asks yet
    job.prev = nullptr;
    job.next = first_;
    if (first_ != nullptr) first_->prev = &job;
    first_ = &job;
  }

  /// The job has run, or has not been left after all; done() follows.
  void remove(offload_job& job) noexcept {
    std::lock_guard const lock{mutex_};
    (job.prev != nullptr ? job.prev->next : first_) = job.next;
    if (job.next != nullptr) job.next->prev = job.prev;
  }
  /// The job is gone, and with it the last use of the runtime.  release: pairs with none().
  void done() noexcept { count_.fetch_sub(1, std::memory_order_release); }

  /// acquire: pairs with done().
  [[nodiscard]] bool none() const noexcept { return count_.load(std::memory_order_acquire) == 0; }

  /// Calls `f` for each, under the lock.
  template <class F>
  void for_each(F&& f) const {
    std::lock_guard const lock{mutex_};
    for (offload_job const* job = first_; job != nullptr; job = job->next) f(*job);
  }

private:
  mutable std::mutex mutex_;  // guards `first_` and the links
  offload_job* first_ = nullptr;
  std::atomic<std::size_t> count_{0};
};

}  // namespace weft::inline v0::detail
