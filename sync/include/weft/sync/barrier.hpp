#pragma once
/// @file
/// `barrier`: a number of parties wait for each other, again and again. As asyncio's `Barrier`.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/error.hpp>

#include <chrono>
#include <cstddef>
#include <optional>

namespace weft::inline v0 {

/// The barrier that was waited for has been aborted, or reset meanwhile.
class broken_barrier : public error {
public:
  using error::error;
};

/// Lets nobody through before all have come, and is then ready for the next round.
/// @par Thread safety
/// Any member, from any fiber of any runtime and any thread, at once; only the destructor needs to be alone.
/// @par Memory ordering
/// All that the parties did before they came is visible to each of them afterwards.
/// @par Cancellation
/// Waiting is a cancellation point, even where it need not wait. Who is cancelled, or whose time is up, has not come;
/// the others wait on. If the last one came first, it has gone through.
class barrier {
public:
  /// @throws std::invalid_argument  if `parties` is not positive
  explicit barrier(std::ptrdiff_t parties);
  barrier(barrier const&) = delete;
  barrier& operator=(barrier const&) = delete;
  /// Aborts with a message if somebody waits.
  ~barrier();

  /// Waits until all have come.
  /// @returns a number from 0 to parties() - 1, another for each of a round: the order in which they came
  /// @throws broken_barrier
  std::ptrdiff_t wait() { return wait_until_(never); }
  /// Goes through as the last if all others have come. Never waits.
  /// @returns what wait() would; nothing if somebody has not come yet, and then it has not come either
  /// @throws broken_barrier
  [[nodiscard]] std::optional<std::ptrdiff_t> try_wait();
  /// wait(), at most for `limit`; with 0 it goes through only as the last.  @throws timeout_error, broken_barrier
  template <class Rep, class Period>
  std::ptrdiff_t wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// wait(), at most until `deadline`.  @throws timeout_error, broken_barrier
  template <class Clock, class Duration>
  std::ptrdiff_t wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }
  /// wait(), under the name of std::barrier.
  void arrive_and_wait() { (void)wait(); }
  /// wait_for(), likewise.
  template <class Rep, class Period>
  void arrive_and_wait_for(std::chrono::duration<Rep, Period> limit) {
    (void)wait_for(limit);
  }
  /// wait_until(), likewise.
  template <class Clock, class Duration>
  void arrive_and_wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    (void)wait_until(deadline);
  }

  /// Breaks it: who waits, and who comes before reset(), gets `broken_barrier`. Does not wait.
  void abort() noexcept;
  /// Makes it as new: who waits gets `broken_barrier`. Does not wait.
  void reset() noexcept;
  [[nodiscard]] bool broken() const noexcept;
  [[nodiscard]] std::ptrdiff_t parties() const noexcept { return parties_; }
  /// How many have come in this round.
  [[nodiscard]] std::ptrdiff_t waiting() const noexcept;

private:
  std::ptrdiff_t wait_until_(time_point deadline);
  detail::wait_node* dismiss(detail::wait_list::section& line, bool as_broken) noexcept;
  bool comes_last(detail::wait_list::section& line, detail::wait_node*& others);
  void end_round(bool broken) noexcept;

  mutable detail::wait_list line_;  // its lock guards the rest
  std::ptrdiff_t const parties_;
  std::ptrdiff_t waiting_ = 0;
  bool broken_ = false;
};

}  // namespace weft::inline v0
