#pragma once
/// @file
/// The seam for determinism: what the scheduler asks of the world around it.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::inline v0 {

namespace detail {
class file_calls;    // io's
class system_calls;  // io's
}  // namespace detail

/// A fiber that is about to run, as environment::runs() learns of it.
struct fiber_step {
  std::uint64_t fiber = 0;                  ///< its id
  char const* waited_for = nullptr;         ///< null: it takes its first step, or had yielded
  wake_cause cause = wake_cause::notified;  ///< how that wait ended
};

/// A fiber that waits, as environment::stuck() learns of it.
struct waiting_fiber {
  std::uint64_t fiber = 0;          ///< its id
  char const* name = nullptr;       ///< null: none
  char const* waits_for = nullptr;  ///< a word or two, never null
  std::uint64_t joins = 0;          ///< the id of the fiber whose end it waits for; 0: none
};

/// Time and choice as a one-worker runtime sees them. A runtime without one uses the real clock and runs fibers in
/// order. All members are called on the worker alone.
class environment {
public:
  environment() = default;
  environment(environment const&) = delete;
  environment& operator=(environment const&) = delete;
  virtual ~environment() = default;

  /// The present; never goes back.
  [[nodiscard]] virtual time_point now() noexcept = 0;

  /// Which of `ready` fibers, counted in queue order, runs next.
  [[nodiscard]] virtual std::size_t choose(std::size_t ready) noexcept = 0;

  /// Nothing can run before `deadline` (`never`: before something from outside), or the running fiber holds up all
  /// others until then.
  /// @returns true if now() has become `deadline`; false to sleep in real time.
  [[nodiscard]] virtual bool skip_to(time_point deadline) noexcept = 0;

  /// Whether nothing outside of the runtime takes part in what happens in it, so that a run depends on this object
  /// alone. Then real descriptors cannot be waited for, a wake from another thread aborts, and fibers that all wait for
  /// good are told to stuck().
  [[nodiscard]] virtual bool closed() const noexcept { return false; }

  /// Whether offloaded calls run on their caller's fiber, in no time but what they spend (testing::spend()): where time
  /// is not that of threads, nobody knows how long a thread takes.
  [[nodiscard]] virtual bool calls_in_place() const noexcept { return closed(); }

  /// What takes the place of the system calls of io/, or null: nothing does.
  [[nodiscard]] virtual detail::system_calls* calls() noexcept { return nullptr; }
  /// The same of its calls to the file system.
  [[nodiscard]] virtual detail::file_calls* files() noexcept { return nullptr; }

  /// When something that is under way from outside arrives, as a timer would; `never`: nothing is. A simulated
  /// network's packets, say.
  [[nodiscard]] virtual time_point next_arrival() noexcept { return never; }

  /// Between two fibers: whatever is due by now() arrives.
  virtual void arrive() noexcept {}

  /// A part of the world tells what happens, by detail::tell_world(). `what`: a word or two, which live for ever.
  virtual void happens(char const* what, std::uint64_t number, std::int64_t detail) noexcept {
    (void)what;
    (void)number;
    (void)detail;
  }

  /// `step.fiber` runs next.
  virtual void runs(fiber_step const& step) noexcept { (void)step; }

  /// In a closed world all fibers wait, and no deadline is set. Those are `fibers`; they are cancelled when this
  /// returns.
  /// @param hopeless  they have been cancelled, and wait all the same: the process is aborted when this returns
  virtual void stuck(std::span<waiting_fiber const> fibers, bool hopeless) noexcept {
    (void)fibers;
    (void)hopeless;
  }
};

namespace detail {
/// Of the runtime on whose worker the caller runs, or null.
[[nodiscard]] environment* current_environment() noexcept;

/// Calls environment::happens(), where the caller runs in an environment: on a fiber, or in arrive().
void tell_world(char const* what, std::uint64_t number, std::int64_t detail) noexcept;

/// What a simulation has in place of the world outside, or of a part of it.
class simulated_outside {
public:
  simulated_outside() = default;
  simulated_outside(simulated_outside const&) = delete;
  virtual ~simulated_outside() = default;

  /// A run is about to begin: all that was before is gone.
  virtual void begin(std::uint64_t seed) noexcept = 0;
  /// As in environment.
  [[nodiscard]] virtual system_calls* calls() noexcept { return nullptr; }
  [[nodiscard]] virtual file_calls* files() noexcept { return nullptr; }
  [[nodiscard]] virtual time_point next_arrival() noexcept { return never; }
  virtual void arrive(time_point now) noexcept { (void)now; }
};
}  // namespace detail

}  // namespace weft::inline v0
