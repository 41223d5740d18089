#pragma once
/// @file
/// Who holds which lock, and who waits for which lock, task or tasks: kept while a runtime in debug mode lives, and
/// looked at whenever one more begins to wait. If that closes a circle, it is reported. Fibers and threads, of any
/// runtime.

#include <weft/runtime/clock.hpp>

#include <atomic>
#include <cstddef>
#include <iosfwd>
#include <memory>

namespace weft::inline v0 {
class waiter;
}

namespace weft::inline v0::detail {

class group_core;
class scheduler;
struct fiber_record;

class wait_graph {
public:
  /// relaxed: whoever comes before it is seen is not noted, and then missing from reports.
  [[nodiscard]] static bool is_kept() noexcept { return users_.load(std::memory_order_relaxed) != 0; }
  /// A runtime in debug mode begins, and ends.
  static void begin_use() noexcept;
  static void end_use() noexcept;

  /// The caller has `lock`. While it does, nobody else may say so of that address.
  static void note_held(void const* lock) noexcept;
  /// `lock` is about to be freed. Aborts with a message if somebody else has it.
  static void note_freed(void const* lock) noexcept;

  /// How many wait for locks and tasks just now.
  [[nodiscard]] static std::size_t waits() noexcept;
  /// Writes what those fibers of `home` wait for that wait for locks or tasks, and where they are.
  static void write_waits(std::ostream& to, scheduler const& home);

private:
  inline static std::atomic<unsigned> users_{0};
};

/// That the caller waits for a lock, or for the end of tasks: from one of the calls to the end of its scope. Whether
/// it closes a circle is found out by the one that comes last, for each says what it holds before it waits. Of notes
/// within each other the outermost counts.
class noted_wait {
public:
  noted_wait() noexcept = default;
  noted_wait(noted_wait const&) = delete;
  ~noted_wait() {
    if (entry_ != nullptr) end();
  }

  /// Reports a circle, unless somebody in it waits for a limited time.
  /// @param by  the caller's, here and below: it tells whether somebody has ended the wait. Null: it is to come, and
  ///   perhaps others after it
  void for_lock(void const* lock, time_point deadline, waiter const* by) noexcept;
  void for_task(fiber_record const& task, time_point deadline, waiter const& by) noexcept;
  /// Waits for all of them, one after the other.
  /// @param any_may_do  the end of some may cancel the others: such a wait closes no circle
  void for_tasks(fiber_record* const* tasks, std::size_t number, bool any_may_do) noexcept;
  void for_group(group_core const& group, waiter const& by) noexcept;

  struct entry;

private:
  template <class F>
  void begin(waiter const* by, bool limited, F&& describe) noexcept;
  void end() noexcept;

  entry* entry_ = nullptr;  // null: nothing has been noted
};

}  // namespace weft::inline v0::detail
