/// @file
/// The worker's own context: what it does when no fiber is left in its queue. It steals, looks after neighbours that
/// are stuck, and sleeps in libuv.

#include "aside_join.hpp"
#include "coarse_clock.hpp"
#include "fatal.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"
#include "thread_stack.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/short_spin.hpp>
#include <weft/runtime/error.hpp>

#include <algorithm>
#include <chrono>
#include <exception>

namespace weft::inline v0::detail {

namespace {
constexpr int search_rounds = 24;
/// While a neighbour runs, one sleeper looks after it this often: timers and I/O are never served later than 10 ms.
constexpr std::chrono::milliseconds watch_interval{4};
/// The same where a worker is known to be away, or not to attend to its loop.
constexpr std::chrono::milliseconds short_watch_interval{1};

/// How often a stand-in that may be one too many looks whether it is.
constexpr std::chrono::milliseconds surplus_interval{5};

/// 5 to 20 us: a sleep as short as that has found what it waited for.
constexpr std::uint64_t no_sleep = 20'000;

/// 2.5 to 10 ms, at 1 to 4 GHz: how often at most a sleeper is woken to look after who goes to work.
constexpr std::uint64_t longest_unwatched = 10'000'000;
/// About as long. Who finds then that it has not passed yet sleeps as long again.
constexpr std::chrono::milliseconds until_not_fresh{5};

}  // namespace

void worker::run_loop() noexcept {
  signal_stack const for_faults;
  if (stands_in_) home.away.wait_until_added();
  home.watch.admit();
  bind_thread();
  if constexpr (sanitized) own_stack_ = thread_stack();
  bool const begun = home.begin_thread(index);
  if (!begun && !stands_in_) return;  // a stand-in is counted on by now
  while (!home.entrance.dismissed()) {
    if (stands_in_) [[unlikely]] {
      step_down();
      if (rests()) hand_over();
    }
    // Who has left only so that the loop is looked into goes on here. It needs no help unless others are there, too.
    bool const looks = look_put_off_;
    fiber_record* next = pick_next();
    if (looks && ring_.size() != 0) home.wake_one();
    if (next == nullptr) next = look_in_loop();
    if (next == nullptr) next = search();
    if (next == nullptr) next = sleep();
    if (next == nullptr) continue;
    if (searching_) {
      searching_ = false;
      if (home.idle.found()) home.wake_one();  // the last searcher found something: there may be more
    }
    dispatch(*next);
    if (unplaced_ != nullptr) fail_unplaced();
  }
  if (begun) home.end_thread(index);
}

/// No stack could be had for a new fiber.
void worker::fail_unplaced() noexcept {
  fiber_record& fiber = *std::exchange(unplaced_, nullptr);
  fiber.last_worker = index;
  fiber_record* const joiner = fiber.joiner_aside ? &fiber.aside->joiner() : nullptr;
  fail_task(fiber);
  door::add_one(finished);
  end_task(fiber, home);
  if (joiner != nullptr) {
    if (joiner->joiner_aside) open_aside_join(*joiner);
    enqueue(*joiner, placement::next);
  }
}

/// Where events come as fast as they are served, the next are there already: no need to tell all that this worker goes
/// to sleep, which costs a barrier on all threads.
fiber_record* worker::look_in_loop() noexcept {
  if (!loop_busy_) return nullptr;
  about_to_run_ = true;
  poll();
  fiber_record* const next = pick_next();
  about_to_run_ = false;
  loop_busy_ = next != nullptr;
  if (loop_busy_) begin_batch();
  return next;
}

fiber_record* worker::search() noexcept {
  auto const workers = static_cast<std::uint32_t>(home.workers.size());
  if (workers == 1 || rests()) return nullptr;
  if (!searching_) {
    if (!home.idle.search(workers)) return nullptr;
    searching_ = true;
  }
  judge_last_steal();
  for (int round = -reluctance_; round < search_rounds; ++round) {
    // Long queues first. Taking single fibers off a neighbour that is just queueing many costs both more than it saves:
    // the lines that hold queue and fibers go back and forth.
    bool const may_steal = round >= 0;
    auto const worth = std::uint32_t{64} >> std::clamp(round / 3, 0, 6);
    random_ = random_ * 1664525U + 1013904223U;  // Numerical Recipes' generator: only to spread the victims
    auto const start = random_ >> 16U;
    for (std::uint32_t i = 0; may_steal && i < workers; ++i) {
      worker& victim = home.workers[(start + i) % workers];
      if (&victim == this) continue;
      if (victim.ring_.size() < worth && round != search_rounds - 1) continue;
      if (fiber_record* const fiber = steal_from(victim, round == search_rounds - 1)) return fiber;
    }
    if (fiber_record* const fiber = take_injected()) return fiber;
    if (fiber_record* const fiber = take_mail()) return fiber;
    for (int i = 0; i < 8; ++i) cpu_relax();
  }
  return nullptr;
}

/// For a stand-in: rests if it is not needed any longer.
void worker::step_down() noexcept {
  if (rests() || !home.away.too_many() || !home.away.relieve(*this)) return;
  // Woken for new work perhaps, or the one who looked after the neighbours: another is to do that.
  if (std::exchange(searching_, false)) (void)home.idle.found();
  home.wake_one();
}

/// For one that rests: others run what is queued here.
void worker::hand_over() noexcept {
  fiber_record* const first = take_slot();
  if (first != nullptr) home.injected.push(*first);
  if (give_away(ring_capacity) != 0 || first != nullptr) home.wake_one();
}

/// Fibers that each take less time than a steal costs are better left where they are, as long as their worker gets
/// through them: after a steal that was not worth it the next one waits twice as long, up to about 30 us.
void worker::judge_last_steal() noexcept {
  constexpr std::uint64_t worth_it = 1000;  // cycles for each fiber
  constexpr int most_rounds = 192;
  auto const stolen = std::exchange(stolen_, 0);
  if (stolen == 0) return;
  bool const short_ones = coarse_now() - stolen_at_ < stolen * worth_it;
  reluctance_ = short_ones ? std::min(2 * reluctance_ + 3, most_rounds) : 0;
}

/// Takes half of what the victim has queued: one to run, the rest into the ring.
fiber_record* worker::steal_from(worker& victim, bool also_slot) noexcept {
  auto const half = (victim.ring_.size() + 1) / 2;
  fiber_record* first = nullptr;
  for (std::uint32_t taken = 0; taken < half; ++taken) {
    fiber_record* const fiber = victim.ring_.steal();
    if (fiber == nullptr) break;
    if (first == nullptr) {
      first = fiber;
    } else if (!ring_.push(fiber)) {
      home.injected.push(*fiber);
      break;
    }
  }
  if (first != nullptr) {
    stolen_ = half;
    stolen_at_ = coarse_now();
    steals.add(1);
    return first;
  }
  if (!also_slot) return nullptr;
  if (fiber_record* const fiber = victim.returning.pop(1)) {
    steals.add(1);
    return fiber;
  }
  if (!victim.slot_waits()) return nullptr;
  fiber_record* const fiber = victim.slot_.steal();
  if (fiber != nullptr) steals.add(1);
  return fiber;
}

/// Whether the fiber in the slot waits for one that runs for long. Where fibers take turns quickly it is better left:
/// two that talk to each other would do so across CPUs. (Go does not steal a goroutine that goes next for some
/// microseconds either, src/runtime/proc.go; Tokio never does.) For another worker to ask; a hint.
bool worker::slot_waits() const noexcept {
  constexpr int looks = 8;  // 3 us
  auto const before = turns();
  for (int look = 0; look < looks; ++look) {
    if (!slot_.waits() || turns() != before) return false;
    pause_briefly();
  }
  return turns() == before;
}

/// For workers that are busy with one long-running fiber: does what they would do between two fibers.
void worker::look_after_neighbours() noexcept {
  looked_after_at_ = coarse_now();
  now();
  watches_closely_ = false;
  for (auto const& neighbour : home.workers) {
    worker& w = *neighbour;
    if (&w == this) continue;
    expire_timers(w.timers);
    if (w.loop.watches_any()) {
      if (!w.attends_loop()) watches_closely_ = true;
      w.loop.try_poll();
      polls.add(1);
    }
    auto const progress = w.ring_.progress();
    auto const seen = std::exchange(seen_progress_[w.index], progress);
    if (progress == seen && (progress & 1U) != 0 && thread_barrier::asymmetric()) {
      w.ring_.rescue([this](fiber_record* fiber) { push(*fiber); });
    }
  }
}

/// Sleepers look after those who compute for long (see sleep()). Where all are awake, who switches does it beside.
void worker::look_aside() noexcept {
  looked_aside_at_ = last_tick_;
  for (auto const& neighbour : home.workers) {
    worker& w = *neighbour;
    if (&w == this || w.attends_loop()) continue;
    expire_timers(w.timers);
    if (!w.loop.watches_any()) continue;
    w.loop.try_poll();
    polls.add(1);
  }
}

/// Whether any queue that this worker may take from holds something.
bool worker::work_in_sight() noexcept {
  if (!home.injected.empty() || !mailbox.empty()) return true;
  return std::any_of(home.workers.begin(), home.workers.end(), [this](auto const& w) {
    if (!w->returning.empty()) return true;
    return w.get() != this && (w->ring_.size() != 0 || w->slot_waits());
  });
}

/// In virtual time: moves on to the next deadline or arrival.
fiber_record* worker::skip_time() noexcept {
  auto const next = [this] { return std::min(timers.next(), home.world->next_arrival()); };
  while (home.world->skip_to(next())) {
    if (fiber_record* const fiber = pick_next()) return fiber;
    if (next() == never) break;
  }
  return nullptr;
}

/// For one that is parked, or rests and counts as asleep: whether all others are, too, and none is away in a call that
/// blocks.
bool worker::all_rest() const noexcept {
  // First: who has mail counts as asleep until it wakes up, and takes it only then.
  for (auto const& w : home.workers) {
    if (!w->mailbox.empty() || !w->returning.empty()) return false;
  }
  return home.idle.parked() + home.away.asleep() == home.workers.size() && home.away.needed() == 0;
}

/// All fibers have come to rest: the oldest that waits for just that goes on.  @returns false if none does
bool worker::wake_who_waits_for_quiet() noexcept {
  wait_node* first = nullptr;
  {
    wait_list::section list{home.until_quiet};
    (void)list.claim(1, &first);
  }
  if (first == nullptr) return false;
  first->owner->wake();
  return true;
}

/// In a closed world nothing is ready, and no time will come: if fibers wait all the same, they do so for good.
fiber_record* worker::end_deadlock() noexcept {
  if (home.live_fibers() == 0) return nullptr;
  // Who spawned the first fiber may still be on its way out, and would not wake us when it is.
  home.await_visitors();
  if (fiber_record* const fiber = pick_next()) return fiber;
  home.report_stuck(false);
  home.cancel_all();
  if (fiber_record* const fiber = pick_next()) return fiber;
  home.report_stuck(true);
  fatal("all fibers wait for good, and have been cancelled to no avail");
}

/// Where timers come thick and fast, a little slack lets one wake-up serve several. A worker that was woken by one not
/// long ago adds what the kernel by default adds to a thread's sleep; others sleep exactly.
time_point worker::with_slack(time_point deadline) const noexcept {
  constexpr std::chrono::microseconds often{100};
  constexpr std::chrono::microseconds slack{50};
  return deadline != never && deadline - woken_at_ < often ? deadline + slack : deadline;
}

/// When who looks after the neighbours should look: in `interval`, or when one of them is late for a timer.
time_point worker::time_to_look(std::chrono::nanoseconds interval) noexcept {
  constexpr std::chrono::microseconds patience{200};
  constexpr std::chrono::microseconds shortest{500};
  auto const present = now();
  auto at = present + interval;
  for (auto const& w : home.workers) {
    if (w.get() == this) continue;
    if (auto const next = w->timers.next(); next != never) at = std::min(at, add(next, patience));
  }
  return std::max(at, present + shortest);
}

/// @returns false if another does
bool worker::start_watching() noexcept {
  // acquire: pairs with the release of who watched before, in sleep(): one after the other looks at the neighbours, and
  // nothing else depends on it. Who wakes a fiber reads it relaxed, as a hint.
  return !home.neighbours_watched.exchange(true, std::memory_order_acq_rel);
}

/// Whether no worker that goes to work would call a watcher just now, for one was called a moment ago.
bool worker::watcher_is_fresh() const noexcept {
  return coarse_now() - home.watcher_called.load(std::memory_order_relaxed) <= longest_unwatched;
}

/// For one that is parked: whether a worker is awake, or may be so soon.
bool worker::wants_watcher() const noexcept {
  if (home.idle.parked() + home.idle.searching() + home.away.asleep() < home.workers.size()) return true;
  // And for a while after it was called for that: who called may have gone to sleep by now, and be back soon.
  return watcher_is_fresh();
}

/// Wakes a sleeper to become one; not if one was called a moment ago, and some who sleep will look soon by themselves.
void worker::call_watcher() noexcept {
  // seq_cst: see sleep().
  if (watcher_is_fresh() && home.sleepers_who_look.load(std::memory_order_seq_cst) != 0) return;
  home.watcher_called.store(coarse_now(), std::memory_order_relaxed);
  home.wake_one();
}

fiber_record* worker::sleep() noexcept {
  if (home.workers.size() == 1 && wake_who_waits_for_quiet()) return pick_next();
  if (home.world != nullptr) {
    if (fiber_record* const fiber = skip_time()) return fiber;
    if (home.world->closed()) {
      if (fiber_record* const fiber = end_deadlock()) return fiber;
    }
  }
  // A stand-in that rests does not count among those who could take new work, and looks at its own only.
  bool const resting = rests();
  // One sleeper looks after the neighbours, if there are any, as long as one of them is awake. It says so before it is
  // seen asleep, for who then wakes a fiber wakes a worker, too, where nobody looks.
  bool watching = !resting && home.workers.size() != 1 && start_watching();
  // relaxed, as all uses of it: the barrier below orders it; without one nobody asks (see goes_first(), monitor).
  asleep.store(true, std::memory_order_relaxed);
  resting ? home.away.note_asleep() : home.idle.park(index, std::exchange(searching_, false));
  thread_barrier::heavy();  // pairs with idle_set::wanted(): from here on new work sees us parked, or we see it
  bool work = resting ? !mailbox.empty() || !returning.empty() : work_in_sight();
  // Beside stand-ins, whoever is the last to come to rest tells of it.
  if (!work && home.options.workers == 1 && home.workers.size() != 1 && all_rest()) work = wake_who_waits_for_quiet();
  if (work || home.entrance.dismissed()) {
    asleep.store(false, std::memory_order_relaxed);
    thread_barrier::light();  // pairs with the heavy one in monitor::rest()
    home.watch.note_awake();
    if (resting) {
      home.away.note_awake();
    } else {
      searching_ = !home.idle.unpark(index) || home.idle.search(static_cast<std::uint32_t>(home.workers.size()) * 2);
    }
    // release, here and below: pairs with start_watching().
    if (watching) home.neighbours_watched.store(false, std::memory_order_release);
    return pick_next();
  }
  auto deadline = timers.next();
  if (home.world != nullptr && deadline != never) deadline = add(clock::now(), deadline - home.world->now());
  if (stands_in_ && !resting && home.away.surplus()) deadline = std::min(deadline, add(now(), surplus_interval));
  if (watching && !wants_watcher()) {
    // seq_cst: who goes to work counts itself out of those who sleep or search, and then asks for a watcher: if it
    // found one here, we see it awake. And who came to sleep meanwhile, and found one here, is seen asleep.
    home.neighbours_watched.exchange(false, std::memory_order_seq_cst);
    watching = false;
  }
  if (!watching && !resting && home.workers.size() != 1 && wants_watcher()) watching = start_watching();
  // Another watches, but if it goes to work soon, it calls nobody: then it is our turn.
  bool const next_to_watch = !watching && !resting && home.workers.size() != 1 && watcher_is_fresh();
  if (watching) {
    bool const closely = home.away.on_duty() > 0 || watches_closely_;
    deadline = std::min(deadline, time_to_look(closely ? short_watch_interval : watch_interval));
  } else if (next_to_watch) {
    deadline = std::min(deadline, add(now(), until_not_fresh));
  }
  // relaxed: who reads too few wakes one of those who are parked, and we are.
  if (watching || next_to_watch) home.sleepers_who_look.fetch_add(1, std::memory_order_relaxed);
  about_to_run_ = true;
  polls.add(1);
  auto const asleep_since = coarse_now();
  loop.sleep(with_slack(deadline));
  // seq_cst, and below: who has watched says that it does no longer, and then counts who looks; who goes by that one
  // counts itself out, and then asks whether anybody watches. One of them sees the other, and calls a watcher.
  if (watching || next_to_watch) home.sleepers_who_look.fetch_sub(1, std::memory_order_seq_cst);
  asleep.store(false, std::memory_order_relaxed);
  // What a tick would do has just been done, and the first fibers are not to wait for it.
  last_tick_ = coarse_now();
  polled_at_ = last_tick_;
  loop_busy_ = last_tick_ - asleep_since < no_sleep && loop.watches_any();
  thread_barrier::light();  // pairs with the heavy one in monitor::rest()
  home.watch.note_awake();
  if (resting) {
    home.away.note_awake();
  } else {
    searching_ = !home.idle.unpark(index);  // woken by pick(), it counts as searching already
  }
  if (timers.due(now())) {
    woken_at_ = now_;
    expire_timers(timers);
  }
  fiber_record* next = pick_next();
  about_to_run_ = false;
  if (watching) {
    // With a fiber of its own, too, if it comes to that too seldom otherwise: it may have one each time it wakes up.
    if (next == nullptr || coarse_now() - looked_after_at_ > longest_unattended) look_after_neighbours();
    if (next == nullptr) next = pick_next();
    home.neighbours_watched.store(false, std::memory_order_seq_cst);
  }
  if (next == nullptr) return nullptr;
  begin_batch();
  // Who goes to work while timers or descriptors depend on it wants to be watched.
  if (!home.neighbours_watched.load(std::memory_order_seq_cst) &&
      (watching || next_to_watch || timers.next() != never || loop.watches_any()))
    call_watcher();
  return next;
}

}  // namespace weft::inline v0::detail
