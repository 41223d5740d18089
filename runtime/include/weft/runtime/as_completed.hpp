#pragma once
/// @file
/// `as_completed`: tasks in the order in which they end.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/end_watch.hpp>
#include <weft/runtime/error.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::inline v0 {

namespace detail {
[[noreturn]] void throw_as_completed_timeout(std::size_t left);
}

/// What as_completed() returns: an input range of references to tasks.
/// @tparam R  the range of tasks, if it is owned, or a reference to it
template <class R>
class [[nodiscard]] completion_range {
  using pointer = detail::task_pointer_in<R>;
  struct state;

public:
  /// At a task that has ended. Advancing waits for the next.
  class iterator {
  public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = std::remove_pointer_t<pointer>;
    using reference = value_type&;

    iterator() noexcept = default;
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    [[nodiscard]] reference operator*() const noexcept { return *from_->at; }
    [[nodiscard]] pointer operator->() const noexcept { return from_->at; }
    /// Waits for the next task to end. A cancellation point.  @throws timeout_error
    iterator& operator++() {
      from_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(iterator const& i, std::default_sentinel_t) noexcept {
      return i.from_->at == nullptr;
    }

  private:
    friend class completion_range;
    explicit iterator(state* from) noexcept : from_(from) {}
    state* from_ = nullptr;
  };

  completion_range(R&& tasks, time_point deadline)
      : state_(std::make_unique<state>(std::forward<R>(tasks), deadline)) {}

  /// Waits for the first task to end. Once only: it is the range that advances. A cancellation point.
  /// @throws timeout_error
  [[nodiscard]] iterator begin() {
    if (!std::exchange(state_->begun, true)) state_->advance();
    return iterator{state_.get()};
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
  struct state {
    state(R&& range, time_point limit) : tasks(std::forward<R>(range)), deadline(limit) {
      for (auto&& element : tasks) pointers.push_back(detail::task_at(element));
      for (auto* const t : pointers) (void)detail::task_access::record(*t);  // throws for an empty one
      watch.emplace(pointers.size());
      for (auto* const t : pointers) watch->add(detail::task_access::record(*t));
    }

    void advance() {
      at = nullptr;
      if (auto const index = watch->next(deadline, cancellation::heeded)) {
        at = pointers[*index];
      } else if (watch->left() != 0) {
        detail::throw_as_completed_timeout(watch->left());
      }
    }

    R tasks;
    std::vector<pointer> pointers;
    std::optional<detail::end_watch> watch;  // goes before the tasks
    time_point deadline;
    pointer at = nullptr;  // where the iterator is; null: the end
    bool begun = false;
  };

  std::unique_ptr<state> state_;
};

/// The tasks of a range, or those that its elements point to, in the order in which they end; those that have ended
/// already come first.
///
///     for (auto& t : weft::as_completed(tasks, 5s)) use(t.get());
///
/// An lvalue is referred to, and its tasks must stay where they are until they have come; an rvalue is owned, and with
/// it the tasks that have not come when the loop is left: they are cancelled and joined. From fibers and threads.
/// @par Cancellation
/// Advancing is a cancellation point, even where it need not wait.
/// @throws error  if one of the handles is empty; std::bad_alloc
template <class R>
  requires detail::task_range<R&>
completion_range<R> as_completed(R&& tasks) {
  return completion_range<R>{std::forward<R>(tasks), never};
}
/// The same with a limit for all of them, from now on: when it has passed, advancing throws `timeout_error`. With 0
/// only those come that have ended already.
template <class R, class Rep, class Period>
  requires detail::task_range<R&>
completion_range<R> as_completed(R&& tasks, std::chrono::duration<Rep, Period> limit) {
  return completion_range<R>{std::forward<R>(tasks), detail::deadline_after(detail::to_nanoseconds(limit))};
}

}  // namespace weft::inline v0
