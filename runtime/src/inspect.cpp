/// @file
/// Snapshots: of fibers, from the pool's live records, and of counters.

#include "inspect.hpp"
#include "aside_join.hpp"
#include "body_stacks.hpp"
#include "fiber_text.hpp"
#include "scheduler.hpp"
#include "task_end.hpp"

#include <weft/runtime/detail/group_core.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/inspect.hpp>
#include <weft/runtime/runtime.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ostream>
#include <string>

namespace weft::inline v0 {

namespace detail {

namespace {

/// A fiber cannot end meanwhile (see scheduler::for_each_live()), but run, wait and be woken. What it was given before
/// it was queued does not change; all else is read once, as it happens to be.
task_info describe(scheduler const& home, fiber_record const& fiber, std::uint32_t now) {
  task_info info;
  info.id = fiber_id{fiber.id};
  info.parent = fiber_id{fiber.parent};
  if (char const* const name = fiber.name(); name != nullptr) info.name = name;
  info.spawned_at = spawn_site(fiber);
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

/// Who waits for whom.
struct join_link {
  std::uint64_t joiner;
  std::uint64_t joined;
  bool low_half;  ///< of `joined`, no more is known
};

/// @param joiner  which cannot end meanwhile
/// @returns with 0 for `joined`, if it waits for none
join_link link_from(fiber_record const& joiner) noexcept {
  if (auto const id = joined_by(joiner); id != 0) return {joiner.id, id, false};
  if (joiner.waits_for.load(std::memory_order_relaxed) != aside_join::reason) return {joiner.id, 0, false};
  return {joiner.id, joiner.waits_since.get(), true};
}

/// @param tasks  sorted by id
/// @returns the joined one, if it is there
task_info* add_link(std::vector<task_info>& tasks, join_link const& link) {
  auto const find = [&tasks](std::uint64_t id) {
    auto const at = std::lower_bound(tasks.begin(), tasks.end(), fiber_id{id},
                                     [](task_info const& t, fiber_id i) { return t.id < i; });
    return at != tasks.end() && at->id == fiber_id{id} ? at : tasks.end();
  };
  auto at = find(link.joined);
  if (link.low_half) {
    // Ids are given out in order: the other half is the joiner's, or one beside it.
    constexpr std::uint64_t half = std::uint64_t{1} << 32U;
    auto const base = link.joiner / half * half + link.joined;
    at = find(base);
    if (at == tasks.end()) at = find(base + half);
    if (at == tasks.end() && base >= half) at = find(base - half);
  }
  if (at == tasks.end()) return nullptr;  // it has ended since, or was not seen
  at->awaited_by.push_back(fiber_id{link.joiner});
  return &*at;
}

/// Fibers of gather() and race() are joined one after the other by their parent, which waits for all of them.
class families {
public:
  void add(fiber_record const& sibling) { members_.push_back({sibling.parent, sibling.id, false}); }
  /// When all have been added.
  void sort() {
    std::sort(members_.begin(), members_.end(), [](auto const& a, auto const& b) { return a.joined < b.joined; });
  }
  /// `joiner` joins `joined`.
  void note_join(std::uint64_t joiner, task_info const& joined) {
    auto const id = joined.id.value();
    auto const at = std::lower_bound(members_.begin(), members_.end(), id,
                                     [](join_link const& m, std::uint64_t i) { return m.joined < i; });
    if (at != members_.end() && at->joined == id && at->joiner == joiner) joining_.push_back(joiner);
  }
  /// The others of those families of which one is joined.
  [[nodiscard]] std::vector<join_link> links() {
    std::sort(joining_.begin(), joining_.end());
    std::vector<join_link> all;
    for (auto const& m : members_) {
      if (std::binary_search(joining_.begin(), joining_.end(), m.joiner)) all.push_back(m);
    }
    return all;
  }

private:
  std::vector<join_link> members_;      // by their parents, sorted by id
  std::vector<std::uint64_t> joining_;  // parents
};

}  // namespace

std::vector<task_info> scheduler::all_tasks() {
  // In virtual time the environment is the worker's to ask: what that read last will do.
  auto const present = milliseconds(world != nullptr ? workers[0].last_now() : clock::now());
  std::vector<task_info> tasks;
  tasks.reserve(live_fibers());
  std::vector<join_link> links;
  families siblings;
  for_each_live([&](fiber_record const& fiber) {
    tasks.push_back(describe(*this, fiber, present));
    if (auto const link = link_from(fiber); link.joined != 0) links.push_back(link);
    if (fiber.type->is_sibling) siblings.add(fiber);
    if (!fiber.type->in_group) return;
    if (auto const id = group_core::awaited_by(fiber); id != 0) links.push_back({id, fiber.id, false});
  });
  siblings.sort();
  std::sort(tasks.begin(), tasks.end(), [](task_info const& a, task_info const& b) { return a.id < b.id; });
  for (auto const& link : links) {
    if (task_info const* const joined = add_link(tasks, link)) siblings.note_join(link.joiner, *joined);
  }
  for (auto const& link : siblings.links()) add_link(tasks, link);
  for (auto& t : tasks) {
    std::sort(t.awaited_by.begin(), t.awaited_by.end());
    t.awaited_by.erase(std::unique(t.awaited_by.begin(), t.awaited_by.end()), t.awaited_by.end());
  }
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
  s.parked_workers = idle.parked() + away.asleep();
  s.injected = injected.size();
  s.offload_queued = offload.queued() + blocking.queued();
  s.offload_threads = offload.threads() + blocking.threads();
  s.stacks = stacks.made();
  return s;
}

namespace {

/// The order in which fibers are written: each directly before those that it waits for.
class await_tree {
public:
  struct place {
    std::size_t index;
    std::size_t depth;
  };

