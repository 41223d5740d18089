#include "monitor.hpp"

#include "body_stacks.hpp"
#include "fiber_text.hpp"
#include "scheduler.hpp"
#include "signal_mask.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/atomics.hpp>
#include <weft/runtime/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

namespace weft::inline v0::detail {

namespace {

using namespace std::chrono_literals;

/// How often the workers are looked at, while any of them is awake.
std::chrono::nanoseconds interval_for(std::chrono::nanoseconds slow, std::size_t spares,
                                      std::chrono::nanoseconds release, bool deadlocks) noexcept {
  if (deadlocks && slow <= 0ns) slow = 1s;
  constexpr std::chrono::nanoseconds with_spares = 2ms;
  constexpr std::chrono::nanoseconds shortest = 1ms;
  auto const reporting = slow > 0ns ? std::max(slow / 8, shortest) : std::chrono::nanoseconds::max();
  auto const looking = spares > 0 ? std::min(with_spares, reporting) : reporting;
  return release > 0ns ? std::min(looking, release) : looking;
}

/// How often idle stacks are looked at; zero: never.
std::chrono::nanoseconds release_interval(stack_release const& policy) noexcept {
  constexpr std::chrono::nanoseconds shortest = 10ms;
  return policy.after == std::chrono::nanoseconds::max() ? 0ns : std::max(policy.after, shortest);
}

/// Rounds without any worker awake before the monitor goes to sleep: not at every short rest of a busy program.
constexpr unsigned rounds_before_rest = 8;

void print(slow_callback const& slow) {
  std::string text = "weft: fiber " + std::to_string(slow.fiber.value());
  if (!slow.name.empty()) text += " '" + slow.name + "'";
  text += " has kept worker " + std::to_string(slow.worker) + " busy for " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(slow.busy).count()) +
          " ms without a wait: others wait meanwhile. Remedy: weft::offload for what computes, "
          "weft::offload_blocking for what blocks, or a weft::yield now and then. It is at\n";
  for (auto const& frame : slow.stack) text += "    " + frame + "\n";
  std::fputs(text.c_str(), stderr);
}

}  // namespace

monitor::monitor(scheduler& home, std::chrono::nanoseconds slow, std::size_t spares, bool releases)
    : home_(home),
      slow_(slow),
      spares_(spares),
      release_interval_(releases ? release_interval(home.options.stack_release) : 0ns),
      interval_(interval_for(slow, spares, release_interval_, home.options.debug)) {
  if (slow_ > 0ns) probe_.emplace();
}

void monitor::start() {
  if (home_.world != nullptr || home_.options.guest) return;
  if (slow_ <= 0ns && spares_ == 0 && release_interval_ <= 0ns && !home_.options.debug) return;
  views_.resize(home_.workers.capacity());
  auto const name = home_.options.name.substr(0, 11) + "/mon";  // first: once the thread is there, nothing may throw
  blocked_signals const mask;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), name.c_str());
}

