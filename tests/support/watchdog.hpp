#pragma once
/// @file
/// Ends the process, with a message, when nothing has happened for too long: a lost wake-up is a failure, not a wait
/// for the time limit of the whole run.

#include "scale.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace weft::test {

class watchdog {
public:
  explicit watchdog(std::string what, std::chrono::seconds patience = std::chrono::seconds{10})
      : what_(std::move(what)), patience_(under_sanitizer ? patience * 6 : patience), thread_([this] { watch(); }) {}
  watchdog(watchdog const&) = delete;
  ~watchdog() {
    {
      std::lock_guard const lock{mutex_};
      stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Something has happened. Any thread.
  void feed() noexcept { meals_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t meals() const noexcept { return meals_.load(std::memory_order_relaxed); }

private:
  void watch() {
    std::unique_lock lock{mutex_};
    auto seen = meals();
    while (!changed_.wait_for(lock, patience_, [this] { return stopped_; })) {
      auto const now = meals();
      if (now == seen) {
        std::fprintf(stderr, "watchdog: %s: no progress for %lld s after %llu steps\n", what_.c_str(),
                     static_cast<long long>(patience_.count()), static_cast<unsigned long long>(now));
        std::abort();
      }
      seen = now;
    }
  }

  std::string what_;
  std::chrono::seconds patience_;
  std::atomic<std::uint64_t> meals_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace weft::test
