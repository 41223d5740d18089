/// @file
/// Snapshots: of fibers, from the pool's live records, and of counters.

#include "inspect.hpp"
#include "aside_join.hpp"
#include "body_stacks.hpp"
#include "scheduler.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/runtime.hpp>

#include <algorithm>
#include <array>
#include <ostream>

namespace weft::inline v0 {

namespace detail {

namespace {

/// A fiber cannot end meanwhile (see scheduler::for_each_live()), but run, wait and be woken. What it was given before
/// it was queued does not change; all else is read once, as it happens to be.
task_info describe(scheduler const& home, fiber_record const& fiber, std::uint32_t now) {
  task_info info;
  info.id = fiber_id{fiber.id};
  info.parent = fiber_id{fiber.parent};
  if (fiber.name != nullptr) info.name = fiber.name;
  info.stack_size = stack_pool::size_of(fiber.stack_class);
  auto const last = fiber.last_worker.get();
  if (last == fiber_record::no_worker) return info;
  info.worker = last;
  info.state = task_state::queued;
  bool const parked = fiber.ticket.parked();
  char const* const reason = fiber.waits_for.load(std::memory_order_relaxed);  // a literal: lives as long as we do
  bool const aside = reason == aside_join::reason;
  if (home.workers[last].current.get() == &fiber) {
    info.state = task_state::running;
  } else if (reason != nullptr && (parked || aside)) {
    info.state = task_state::parked;
    info.waits_for = reason;
    // The clock wraps; and a fiber may have begun to wait after we read it.
    auto const age = static_cast<std::int32_t>(now - fiber.waits_since.get());
    if (!aside) info.waiting = std::chrono::milliseconds{std::max(age, 0)};
  }
  return info;
}

}  // namespace

std::vector<task_info> scheduler::all_tasks() {
  // In virtual time the environment is the worker's to ask: what that read last will do.
  auto const present = milliseconds(world != nullptr ? workers[0].last_now() : clock::now());
  std::vector<task_info> tasks;
  tasks.reserve(live_fibers());
  for_each_live([&](fiber_record const& fiber) { tasks.push_back(describe(*this, fiber, present)); });
  std::sort(tasks.begin(), tasks.end(), [](task_info const& a, task_info const& b) { return a.id < b.id; });
  return tasks;
}

runtime_stats scheduler::stats() {
  runtime_stats s;
  s.live = live_fibers();
  // relaxed: a count, for who looks.
  for (auto const& w : workers) s.finished += w->finished.load(std::memory_order_relaxed);
  s.spawned = s.finished + s.live;
  for (auto const& w : workers) {
    s.steals += w->steals;
    s.polls += w->polls;
    s.ready.push_back(w->queued());
    s.timers += w->timers.armed();
  }
  s.workers = workers.size();
  s.parked_workers = idle.parked();
  s.injected = injected.size();
  s.offload_queued = offload.queued() + blocking.queued();
  s.offload_threads = offload.threads() + blocking.threads();
  s.stacks = stacks.made();
  return s;
}

void write_tasks(std::ostream& to, std::string_view runtime, std::vector<task_info> const& tasks, std::size_t most) {
  std::array<std::size_t, 4> count{};
  std::size_t written = 0;
  for (task_info const& t : tasks) {
    ++count[static_cast<std::size_t>(t.state)];
    if (written == most) continue;
    ++written;
    to << "fiber " << t.id.value();
    if (!t.name.empty()) to << " '" << t.name << "'";
    to << ": " << to_string(t.state);
    if (t.state == task_state::parked) to << " for " << t.waiting.count() << " ms, waits for: " << t.waits_for;
    if (t.worker >= 0) to << "; worker " << t.worker;
    if (t.parent != fiber_id{}) to << "; parent " << t.parent.value();
    to << '\n';
  }
  if (written != tasks.size()) to << "... and " << tasks.size() - written << " more\n";
  auto const n = [&count](task_state s) { return count[static_cast<std::size_t>(s)]; };
  to << "runtime '" << runtime << "': " << tasks.size() << (tasks.size() == 1 ? " fiber, " : " fibers, ")
     << n(task_state::running) << " running, " << n(task_state::queued) << " queued, " << n(task_state::parked)
     << " parked, " << n(task_state::unstarted) << " unstarted\n";
}

namespace {

scheduler& home_of_caller(char const* what) {
  check_not_forked();
  worker const* const w = current_worker();
  if (w == nullptr || w->current == nullptr) {
    throw no_runtime(std::string(what) + ": not called on a fiber; use the runtime's own member");
  }
  return w->home;
}

}  // namespace
}  // namespace detail

char const* to_string(task_state state) noexcept {
  switch (state) {
    case task_state::unstarted: return "unstarted";
    case task_state::queued: return "queued";
    case task_state::running: return "running";
    case task_state::parked: return "parked";
  }
  return "?";
}

std::vector<task_info> all_tasks() { return detail::home_of_caller("weft::all_tasks").all_tasks(); }

void dump(std::ostream& to) {
  auto& home = detail::home_of_caller("weft::dump");
  detail::write_tasks(to, home.options.name, home.all_tasks(), detail::all_of_them);
}

std::vector<task_info> runtime::all_tasks() const {
  detail::check_not_forked();
  std::lock_guard const lock{mutex_};
  return scheduler_ != nullptr ? scheduler_->all_tasks() : std::vector<task_info>{};
}

void runtime::dump(std::ostream& to) const { detail::write_tasks(to, options_.name, all_tasks(), detail::all_of_them); }

std::vector<stack_usage> runtime::stack_usage() const {
  detail::check_not_forked();
  std::lock_guard const lock{mutex_};
  return scheduler_ != nullptr ? scheduler_->gauge.usage() : std::vector<weft::stack_usage>{};
}

std::size_t runtime::release_stacks() const {
  detail::check_not_forked();
  std::lock_guard const lock{mutex_};
  return scheduler_ != nullptr ? scheduler_->stacks.release_all() + detail::body_stacks::release_all() : 0;
}

runtime_stats runtime::stats() const {
  detail::check_not_forked();
  std::lock_guard const lock{mutex_};
  if (scheduler_ != nullptr) return scheduler_->stats();
  runtime_stats stopped;
  stopped.workers = options_.workers;
  return stopped;
}

}  // namespace weft::inline v0
