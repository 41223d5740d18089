#pragma once
/// @file
/// What a task_group is made of: lists of its children's records, and of its waiters, under one lock.
///
/// A group holds the handle of each child. A child is in one of two lists, `fresh_` until it has been cancelled, then
/// `struck_`; it leaves at its end, which its fiber tells the group as the very last thing that it does (end_node).
/// Then the record goes, unless it failed: failures stay in the order in which they came, in their records, until the
/// group ends. So nothing is allocated but the record, and a child that has ended costs nothing.
///
/// - A child enters its list before it takes its first step, and before anyone could have cancelled it in vain; one
/// that
///   enters a group which has been cancelled is cancelled there and then.
/// - Cancelling takes a few from `fresh_` to `struck_` at a time, so that the lock is never held for long; several may
///   do that at once. Whoever cancels keeps the group alive: it is a child that has not left yet, or the user sees to
///   it.
/// - Who is told that the last child has left takes the lock once more before it goes on, and so comes after that
/// child's
///   last touch.

#include <weft/runtime/detail/task_record.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/options.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace weft::inline v0 {
class cancel_scope;
}

namespace weft::inline v0::detail {

class group_core;
struct group_member;

/// A caller of task_group::start(), on its stack. Its group's lock guards all of it but the value.
struct start_slot {
  group_member* child = nullptr;  ///< until resolved
  waiter* waiting = nullptr;
  bool resolved = false;          ///< the child is ready, or has ended
  group_member* ended = nullptr;  ///< the child, if it has ended instead: the slot's owner lets it go
};

/// The record of a group's child.
struct group_member : result_record<void> {
  static constexpr bool in_group = true;

  struct end_node final : end_callback {
    explicit end_node(group_member& of) noexcept : member(of) {}
    void call() override;
    group_member& member;
  };

  end_node at_end{*this};
  group_core* group = nullptr;
  group_member* next = nullptr;  // this and what follows: under the group's lock
  group_member* prev = nullptr;
  group_member* next_failed = nullptr;
  start_slot* starting = nullptr;  ///< who waits for it to be ready
  bool struck = false;             ///< in the list of those that have been cancelled
  bool failed = false;             ///< in the list of failures
};

/// What a child's failure brings about.
enum class child_failure : bool {
  ends_all,     ///< its siblings are cancelled, and it is kept for the group's owner
  stands_alone  ///< it goes to `on_unhandled_exception`, and is no business of the others
};

class group_core {
public:
  group_core() noexcept = default;
  explicit group_core(child_failure brings) noexcept : failure_(brings) {}
  /// One that also cancels `body`, which outlives it.
  explicit group_core(cancel_scope& body) noexcept : body_(&body) {}
  group_core(group_core const&) = delete;
  ~group_core();

  /// @throws error  if the group has been cancelled and waited for; std::invalid_argument for detached children
  void check_open(spawn_options const& options) const;

  /// Spawns `f()` as a child.
  template <class F>
  void spawn(spawn_options const& options, F&& f, start_slot* starting = nullptr);

  void wait();
  void wait_all();
  void cancel(cancel_reason reason) noexcept;
  [[nodiscard]] bool cancel_requested() const noexcept { return (list_.flags() & cancelled_flag) != 0; }
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::vector<std::exception_ptr> failures() const;

  /// The end of with_task_group(), whose body has ended with `error`, or null for a value: cancels the children unless
  /// it was a value, and waits for them.
  /// @throws the first failure; else cancelled, if an outer scope was
  /// @returns whether the body, or the wait, was cut short by the group's own cancellation, which is absorbed
  [[nodiscard]] bool end_body(std::exception_ptr const& error);

  /// Waits until the child is ready or has ended.  @throws what start() throws
  void await_start(start_slot& slot);
  /// The child is ready.
  void resolve(start_slot& slot) noexcept;

  /// The id of a fiber that waits for the group of `member`; 0: none. On any thread, while `member` cannot end.
  [[nodiscard]] static std::uint64_t awaited_by(fiber_record const& member) noexcept;

private:
  friend struct group_member::end_node;
  static constexpr auto cancelled_flag = wait_list::flag_a;
  static constexpr auto closed_flag = wait_list::flag_b;  // cancelled, and waited for

  /// A circle of members, linked by `next` and `prev`.
  struct circle {
    group_member* first = nullptr;
    void push_back(group_member& m) noexcept;
    void remove(group_member& m) noexcept;
  };

  static void enter(fiber_record& record) noexcept;
  void leave(group_member& m) noexcept;
  [[nodiscard]] bool note_failure(group_member& m) noexcept;
  std::exception_ptr outwait_children();
  void rethrow_first();
  [[nodiscard]] std::exception_ptr first_error() const;
  void wait_until_empty(cancellation mode);
  [[nodiscard]] std::vector<std::exception_ptr> failures_from(bool skip_thrown) const;

  mutable wait_list list_;  // who waits until the group is empty; its lock guards what follows
  circle fresh_;
  circle struck_;
  std::size_t size_ = 0;
  group_member* first_failed_ = nullptr;
  group_member* last_failed_ = nullptr;
  std::size_t failed_ = 0;
  bool thrown_ = false;  // the first failure has been thrown by wait()
  cancel_reason reason_{};
  child_failure const failure_ = child_failure::ends_all;
  cancel_scope* const body_ = nullptr;  // of with_task_group()
};

template <class F>
void group_core::spawn(spawn_options const& options, F&& f, start_slot* starting) {
  using record = task_record<void, std::decay_t<F>, group_member>;
  check_open(options);
  auto extras = extras_for_spawn(nullptr, &options);
  void* const memory = reserve_record(nullptr, sizeof(record), options.stack_size);
  record* made = nullptr;
  try {
    made = ::new (memory) record(std::forward<F>(f));
  } catch (...) {
    discard_record(memory, class_of_size(sizeof(record)));
    throw;
  }
  made->set_extras(extras.release());
  made->group = this;
  made->starting = starting;
  submit(*made, nullptr, options, &group_core::enter);
}

}  // namespace weft::inline v0::detail
