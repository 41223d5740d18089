#include <weft/runtime/detail/wait_graph.hpp>

#include "deadlock.hpp"
#include "fatal.hpp"
#include "fiber_text.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/group_core.hpp>

#include <array>
#include <cstdint>
#include <execinfo.h>
#include <mutex>
#include <new>
#include <ostream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace weft::inline v0::detail {

/// Lies on the heap, because few waits are noted, and stacks are to stay small. All but the links of the map is written
/// before it is in there.
struct noted_wait::entry {
  std::uint64_t who = 0;
  std::string name;
  scheduler* home = nullptr;          // null: of a thread
  void const* lock = nullptr;         // one of the three is what it waits for
  std::vector<std::uint64_t> tasks;   //
  group_core const* group = nullptr;  //
  group_core const* member_of = nullptr;
  bool limited = false;
  wait_ticket const* ticket = nullptr;  // outlives the wait, and so this
  wait_key wait;                        // none: it is to come
  std::array<void*, 32> frames{};
  int depth = 0;

  /// Somebody has ended the wait, or will not let it begin.
  [[nodiscard]] bool ends() const noexcept { return wait ? ticket->ends(wait) : ticket->cancel_requested(); }
};

namespace {

/// A fiber's id, or a thread's with a bit that no fiber's id has.
constexpr std::uint64_t of_thread = std::uint64_t{1} << 63U;

struct who_and_what {
  std::mutex lock;  // guards the rest
  std::unordered_map<void const*, std::uint64_t> holders;
  std::unordered_map<std::uint64_t, noted_wait::entry*> waits;
};

/// Never destroyed: threads may lock and unlock until the process ends.
who_and_what& graph() {
  static auto& only = *new who_and_what;
  return only;
}

std::uint64_t caller() noexcept {
  fiber_record const* const fiber = current_fiber();
  return fiber != nullptr ? fiber->id : of_thread | static_cast<std::uint64_t>(::gettid());
}

/// Under the graph's lock.  @returns null if that one does not wait
noted_wait::entry* wait_of(std::uint64_t who) {
  auto const at = graph().waits.find(who);
  return at != graph().waits.end() ? at->second : nullptr;
}
/// Under the graph's lock.  @returns who has `lock`; 0: not known
std::uint64_t holder_of(void const* lock) {
  auto const at = graph().holders.find(lock);
  return at != graph().holders.end() ? at->second : 0;
}

/// Under the graph's lock.  @returns those for whom `wait` waits, as far as they wait themselves
std::vector<noted_wait::entry const*> next_to(noted_wait::entry const& wait) {
  std::vector<noted_wait::entry const*> next;
  auto const add = [&next](std::uint64_t who) {
    if (auto const* const waits = wait_of(who)) next.push_back(waits);
  };
  if (wait.lock != nullptr) add(holder_of(wait.lock));
  for (auto const task : wait.tasks) add(task);
  if (wait.group != nullptr) {
    for (auto const& [who, other] : graph().waits) {
      if (other->member_of == wait.group) next.push_back(other);
    }
  }
  return next;
}

std::string describe(std::uint64_t who) {
  if ((who & of_thread) != 0) return "thread " + std::to_string(who & ~of_thread);
  auto text = "fiber " + std::to_string(who);
  if (auto const* const wait = wait_of(who); wait != nullptr && !wait->name.empty()) {
    text.append(" '").append(wait->name).append("'");
  }
  return text;
}

/// @param next  the one of them that is to be told of, where it waits for several; 0: none
void write(std::ostream& to, noted_wait::entry const& wait, std::uint64_t next) {
  to << describe(wait.who) << " waits for ";
  if (wait.lock != nullptr) {
    auto const holder = holder_of(wait.lock);
    if (holder == wait.who) {
      to << "a mutex that it holds itself";
    } else if (holder != 0) {
      to << "a mutex that " << describe(holder) << " holds";
    } else {
      to << "a mutex";
    }
  } else if (wait.tasks.size() == 1) {
    to << "the end of " << describe(wait.tasks.front());
  } else {
    to << (wait.group != nullptr ? "the tasks of a group" : "several tasks");
    if (next != 0) to << ", of which one is " << describe(next);
  }
  to << "; it is at\n";
  constexpr int own = 3;  // our own frames, innermost
  for (int i = own; i < wait.depth; ++i)
    to << "    " << describe_code(wait.frames[static_cast<std::size_t>(i)]) << '\n';
}

/// Under the graph's lock.  @returns the circle that `last` closes, told in words; empty: it closes none
std::string circle_from(noted_wait::entry const& last) {
  struct step {
    noted_wait::entry const* at;
    std::vector<noted_wait::entry const*> untried;
  };
  std::vector<step> path;
  std::unordered_set<noted_wait::entry const*> seen;  // what leads into a circle that was there before has been told
  auto const enter = [&](noted_wait::entry const* at) {
    if (at->limited || at->ends() || !seen.insert(at).second) return;
    path.push_back({at, next_to(*at)});
  };
  enter(&last);
  while (!path.empty()) {
    auto& untried = path.back().untried;
    if (untried.empty()) {
      path.pop_back();
      continue;
    }
    auto const* const next = untried.back();
    untried.pop_back();
    if (next == &last) break;
    enter(next);
  }
  if (path.empty()) return {};
  std::ostringstream text;
  text << "weft: deadlock: nothing but a cancellation ends these waits for each other:\n";
  for (std::size_t i = 0; i < path.size(); ++i) write(text, *path[i].at, path[(i + 1) % path.size()].at->who);
  return std::move(text).str();
}

}  // namespace

