#pragma once
/// @file
/// Deterministic simulation: a whole program on one worker, in virtual time, where a seed decides which of the ready
/// fibers is next. The same seed gives the same run, step by step, so that a failure found by trying many seeds can be
/// had again from its seed alone.
///
/// A simulation is closed: nothing outside of it takes part. offload() runs its callable in place, after some
/// turns for others, and in no time but what it spend()s (a wait in it parks the calling fiber, one that polls its stop
/// token must yield or spend() in between, and with `abandon_on_cancel`, too, the caller stays until it has ended);
/// sockets and pipes are those of a simulated network (weft/io/testing/simulated_network.hpp), if there is one, files
/// those of a simulated file system (simulated_files.hpp), if there is one, and
/// waiting for a real descriptor throws `error`; a wake from another thread aborts. What a program takes from outside
/// by itself is its own to avoid: real clocks (ask testing::now()), random_device, the order of addresses.

#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0::testing {

/// What a simulation throws in which all fibers wait, and nothing will ever wake them.
using weft::deadlock;

/// Choices for a simulation.
struct simulation_options {
  /// Sizes, names and handlers; `workers`, `order` and `world` are the simulation's own.
  runtime_options runtime{};
  /// Keeps what happens, for print_trace(); otherwise only its hash.
  bool keep_trace = false;
  /// Says on stderr which seed failed, and how.
  bool report_failure = true;
};

class simulated_world;

/// Runs programs as `seed` decides. One thread uses it at a time.
class simulation {
public:
  explicit simulation(std::uint64_t seed, simulation_options options = {});
  simulation(simulation&& other) noexcept;
  simulation& operator=(simulation&& other) noexcept;
  ~simulation();

  /// Runs `f()` as the first fiber of a runtime of its own; when it returns, what it left behind is cancelled and
  /// joined, and the runtime is taken down. Each call begins anew from the seed.
  /// @returns what `f` returns, or throws what it throws, having told seed and hash on stderr
  /// @throws deadlock  if all fibers waited for good. They have then been cancelled. If that does not end them, the
  ///   process is aborted, with the same message
  /// @throws error  inside a fiber; otherwise as runtime's constructor and runtime::spawn()
  template <class F>
    requires spawnable<F>
  weft::detail::spawn_result<F> run(F&& f) {
    using result = weft::detail::spawn_result<F>;
    weft::detail::check_callable<std::decay_t<F>>(f);
    runtime rt{begin()};
    auto first = rt.spawn([held = std::decay_t<F>(std::forward<F>(f))]() mutable -> result {
      ending const at_the_end;
      auto call = std::move(held);  // destroyed before what is left behind is ended
      return std::invoke(std::move(call));
    });
    first.wait();
    rt.shutdown();  // its thread has ended: all that it wrote is ours
    finish(first.exception());
    return first.get();
  }

  /// Takes part in the runs that follow; for a simulated network or file system, which does it by itself. Of two of a
  /// kind the later one counts.
  void attach(std::shared_ptr<weft::detail::simulated_outside> outside);

  [[nodiscard]] std::uint64_t seed() const noexcept;
  /// A digest of all that happened in the last run: each choice, each step of a fiber and what it had waited for, each
  /// jump of time. Equal runs have equal hashes.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;
  /// Steps of fibers in the last run, from one wait to the next.
  [[nodiscard]] std::uint64_t steps() const noexcept;
  /// How long the last run took, in its own time.
  [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept;
  /// Prints what happened in the last run, a line each; with `keep_trace` only. Fibers are numbered as they were
  /// spawned, from 0, whatever ran before in the process.
  void print_trace(std::FILE* to = stderr) const;

private:
  /// On the first fiber: ends all others.
  struct ending {
    ending() = default;
    ending(ending const&) = delete;
    ~ending();
  };

  runtime_options begin();
  void finish(std::exception_ptr const& error) const;

  std::shared_ptr<simulated_world> world_;
  simulation_options options_;
};

}  // namespace weft::inline v0::testing