  /// @param tasks  sorted by id
  explicit await_tree(std::vector<task_info> const& tasks) : tasks_(tasks), first_(tasks.size()), next_(tasks.size()) {
    // Backwards, so that each list comes out sorted.
    for (std::size_t i = tasks.size(); i-- > 0;) {
      auto const above = above_of(tasks[i]);
      auto& list = above == nobody ? roots_ : first_[above];
      next_[i] = list;
      list = i + 1;
    }
  }

  [[nodiscard]] std::vector<place> places() const {
    std::vector<place> order;
    std::vector<bool> written(tasks_.size());
    append(order, written, roots_);
    // Taken at different moments, links may form a circle, which has no beginning.
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (!written[i]) append(order, written, i + 1, true);
    }
    return order;
  }

private:
  static constexpr std::size_t nobody = ~std::size_t{0};

  [[nodiscard]] std::size_t above_of(task_info const& t) const {
    if (t.awaited_by.empty()) return nobody;
    auto const at = std::lower_bound(tasks_.begin(), tasks_.end(), t.awaited_by.front(),
                                     [](task_info const& a, fiber_id id) { return a.id < id; });
    return at != tasks_.end() && at->id == t.awaited_by.front() ? static_cast<std::size_t>(at - tasks_.begin())
                                                                : nobody;
  }

  /// The list that begins with `from`, and all below; `alone`: not the rest of that list.
  void append(std::vector<place>& order, std::vector<bool>& written, std::size_t from, bool alone = false) const {
    struct open_list {
      std::size_t at;
      std::size_t depth;
    };
    std::vector<open_list> open{{from, 0}};
    while (!open.empty()) {
      auto const [at, depth] = open.back();
      open.pop_back();
      if (at == 0 || written[at - 1]) continue;
      written[at - 1] = true;
      order.push_back({at - 1, depth});
      if (!(alone && depth == 0)) open.push_back({next_[at - 1], depth});
      open.push_back({first_[at - 1], depth + 1});
    }
  }

  std::vector<task_info> const& tasks_;
  // Lists of those below each, and of those below nobody: indices plus one, 0 at the end.
  std::vector<std::size_t> first_;
  std::vector<std::size_t> next_;
  std::size_t roots_ = 0;
};

void write_line(std::ostream& to, task_info const& t, std::size_t depth) {
  constexpr std::size_t deepest = 32;  // joins may be nested by thousands, and lines should be read
  to << std::string(2 * std::min(depth, deepest), ' ') << "fiber " << t.id.value();
  if (!t.name.empty()) to << " '" << t.name << "'";
  to << ": " << to_string(t.state);
  if (t.state == task_state::parked) to << " for " << t.waiting.count() << " ms, waits for: " << t.waits_for;
  if (t.worker >= 0) to << "; worker " << t.worker;
  if (t.parent != fiber_id{}) to << "; parent " << t.parent.value();
  for (std::size_t i = 1; i < t.awaited_by.size(); ++i) {
    to << (i == 1 ? "; also awaited by " : ", ") << t.awaited_by[i].value();
  }
  if (!t.spawned_at.empty()) to << "; spawned at " << t.spawned_at;
  to << '\n';
}

}  // namespace

void write_tasks(std::ostream& to, std::string_view runtime, std::vector<task_info> const& tasks, std::size_t most) {
  std::array<std::size_t, 4> count{};
  std::size_t written = 0;
  for (task_info const& t : tasks) ++count[static_cast<std::size_t>(t.state)];
  for (auto const& [index, depth] : await_tree{tasks}.places()) {
    if (written == most) break;
    ++written;
    write_line(to, tasks[index], depth);
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