// Relaxed: the count only says whether to take notes (see is_kept()), and the lock guards the notes. Who makes one
// looks at the count under it: before end_use() has it, what it makes is cleared; after, it sees that there is no user.
void wait_graph::begin_use() noexcept { users_.fetch_add(1, std::memory_order_relaxed); }

void wait_graph::end_use() noexcept {
  if (users_.fetch_sub(1, std::memory_order_relaxed) != 1) return;
  std::lock_guard const lock{graph().lock};
  graph().holders.clear();  // from here on nobody tells of those that are freed
}

void wait_graph::note_held(void const* held) noexcept {
  if (fork_watch::in_child()) return;
  try {
    std::lock_guard const lock{graph().lock};
    if (!is_kept()) return;  // not since we were called; nobody would take it out again
    graph().holders[held] = caller();
  } catch (std::bad_alloc const&) {  // NOLINT: it is missing from reports
  }
}

void wait_graph::note_freed(void const* held) noexcept {
  if (fork_watch::in_child()) return;  // the ids are others there, and the lock may be held by a thread that is gone
  std::lock_guard const lock{graph().lock};
  auto const at = graph().holders.find(held);
  if (at == graph().holders.end()) return;  // it was locked before this was kept
  if (at->second != caller()) fatal("a mutex is unlocked by who does not hold it: another fiber or thread does");
  graph().holders.erase(at);
}

std::size_t wait_graph::waits() noexcept {
  std::lock_guard const lock{graph().lock};
  return graph().waits.size();
}

void wait_graph::write_waits(std::ostream& to, scheduler const& home) {
  std::lock_guard const lock{graph().lock};
  for (auto const& [who, wait] : graph().waits) {
    if (wait->home == &home) write(to, *wait, 0);
  }
}

template <class F>
[[gnu::noinline]] void noted_wait::begin(waiter const* by, bool limited, F&& describe) noexcept {
  std::string report;
  scheduler* home = nullptr;
  try {
    auto noted = std::make_unique<entry>();
    noted->who = caller();
    if (worker const* const w = current_worker(); w != nullptr) {
      home = noted->home = &w->home;
      // A callback runs in no fiber: the wait that is about to begin aborts, and says why.
      if (w->current != nullptr && w->current->name() != nullptr) noted->name = w->current->name();
    }
    describe(*noted);
    if (by != nullptr) noted->wait = by->key_;
    noted->limited = limited || current_deadline() != never;
    fiber_record const* const fiber = current_fiber();
    if (fiber != nullptr && fiber->type->in_group) noted->member_of = static_cast<group_member const*>(fiber)->group;
    noted->ticket = fiber != nullptr ? &fiber->ticket : &ticket_of_thread();
    noted->depth = ::backtrace(noted->frames.data(), static_cast<int>(noted->frames.size()));
    std::lock_guard const guard{graph().lock};
    if (!graph().waits.try_emplace(noted->who, noted.get()).second) return;  // it says so already
    entry_ = noted.release();
    report = circle_from(*entry_);
  } catch (std::bad_alloc const&) {
    return;
  }
  if (!report.empty()) report_deadlock(home, report);
}

void noted_wait::for_lock(void const* lock, time_point deadline, waiter const* by) noexcept {
  if (wait_graph::is_kept()) [[unlikely]]
    begin(by, deadline != never, [lock](entry& e) { e.lock = lock; });
}

void noted_wait::for_task(fiber_record const& task, time_point deadline, waiter const& by) noexcept {
  if (wait_graph::is_kept()) [[unlikely]]
    begin(&by, deadline != never, [&task](entry& e) { e.tasks.push_back(task.id); });
}

void noted_wait::for_tasks(fiber_record* const* tasks, std::size_t number, bool any_may_do) noexcept {
  if (!wait_graph::is_kept()) [[likely]]
    return;
  begin(nullptr, any_may_do, [&](entry& e) {
    for (std::size_t i = 0; i < number; ++i) e.tasks.push_back(tasks[i]->id);
  });
}

void noted_wait::for_group(group_core const& group, waiter const& by) noexcept {
  if (wait_graph::is_kept()) [[unlikely]]
    begin(&by, false, [&group](entry& e) { e.group = &group; });
}

void noted_wait::end() noexcept {
  if (fork_watch::in_child()) return;
  std::lock_guard const lock{graph().lock};
  graph().waits.erase(entry_->who);
  delete std::exchange(entry_, nullptr);
}

}  // namespace weft::inline v0::detail
