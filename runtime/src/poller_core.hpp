#pragma once
/// @file
/// What a poller has of libuv, and what outlives it: descriptors may know the loop that watched them when the runtime
/// is gone.

#include "poller.hpp"

#include <weft/runtime/config.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <uv.h>
#include <vector>

namespace weft::inline v0::detail {

struct poller::core {
  std::mutex lock;  ///< guards the loop and all handles in it, and `gone`
  uv_loop_t loop{};
  uv_async_t async{};
  uv_poll_t alarm{};
  int alarm_descriptor = -1;
  bool gone = false;
  bool behind = false;  ///< something has been armed since the loop last ran, which the kernel learns of when it runs
  bool guest = false;   ///< whoever waits for it waits outside, and does not run it before

  /// Set by wake(), cleared by sleep(). libuv's own signal would not do: a neighbour that runs the loop in try_poll()
  /// takes it for good, and uv_async_send() looks by a plain read whether an earlier one is still to be taken.
  std::atomic<bool> woken{false};
  /// Threads other than the worker that want the lock.
  std::atomic<int> outsiders{0};
  /// Threads that are about to send to `async`; see wake_from_outside().
  std::atomic<int> senders{0};
  std::atomic<bool> closing{false};  ///< the runtime is about to go
  /// Directions that are armed, or about to be. relaxed: to all but who changes it a hint.
  std::atomic<int> armed{0};
  /// Under the lock: for each number, how many handles have it and may start or stop watching it.
  std::vector<unsigned> handles;
  /// Under the lock: what the loop has reported since it was last run, to be delivered. All at once, for of many
  /// connections each has long been out of the cache: what leads to who waits is fetched for all of them meanwhile.
  struct event {
    registration* of;
    int status;
    int happened;
  };
  std::array<event, 64> reported{};
  std::size_t number_reported = 0;

  /// Under the lock, for which others wait: how much the loop may still ask for in reads for others, until these go on.
  std::size_t bytes_left = 0;
  static constexpr std::size_t bytes_at_once = std::size_t{64} * 1024;
  static constexpr std::size_t least_for_a_read = 512;  ///< what each counts for: the call takes its time, too

  /// A stack of who wants to be armed, linked by `next_request`.
  std::atomic<registration*> requests{nullptr};

  void wake() noexcept;
  /// Calls `before` and wakes, for who does not know that the runtime lives.  @returns false, having done nothing, if
  /// it is about to go
  template <class F>
  bool wake_from_outside(F&& before) noexcept {
    // seq_cst: pairs with end(). Each side writes its own word, and then reads the other's: one sees the other.
    senders.fetch_add(1);
    bool const lives = !closing.load();
    if (lives) {
      before();
      wake();
    }
    senders.fetch_sub(1);
    return lives;
  }
  [[nodiscard]] std::unique_lock<std::mutex> lock_from_outside() noexcept;
  /// A callback of the loop's. It closes no handle, nor is one closed while the loop runs.
  void report(registration& of, int status, int happened) noexcept;
  /// Under the lock, after each run of the loop.
  void deliver() noexcept;
  /// Under the lock: does what was asked for meanwhile. Comes before each run of the loop.
  void serve_requests() noexcept;
  [[nodiscard]] bool request(registration& r, int events) noexcept;
  /// Under the lock.
  void change(registration& r, int events) noexcept;
  void close(registration& r) noexcept;
  /// The end of the loop.
  void end() noexcept;
};

/// A descriptor's place in a loop. Owned by the descriptor, to which the loop refers until the handle is closed. What
/// an event touches follows what libuv touches of the handle, at its end: of many connections each has long been out of
/// the cache.
struct alignas(cache_line) polled_descriptor::registration : uv_poll_t {
  registration(polled_descriptor& d, std::shared_ptr<poller::core> of, registration* before) noexcept
      : uv_poll_t{}, descriptor(d), watcher(std::move(of)), older(before) {}

  polled_descriptor& descriptor;
  int watched = 0;                ///< events that libuv watches for; guarded by the loop's lock, as are the next
  unsigned to_be_seen = 0;        ///< events, until the kernel is asked to report edges
  bool reports_edges = false;     ///< it does, to read
  bool hears_of_the_end = false;  ///< libuv watches for that and for urgent data, too
  bool detached = false;          ///< the handle is being closed
  bool unwanted = false;          ///< another loop was faster: goes with its handle
  int duplicate = -1;             ///< of the descriptor, where the loop watches its number already
  std::shared_ptr<poller::core> const watcher;
  registration* const older;   ///< with a loop that is gone
  std::atomic<int> wanted{0};  ///< events to be added to them; not 0: in the loop's stack of requests
  registration* next_request = nullptr;

  void happened(int status, int what_happened) noexcept;
  void report_edges() noexcept;
};

}  // namespace weft::inline v0::detail
