#pragma once
/// @file
/// Counting semaphores. The count and the line of those who wait are under one lock, which is one word. A permit that
/// is given back goes to the first in line and not back to the count, so that nobody passes another.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace weft::inline v0 {

namespace detail {
class semaphore_wait;
}

class scoped_permit;

/// A number of permits, as `std::counting_semaphore` and asyncio's `Semaphore`.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that was done before release() is visible to whoever gets the permit.
/// @par Fairness
/// First come, first served.
class semaphore {
public:
  /// @param permits  to begin with
  /// @throws std::invalid_argument  for a negative number
  explicit semaphore(std::ptrdiff_t permits);
  semaphore(semaphore const&) = delete;
  semaphore& operator=(semaphore const&) = delete;
  /// Aborts with a message if somebody waits.
  ~semaphore();

  /// Waits for a permit. A cancellation point, even where it need not wait; cancelled means that none was taken.
  void acquire() { (void)acquire_until_(never); }
  /// Takes a permit if there is one and nobody waits for it. Never waits.
  [[nodiscard]] bool try_acquire() noexcept;
  /// Waits at most `limit`; with 0 it only tries.  @returns whether there is a permit. A cancellation point.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> limit) {
    return acquire_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// Waits at most until `deadline`.  @returns whether there is a permit. A cancellation point.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> deadline) {
    return acquire_until_(detail::to_deadline(deadline));
  }
  /// A permit that is given back at the end of its scope. A cancellation point, as acquire().
  [[nodiscard]] scoped_permit acquire_scoped();
  /// try_acquire(); the permit is given back at the end of its scope.  @returns nothing if there was none
  [[nodiscard]] std::optional<scoped_permit> try_acquire_scoped() noexcept;
  /// try_acquire_for(), likewise.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<scoped_permit> try_acquire_scoped_for(std::chrono::duration<Rep, Period> limit);
  /// try_acquire_until(), likewise.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<scoped_permit> try_acquire_scoped_until(
      std::chrono::time_point<Clock, Duration> deadline);

  /// Gives `permits` back, or adds them. Does not wait.
  /// @throws std::invalid_argument  for a negative number; std::overflow_error  for more than max()
  void release(std::ptrdiff_t permits = 1);

  /// Permits that nobody has. A hint where others use it at the same time.
  [[nodiscard]] std::ptrdiff_t value() const noexcept;
  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

protected:
  semaphore(std::ptrdiff_t permits, std::ptrdiff_t most);

private:
  friend class detail::semaphore_wait;
  bool acquire_until_(time_point deadline);
  bool take(detail::wait_list::section const& line) noexcept;

  mutable detail::wait_list list_;
  std::ptrdiff_t count_;       // guarded by the list's lock; 0 while anybody waits
  std::ptrdiff_t const most_;  // that there may be
};

/// A semaphore that does not take more permits back than it gave out, as asyncio's `BoundedSemaphore`.
class bounded_semaphore : public semaphore {
public:
  /// @throws std::invalid_argument  for a negative number
  explicit bounded_semaphore(std::ptrdiff_t permits) : semaphore(permits, permits) {}
  /// As semaphore::release().
  /// @throws std::overflow_error  if there would be more than at the beginning; then nothing has changed
  using semaphore::release;
};

/// A permit of a semaphore, which outlives it. Moves; what was moved from holds none. It alone gives the permit back:
/// if somebody else has done so, to a `bounded_semaphore`, that one's error has nowhere to go, and ends the process.
class [[nodiscard]] scoped_permit {
public:
  /// Takes over one that has been acquired.
  explicit scoped_permit(semaphore& from) noexcept : from_(&from) {}
  scoped_permit(scoped_permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
  scoped_permit& operator=(scoped_permit&& other) noexcept {
    if (this != &other) {
      release();
      from_ = std::exchange(other.from_, nullptr);
    }
    return *this;
  }
  ~scoped_permit() { release(); }

  /// Gives it back now.
  void release() noexcept {
    if (from_ != nullptr) std::exchange(from_, nullptr)->release();
  }

private:
  semaphore* from_;
};

inline scoped_permit semaphore::acquire_scoped() {
  acquire();
  return scoped_permit{*this};
}

inline std::optional<scoped_permit> semaphore::try_acquire_scoped() noexcept {
  if (!try_acquire()) return std::nullopt;
  return std::optional<scoped_permit>{std::in_place, *this};
}

template <class Rep, class Period>
std::optional<scoped_permit> semaphore::try_acquire_scoped_for(std::chrono::duration<Rep, Period> limit) {
  if (!try_acquire_for(limit)) return std::nullopt;
  return std::optional<scoped_permit>{std::in_place, *this};
}

template <class Clock, class Duration>
std::optional<scoped_permit> semaphore::try_acquire_scoped_until(std::chrono::time_point<Clock, Duration> deadline) {
  if (!try_acquire_until(deadline)) return std::nullopt;
  return std::optional<scoped_permit>{std::in_place, *this};
}

}  // namespace weft::inline v0
