#include <weft/runtime/detail/wait_graph.hpp>

#include "deadlock.hpp"
#include "fatal.hpp"
#include "fiber_text.hpp"
#include "scheduler.hpp"
#include "scopes.hpp"
#include "worker.hpp"

#include <weft/runtime/cancel_scope.hpp>

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
#include <utility>

namespace weft::inline v0::detail {

/// Lies on the heap, because few waits are noted, and stacks are to stay small. All but the links of the map is written
/// before it is in there.
struct noted_wait::entry {
  std::uint64_t who = 0;
  std::string name;
  scheduler* home = nullptr;  // null: of a thread
  void const* lock = nullptr;
  std::uint64_t task = 0;  // without a lock
  bool limited = false;
  wait_ticket const* ticket = nullptr;  // outlives the wait, and so this
  std::array<void*, 32> frames{};
  int depth = 0;
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
/// Under the graph's lock.  @returns whom `wait` waits for; 0: not known
std::uint64_t awaited_by(noted_wait::entry const& wait) {
  if (wait.lock == nullptr) return wait.task;
  auto const at = graph().holders.find(wait.lock);
  return at != graph().holders.end() ? at->second : 0;
}

std::string describe(std::uint64_t who) {
  if ((who & of_thread) != 0) return "thread " + std::to_string(who & ~of_thread);
  auto text = "fiber " + std::to_string(who);
  if (auto const* const wait = wait_of(who); wait != nullptr && !wait->name.empty()) {
    text.append(" '").append(wait->name).append("'");
  }
  return text;
}

void write(std::ostream& to, noted_wait::entry const& wait) {
  auto const awaited = awaited_by(wait);
  to << describe(wait.who) << " waits for ";
  if (wait.lock == nullptr) {
    to << "the end of " << describe(awaited);
  } else if (awaited == wait.who) {
    to << "a mutex that it holds itself";
  } else if (awaited != 0) {
    to << "a mutex that " << describe(awaited) << " holds";
  } else {
    to << "a mutex";
  }
  to << "; it is at\n";
  constexpr int own = 3;  // our own frames, innermost
  for (int i = own; i < wait.depth; ++i)
    to << "    " << describe_code(wait.frames[static_cast<std::size_t>(i)]) << '\n';
}

/// Under the graph's lock.  @returns the circle that `last` closes, told in words; empty: it closes none
std::string circle_from(noted_wait::entry const& last) {
  std::size_t size = 0;
  for (auto const* at = &last; at != nullptr; at = wait_of(awaited_by(*at))) {
    if (at->limited || at->ticket->ends()) return {};
    if (++size > graph().waits.size()) return {};  // it leads into a circle that was there before, and has been told
    if (awaited_by(*at) == last.who) break;
  }
  std::ostringstream text;
  text << "weft: deadlock: nothing but a cancellation ends these waits for each other:\n";
  auto const* at = &last;
  for (; size != 0; --size) {
    write(text, *at);
    auto const awaited = awaited_by(*at);
    if (awaited == last.who) return std::move(text).str();
    at = wait_of(awaited);
    if (at == nullptr) break;
  }
  return {};
}

}  // namespace

void wait_graph::begin_use() noexcept { users_.fetch_add(1, std::memory_order_relaxed); }

void wait_graph::end_use() noexcept {
  if (users_.fetch_sub(1, std::memory_order_relaxed) != 1) return;
  std::lock_guard const lock{graph().lock};
  graph().holders.clear();  // from here on nobody tells of those that are freed
}

void wait_graph::note_held(void const* held) noexcept {
  try {
    std::lock_guard const lock{graph().lock};
    graph().holders[held] = caller();
  } catch (std::bad_alloc const&) {  // NOLINT: it is missing from reports
  }
}

void wait_graph::note_freed(void const* held) noexcept {
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
    if (wait->home == &home) write(to, *wait);
  }
}

void noted_wait::for_lock(void const* lock, time_point deadline) noexcept {
  if (wait_graph::is_kept()) [[unlikely]]
    begin(lock, nullptr, deadline);
}

void noted_wait::for_task(fiber_record const& task, time_point deadline) noexcept {
  if (wait_graph::is_kept()) [[unlikely]]
    begin(nullptr, &task, deadline);
}

[[gnu::noinline]] void noted_wait::begin(void const* lock, fiber_record const* task, time_point deadline) noexcept {
  std::string report;
  scheduler* home = nullptr;
  try {
    auto noted = std::make_unique<entry>();
    noted->who = caller();
    if (worker const* const w = current_worker(); w != nullptr) {
      home = noted->home = &w->home;
      if (char const* const name = w->current->name(); name != nullptr) noted->name = name;
    }
    noted->lock = lock;
    noted->task = task != nullptr ? task->id : 0;
    noted->limited = deadline != never || current_deadline() != never;
    fiber_record const* const fiber = current_fiber();
    noted->ticket = fiber != nullptr ? &fiber->ticket : &ticket_of_thread();
    noted->depth = ::backtrace(noted->frames.data(), static_cast<int>(noted->frames.size()));
    std::lock_guard const guard{graph().lock};
    graph().waits[noted->who] = noted.get();
    entry_ = noted.release();
    report = circle_from(*entry_);
  } catch (std::bad_alloc const&) {
    return;
  }
  if (!report.empty()) report_deadlock(home, report);
}

void noted_wait::end() noexcept {
  std::lock_guard const lock{graph().lock};
  graph().waits.erase(entry_->who);
  delete std::exchange(entry_, nullptr);
}

}  // namespace weft::inline v0::detail
