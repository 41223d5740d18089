#pragma once
/// @file
/// `shared_mutex`: one writer, or many readers, in the order in which they came: a reader that comes while a writer
/// waits gets in behind it. The state and the line are under one lock, which is one word.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>
#include <cstddef>

namespace weft::inline v0 {

/// As `std::shared_timed_mutex`, for `std::unique_lock` and `std::shared_lock`. A fiber may go on on another thread
/// while it holds a lock.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Cancellation
/// Locking is a cancellation point where it has to wait; cancelled means that the lock is not ours.
/// @par Fairness
/// First come, first served; readers that stand together in line get in together.
class shared_mutex {
public:
  shared_mutex() noexcept = default;
  shared_mutex(shared_mutex const&) = delete;
  shared_mutex& operator=(shared_mutex const&) = delete;
  /// Aborts with a message if somebody holds a lock.
  ~shared_mutex();

  /// Waits until nobody else holds a lock.
  void lock() { (void)lock_until_(false, never); }
  /// Never waits.
  [[nodiscard]] bool try_lock() noexcept { return try_lock_(false); }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether the lock is ours
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> limit) {
    return lock_until_(false, detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the lock is ours
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return lock_until_(false, detail::to_deadline(deadline));
  }
  /// By who holds the lock, on whatever thread. Does not wait. Aborts with a message if nobody holds it.
  void unlock() noexcept;

  /// Waits until no writer holds the lock, or came before.
  void lock_shared() { (void)lock_until_(true, never); }
  /// Never waits.
  [[nodiscard]] bool try_lock_shared() noexcept { return try_lock_(true); }
  /// Waits at most `limit`; with 0 it only tries.  @returns whether the lock is ours
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> limit) {
    return lock_until_(true, detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether the lock is ours
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> deadline) {
    return lock_until_(true, detail::to_deadline(deadline));
  }
  /// By one who holds a shared lock. Does not wait. Aborts with a message if nobody holds one.
  void unlock_shared() noexcept;

private:
  static constexpr std::ptrdiff_t writing = -1;

  bool take(detail::wait_list::section const& line, bool shared) noexcept;
  bool try_lock_(bool shared) noexcept;
  bool lock_until_(bool shared, time_point deadline);
  detail::wait_node* admit(detail::wait_list::section& line) noexcept;

  detail::wait_list line_;
  std::ptrdiff_t holders_ = 0;  // readers, or `writing`; guarded by the line's lock
};

}  // namespace weft::inline v0
