#pragma once
/// @file
/// Waiting for the ends of many tasks, in the order in which they come.
///
/// Each task has a node in its list of those who wait. Its fiber moves that to the watch's own list when it ends, under
/// the lock of the task's end; so a node that is withdrawn under that lock has either been moved, or never will be.
/// Locks are taken in that order: a task's, then the watch's. Nothing is allocated after construction, and a wake-up
/// costs the same however many tasks there are.

#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/task.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>

namespace weft::inline v0::detail {

/// What came of a thread's wish to run the guest whose fiber it waits for.
enum class guest_turn : unsigned char {
  none,  ///< it is no guest's, or has ended
  had,
  taken  ///< another thread runs the guest; it may leave it to this one at any time, without a word
};

/// A thread that waits for a guest's fiber asks again after this time at the latest whether it is to run the guest.
inline constexpr std::chrono::milliseconds guest_slice{5};

/// For a thread that waits: if `record` is that of a guest's fiber, runs the guest until that fiber has ended, `until`
/// has passed, or another thread runs it.
[[nodiscard]] guest_turn drive_guest_of(fiber_record& record, time_point until) noexcept;

class end_watch {
public:
  /// For at most `room` tasks.  @throws std::bad_alloc
  explicit end_watch(std::size_t room);
  end_watch(end_watch const&) = delete;
  /// Forgets the tasks that next() has not told of. They must still be there.
  ~end_watch();

  /// Adds a task, whose handle must stay until next() tells of it.
  /// @throws std::system_error  resource_deadlock_would_occur, for the caller's own
  void add(fiber_record& record);
  /// Tasks that next() has not told of.
  [[nodiscard]] std::size_t left() const noexcept { return added_ - told_; }

  /// Waits for the next task to end.
  /// @returns how many were added before it; none if `deadline` passed first, or nothing is left
  /// @throws cancelled; nothing is lost then. A cancellation point, even where it need not wait.
  std::optional<std::size_t> next(time_point deadline, cancellation mode);

private:
  struct node final : end_callback {
    bool told() noexcept override;
    void call() override {}
    end_watch* watch = nullptr;
    fiber_record* record = nullptr;
    node* next_ended = nullptr;
    bool known = false;  // next() has told of it: the record may be gone
  };

  void push(node& ended) noexcept;
  node* pop() noexcept;
  guest_turn drive_guest(time_point deadline) noexcept;

  wait_list list_;  // its lock guards what follows
  node* first_ended_ = nullptr;
  node* last_ended_ = nullptr;
  waiter* waiting_ = nullptr;

  std::unique_ptr<node[]> nodes_;
  std::size_t added_ = 0;  // this and the next: the waiting side's
  std::size_t told_ = 0;
};

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// A task, or a pointer to one.
template <class T>
concept task_or_pointer = is_task<std::remove_cvref_t<T>> || (std::is_pointer_v<std::remove_cvref_t<T>> &&
                                                              is_task<std::remove_pointer_t<std::remove_cvref_t<T>>>);

/// A range of tasks, which stay where they are, or of pointers to tasks.
template <class R>
concept task_range = std::ranges::forward_range<R> && task_or_pointer<std::ranges::range_reference_t<R>> &&
                     (std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> ||
                      std::is_pointer_v<std::remove_cvref_t<std::ranges::range_reference_t<R>>>);

/// The task that an element of a task_range is, or points to.
template <class T>
auto* task_at(T&& element) noexcept {
  if constexpr (std::is_pointer_v<std::remove_cvref_t<T>>) {
    return element;
  } else {
    return std::addressof(element);
  }
}

template <class R>
using task_pointer_in = decltype(task_at(std::declval<std::ranges::range_reference_t<R>>()));
template <class T>
std::type_identity<T> result_behind(task<T> const*);
template <class R>
using task_result_in = typename decltype(result_behind(task_pointer_in<R>{}))::type;

}  // namespace weft::inline v0::detail
