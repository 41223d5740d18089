#pragma once
/// @file
/// OS threads for calls that compute, behind a bounded queue.

#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/offload.hpp>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weft::detail {

class offload_pool {
public:
  /// Threads start with the first job.
  offload_pool(std::size_t threads, std::size_t queue, std::string name);
  offload_pool(offload_pool const&) = delete;
  /// All jobs must have ended.
  ~offload_pool();

  /// Queues `job`, waiting for room; a cancellation point.
  /// @throws std::system_error, std::bad_alloc  if no thread can be had for the first job
  void submit(offload_job& job);
  /// Takes `job` out again.  @returns false if it has been started
  [[nodiscard]] bool withdraw(offload_job& job) noexcept;
  /// Whether the calling thread is one of the pool's.
  [[nodiscard]] bool is_mine() const noexcept;

private:
  struct waiting_for_room {
    wait_node node;
    offload_job* job;
  };
  void serve(std::size_t index) noexcept;
  void append(offload_job& job) noexcept;
  void admit() noexcept;

  std::size_t const most_threads_;
  std::size_t const capacity_;
  std::string const name_;
  std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  std::vector<std::thread> threads_;
  offload_job* head_ = nullptr;
  offload_job* tail_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  wait_list room_;  // callers that wait for room; its own lock
};

}  // namespace weft::detail
