#pragma once
/// @file
/// What those who stand in front of the calls of sockets and of files have in common: what is to fail, and what has
/// been counted.

#include <weft/io/testing.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace weft::inline v0::testing {

/// Numbers of open descriptors. Those beyond its size, such as a simulated network may have, it does not know.
class open_numbers {
public:
  void insert(int number) noexcept { change(number, true); }
  void erase(int number) noexcept { change(number, false); }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
  void change(int number, bool open) noexcept {
    if (number < 0 || static_cast<std::size_t>(number) >= open_.size()) return;
    // relaxed: whoever opens and closes a number does so in order.
    bool const was = open_[static_cast<std::size_t>(number)].exchange(open, std::memory_order_relaxed);
    if (was != open)
      open ? size_.fetch_add(1, std::memory_order_relaxed) : size_.fetch_sub(1, std::memory_order_relaxed);
  }

  std::array<std::atomic<bool>, 65536> open_{};
  std::atomic<std::size_t> size_{0};
};

/// Which calls fail, counted from when it was made.
struct fault_plan {
  bool all_kinds = true;
  io_call which{};
  std::uint64_t first = 0;  // 0: none
  std::uint64_t last = 0;
  std::uint64_t seed = 0;
  std::uint32_t one_in = 0;  // 0: not at random
  std::vector<int> errors{};
  std::uint64_t seen = 0;

  /// @returns an error number, or 0
  [[nodiscard]] int next(io_call kind) noexcept {
    if (!all_kinds && kind != which) return 0;
    if (one_in != 0 && kind == io_call::close) return 0;
    auto const number = ++seen;
    if (one_in == 0) return number >= first && number <= last ? errors.front() : 0;
    auto const drawn = mixed(seed + number * 0x9E3779B97F4A7C15U);
    return drawn % one_in == 0 ? errors[(drawn >> 32U) % errors.size()] : 0;
  }

private:
  /// SplitMix64's last step (Vigna).
  [[nodiscard]] static constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31U);
  }
};

class fault_state {
public:
  fault_state() = default;
  fault_state(fault_state const&) = delete;

  open_numbers open;
  std::array<std::atomic<std::uint64_t>, io_calls> counts{};
  std::atomic<std::size_t> limit{0};
  std::atomic<std::int64_t> delay{0};  // of calls of files, in nanoseconds
  std::atomic<std::uint64_t> failed{0};

  /// @returns how many calls have failed by the plan that ends
  std::uint64_t set_plan(fault_plan to) noexcept {
    std::lock_guard const lock{mutex_};
    plan_ = std::move(to);
    // release: pairs with strike(), though the lock says it all: it is only so that no plan costs no lock.
    planned_.store(!plan_.errors.empty(), std::memory_order_release);
    return failed.exchange(0, std::memory_order_relaxed);  // relaxed: changes with mutex_ held only
  }

  /// Counts a call.  @returns what it fails with, or 0
  int strike(io_call which) noexcept {
    counts[static_cast<std::size_t>(which)].fetch_add(1, std::memory_order_relaxed);
    if (!planned_.load(std::memory_order_acquire)) return 0;
    std::lock_guard const lock{mutex_};
    int const error = plan_.errors.empty() ? 0 : plan_.next(which);
    if (error != 0) failed.fetch_add(1, std::memory_order_relaxed);
    return error;
  }

  /// `call()`, unless it fails.
  template <class Call>
  auto made(io_call which, Call&& call) noexcept -> decltype(call()) {
    int const error = strike(which);
    return error != 0 ? -error : call();
  }

private:
  std::atomic<bool> planned_{false};
  std::mutex mutex_;
  fault_plan plan_;  // guarded by mutex_
};

}  // namespace weft::inline v0::testing