void monitor::stop() noexcept {
  if (!thread_.joinable()) return;
  {
    std::lock_guard const lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool monitor::all_asleep() const noexcept {
  return std::all_of(home_.workers.begin(), home_.workers.end(),
                     [](auto const& w) { return w->asleep.load(std::memory_order_relaxed); });  // see rest()
}

void monitor::end_rest() noexcept {
  {
    std::lock_guard const lock{mutex_};
    called_ = true;
  }
  wake_.notify_one();
}

void monitor::rest(std::unique_lock<std::mutex>& lock) noexcept {
  // relaxed: the barrier orders it. Either a worker that wakes up sees us resting, or we see it awake.
  resting_.store(true, std::memory_order_relaxed);
  thread_barrier::heavy();  // pairs with the light one in worker::sleep()
  auto const called = [this] { return called_ || stopping_; };
  if (all_asleep()) {
    auto const used = [this] { return home_.stacks.has_used() || body_stacks::has_used(); };
    while (release_interval_ > 0ns && used() && !wake_.wait_until(lock, next_release_, called)) {
      lock.unlock();
      release_stacks(clock::now());
      lock.lock();
    }
    wake_.wait(lock, called);
  }
  resting_.store(false, std::memory_order_relaxed);
  called_ = false;
}

void monitor::run() noexcept {
  auto next = add(clock::now(), interval_);
  if (release_interval_ > 0ns) next_release_ = add(clock::now(), release_interval_);
  unsigned idle_rounds = 0;
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    bool const watches = home_.options.debug && rounds_at_rest_ < rounds_before_rest;
    if (idle_rounds >= rounds_before_rest && !watches && thread_barrier::asymmetric()) {  // else a call could be lost
      rest(lock);
      idle_rounds = 0;
      next = add(clock::now(), interval_);
    }
    if (wake_.wait_until(lock, next, [this] { return stopping_; })) return;
    auto const now = clock::now();
    // What holds us up holds up the workers: a stopped process has no slow fibers.
    if (auto const late = now - next; late > interval_) {
      for (auto& seen : views_) seen.since += late;
    }
    next = add(now, interval_);
    lock.unlock();
    look(now);
    if (home_.options.debug) watch_rest();
    if (now >= next_release_) release_stacks(now);
    idle_rounds = all_asleep() ? idle_rounds + 1 : 0;
    lock.lock();
  }
}

/// If no worker has been awake for so many rounds, a runtime in debug mode is looked at: its fibers may wait for good.
/// Each sleep counts one poll, so the same number as before means that nobody has been awake in between.
void monitor::watch_rest() noexcept {
  std::uint64_t sleeps = 0;
  for (auto const& w : home_.workers) sleeps += w->polls;
  bool const same = sleeps == sleeps_ && all_asleep();
  sleeps_ = sleeps;
  rounds_at_rest_ = same ? rounds_at_rest_ + 1 : 0;
  if (rounds_at_rest_ == rounds_before_rest) home_.look_for_deadlock();
}

void monitor::release_stacks(time_point now) noexcept {
  (void)home_.stacks.release_idle(home_.options.stack_release.keep);
  (void)body_stacks::release_idle(home_.options.stack_release.keep);
  next_release_ = add(now, release_interval_);
}

void monitor::look(time_point now) noexcept {
  for (auto const& w : home_.workers) look_at(*w, views_[w->index], now);
}

void monitor::look_at(worker const& w, view& seen, time_point now) noexcept {
  fiber_record* const fiber = w.current;
  std::uint32_t const turns = w.turns();
  bool const stuck = fiber != nullptr && fiber == seen.fiber && turns == seen.turns && fiber != w.away;
  if (!stuck) {
    if (seen.stood_in_for) {
      home_.away.dismiss();
      --standing_in_;
      home_.wake_one();  // who sleeps may be the last to come to rest, and did not know it; see worker::all_rest()
    }
    seen = {fiber, turns, now};
    return;
  }
  auto const busy = now - seen.since;
  // Where another worker has nothing to do, it looks after this one. Who did may have found work, and have called
  // nobody in its place.
  if (!home_.neighbours_watched.load(std::memory_order_relaxed)) home_.wake_one();
  bool const all_busy = home_.idle.parked() + home_.idle.searching() == 0;
  if (!seen.stood_in_for && standing_in_ < spares_ && all_busy && home_.away.call()) {
    seen.stood_in_for = true;
    ++standing_in_;
  }
  if (probe_ && !seen.reported && busy >= slow_) {
    seen.reported = true;
    report(w, busy);
  }
}

void monitor::report(worker const& w, std::chrono::nanoseconds busy) noexcept {
  try {
    slow_callback slow;
    slow.busy = busy;
    slow.worker = w.index;
    stack_sample sample;
    // The thread handle was written before the worker was added to the list.
    if (probe_->ask(const_cast<worker&>(w).thread.native_handle(), 1s, sample)) {
      if (sample.fiber == 0) return;  // it has just ended
      slow.fiber = fiber_id{sample.fiber};
      slow.name = sample.name.data();
      for (int i = 0; i < sample.depth; ++i)
        slow.stack.push_back(describe_code(sample.frames[static_cast<std::size_t>(i)]));
    }
    (home_.options.on_slow_callback ? home_.options.on_slow_callback : &print)(slow);
  } catch (...) {
    // No memory for a report, or a handler that threw: the program goes on.
  }
}

}  // namespace weft::inline v0::detail
