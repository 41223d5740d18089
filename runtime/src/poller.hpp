#pragma once
/// @file
/// A worker's event loop: where it sleeps, and what it waits for besides fibers.
///
/// The loop is libuv's. It is run by its worker, or by a neighbour while the worker is busy; whoever runs it, or calls
/// libuv for it, holds its lock. Who wants a descriptor armed and finds the lock taken leaves a request, which is
/// served before the loop looks for events again. The only call without the lock is uv_async_send().

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>

#include <atomic>
#include <memory>

namespace weft::inline v0::detail {

class poller {
public:
  /// @throws std::system_error  when out of descriptors or memory
  poller();
  poller(poller const&) = delete;
  /// On any thread, once the worker's has ended.
  ~poller();

  /// Ends sleep(), or the next one. Any thread.
  void wake() noexcept;
  /// Sleeps until something is ready, wake() or `deadline`. The worker only.
  void sleep(time_point deadline) noexcept;
  /// Runs what is ready, without sleeping. The worker only.
  void poll() noexcept;
  /// The same from a neighbour, if nobody runs the loop now.
  void try_poll() noexcept;
  /// poll(), after which wake_descriptor() is readable when something is ready, after wake(), and from `deadline` on.
  /// The worker only.
  void poll_and_arm(time_point deadline) noexcept;
  [[nodiscard]] int wake_descriptor() const noexcept;
  /// wake_descriptor() is readable from now on, whatever has been sent and taken before. The worker only.
  void show_more() noexcept;

  /// How many directions of descriptors are armed. Any thread; a hint.
  [[nodiscard]] int watches() const noexcept { return armed_count_->load(std::memory_order_relaxed); }
  /// Without any, polling finds nothing.
  [[nodiscard]] bool watches_any() const noexcept { return watches() > 0; }

  /// Registers `d`, which is in use, with `home`, or finds that some loop has it, and arms it. On the worker that has
  /// the loop `own`, of the same runtime.
  /// @throws std::bad_alloc; std::system_error  for a descriptor that cannot be polled
  static void attach_and_arm(poller& own, poller& home, polled_descriptor& d, readiness what);
  /// No loop watches `d` any more, of which there is no use left. Any thread.
  static void detach(polled_descriptor& d) noexcept;

  struct core;  ///< see poller_core.hpp
  using registration = polled_descriptor::registration;

private:
  /// Under the core's lock: registers `d`, of which `seen` is known, or finds that another loop just has.
  [[nodiscard]] registration* attach(polled_descriptor& d, registration* seen);
  void run(bool may_sleep) noexcept;
  void arm(time_point deadline) noexcept;

  std::shared_ptr<core> core_;           // outlives this: descriptors that were registered may
  std::atomic<int> const* armed_count_;  // the core's
  time_point armed_ = never;
};

}  // namespace weft::inline v0::detail
