#pragma once
/// @file
/// A worker's event loop: where it sleeps, and what it waits for besides fibers.
///
/// The loop is libuv's. It is run by its worker, or by a neighbour while the worker is busy; whoever runs it, or calls
/// libuv for it, holds `lock_`. The only call from outside is wake().

#include <weft/runtime/clock.hpp>

#include <atomic>
#include <memory>
#include <mutex>

struct uv_loop_s;
struct uv_poll_s;

namespace weft::inline v0 {
class waiter;
}

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

  /// Descriptors that somebody waits for: without any, polling finds nothing. Any thread; a hint.
  [[nodiscard]] bool watches_any() const noexcept { return watched_.load(std::memory_order_relaxed) != 0; }

  /// Notifies `w` when `descriptor` becomes readable (or writable), or fails. The worker only, on behalf of the fiber
  /// that it runs; what is returned must be passed to unwatch() on any thread.
  struct watch;
  /// @throws std::system_error  for a descriptor that cannot be polled
  [[nodiscard]] watch* watch_descriptor(int descriptor, bool writable, waiter& w);
  /// After this `w` is not touched any more.
  void unwatch(watch* watched) noexcept;

private:
  struct handles;
  void run(bool may_sleep) noexcept;
  void arm(time_point deadline) noexcept;

  std::mutex lock_;
  std::unique_ptr<handles> handles_;
  // Set by wake(), cleared by sleep(). libuv's own signal would not do: a neighbour that runs the loop in try_poll()
  // takes it for good, and uv_async_send() looks by a plain read whether an earlier one is still to be taken.
  std::atomic<bool> woken_{false};
  std::atomic<int> outsiders_{0};  // threads other than the worker that want the lock
  std::atomic<int> watched_{0};    // relaxed: the worker counts what it watches itself; to others it is a hint
  time_point armed_ = never;
};

}  // namespace weft::inline v0::detail
