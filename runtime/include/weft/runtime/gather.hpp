#pragma once
/// @file
/// `gather`: runs callables side by side and gives their results in order; `gather_settled`, in which none spoils the
/// others.

#include <weft/runtime/detail/end_watch.hpp>
#include <weft/runtime/detail/siblings.hpp>
#include <weft/runtime/outcome.hpp>

#include <array>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weft::inline v0 {

namespace detail {

/// How a result of type `T` stands in a tuple, and in a vector.
template <class T>
using in_tuple = std::conditional_t<std::is_void_v<T>, std::monostate,
                                    std::conditional_t<std::is_rvalue_reference_v<T>, std::remove_reference_t<T>, T>>;
template <class T>
using in_vector = std::conditional_t<std::is_lvalue_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>,
                                     std::remove_cv_t<in_tuple<T>>>;

/// The result, out of the record of a task that ended with one.
template <class T>
in_tuple<T> take(result_record<T>& from) {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else if constexpr (std::is_lvalue_reference_v<T>) {
    return *from.value;
  } else if constexpr (std::is_rvalue_reference_v<T>) {
    return std::move(*from.value);
  } else {
    return std::move(from.value);
  }
}

/// The result, or what is there in its place, which counts as taken.
template <class T>
outcome<T> settle(fiber_record& of) {
  if (of.error) {
    of.collected = true;
    return outcome<T>{of.error};
  }
  auto& record = static_cast<result_record<T>&>(of);
  if constexpr (std::is_void_v<T>) {
    return outcome<T>{std::in_place};
  } else if constexpr (std::is_reference_v<T>) {
    return outcome<T>{std::in_place, *record.value};
  } else {
    return outcome<T>{std::in_place, std::move(record.value)};
  }
}

/// Runs the callables, each borrowed, and waits for them.
template <class... Fs>
void run_all(siblings& all, fiber_record** room, Fs&... fs) {
  (check_callable<std::remove_cv_t<Fs>>(fs), ...);
  all.use(room);
  (void)((all.spawn(sibling<Fs&>{fs, all}), !all.decided()) && ...);
  all.join();
}

/// What element type a sibling is made of: an lvalue is borrowed, since it stays in its range; anything else is owned.
template <class R>
using callable_in =
    std::conditional_t<std::is_lvalue_reference_v<std::ranges::range_reference_t<R>>, std::ranges::range_reference_t<R>,
                       std::remove_cvref_t<std::ranges::range_reference_t<R>>>;
template <class R>
using plain_result_in = plain_result<callable_in<R>>;

template <class R>
concept callable_range = std::ranges::input_range<R> && plain_callable<callable_in<R>>;

template <class R>
void run_all_in(siblings& all, std::vector<fiber_record*>& room, R& range) {
  using callable = callable_in<R>;
  if constexpr (std::ranges::sized_range<R>) room.reserve(std::ranges::size(range));
  for (auto&& f : range) {
    if (all.decided()) break;
    check_callable<std::remove_cvref_t<callable>>(f);
    room.push_back(nullptr);
    all.use(room.data());
    all.spawn(sibling<callable>{static_cast<std::ranges::range_reference_t<R>>(f), all});
  }
  all.join();
}

/// Waits for tasks that run already. If the caller is cancelled, or one fails and `heed_failures`, all others are.
/// @throws the first failure, whose task then counts as collected; else cancelled, if the caller was; else what
///   take_once() would throw for the first that has no result to take, and then none has been taken
void join_tasks(fiber_record* const* records, std::size_t size, bool heed_failures);

/// Marks the result of a task that has ended as taken.
/// @throws the exception that is there in its place; error, if it was taken before
void take_once(fiber_record& of);

template <class R>
std::vector<fiber_record*> records_of(R& tasks) {
  std::vector<fiber_record*> records;
  for (auto&& element : tasks) records.push_back(&task_access::record(*task_at(element)));
  return records;
}

/// What task::get() does with a task that has ended, but for its cancellation point. After join_tasks(), so that none
/// throws when the results of others have been taken and would be lost.
template <class T>
in_tuple<T> take_from(task<T>& t) {
  auto& record = static_cast<result_record<T>&>(task_access::record(t));
  take_once(record);
  return take(record);
}
template <class T>
outcome<T> settle_from(task<T>& t) {
  auto& record = task_access::record(t);
  if (!record.error) take_once(record);
  return settle<T>(record);
}

/// A range that is given up: the tasks in it are the callee's.
template <class R>
using kept_range = std::conditional_t<std::is_lvalue_reference_v<R>, R, std::remove_cvref_t<R>>;

template <class F>
concept gatherable = plain_callable<F> || is_task<std::remove_cvref_t<F>>;
template <class R>
concept gatherable_range = !gatherable<R> && (callable_range<R> || task_range<R>);

}  // namespace detail

/// Runs `fs()...` side by side, each in a fiber of its own, and waits until all have ended.
///
///     auto [page, prices] = weft::gather([&] { return load(url); }, [&] { return ask(shop); });
///
/// The callables are borrowed: neither moved nor copied. In place of callables, tasks may be given; their results are
/// taken.
/// @returns a tuple of what they return, in order: `T` and `T&` as they are, for `void` `std::monostate`
/// @par Failures
/// The first that fails cancels the others (reason sibling_failed); those that were not started never are. When all
/// have ended, its exception is thrown. What the others fail with goes to `on_unhandled_exception`.
/// @par Cancellation
/// A cancellation point, even where it need not wait. If the caller is cancelled, so are the callables, and gather
/// waits for them; then it throws a failure if there was one, else `cancelled`.
/// @throws no_runtime  outside of a fiber, for callables; std::invalid_argument  for an empty callable
/// @throws what weft::spawn() throws, after those that were started have been cancelled and have ended
template <class... Fs>
auto gather(Fs&&... fs) {
  constexpr bool callables = (detail::plain_callable<Fs> && ...);
  constexpr bool tasks_only = (detail::is_task<std::remove_cvref_t<Fs>> && ...);
  constexpr bool either = (detail::gatherable<Fs> && ...);
  constexpr bool not_mixed = callables || tasks_only || !either;
  static_assert(either,
                "weft::gather: each argument must be a task or callable without arguments, or the only one a range of "
                "such");
  static_assert(not_mixed, "weft::gather: either callables or tasks, not both in one call");
  if constexpr (callables) {
    std::array<detail::fiber_record*, sizeof...(Fs) + 1> room;
    detail::siblings all{"weft::gather", detail::decided_by::failure};
    detail::run_all(all, room.data(), fs...);
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      (all.check(I), ...);
      return std::tuple<detail::in_tuple<detail::plain_result<Fs>>...>{
          detail::take(all.template result<detail::plain_result<Fs>>(I))...};
    }(std::index_sequence_for<Fs...>{});
  } else if constexpr (tasks_only) {
    std::tuple<detail::kept_range<Fs>...> tasks{std::forward<Fs>(fs)...};
    return std::apply(
        [](auto&... t) {
          std::array<detail::fiber_record*, sizeof...(t)> const records{&detail::task_access::record(t)...};
          detail::join_tasks(records.data(), records.size(), true);
          return std::tuple<decltype(detail::take_from(t))...>{detail::take_from(t)...};
        },
        tasks);
  } else {
    return detail::misused{};
  }
}

/// The same for the elements of a range.
/// @returns a vector of what they return, in order: for `T&` a `std::reference_wrapper<T>`, for `void`
///   `std::monostate`
/// @param range  of callables, or of tasks, or of pointers to tasks. Tasks in an lvalue stay there when their results
///   have been taken; those in an rvalue end with the call. From threads, too, for tasks
template <class R>
  requires detail::gatherable_range<R>
auto gather(R&& range) {
  if constexpr (detail::callable_range<R>) {
    using result = detail::plain_result_in<R>;
    std::vector<detail::fiber_record*> room;
    detail::siblings all{"weft::gather", detail::decided_by::failure};
    detail::run_all_in(all, room, range);
    std::vector<detail::in_vector<result>> results;
    results.reserve(room.size());
    for (std::size_t i = 0; i < room.size(); ++i) {
      all.check(i);
      results.push_back(detail::take(all.template result<result>(i)));
    }
    return results;
  } else {
    detail::kept_range<R&&> tasks = std::forward<R>(range);
    auto const records = detail::records_of(tasks);
    detail::join_tasks(records.data(), records.size(), true);
    std::vector<detail::in_vector<detail::task_result_in<R>>> results;
    results.reserve(records.size());
    for (auto&& element : tasks) results.push_back(detail::take_from(*detail::task_at(element)));
    return results;
  }
}

/// gather() in which each callable ends in its own way: a failure cancels nobody, and is a result like any other.
/// @returns a tuple of `outcome`s, in order
/// @par Cancellation
/// A cancellation point, as gather(): if the caller is cancelled, so are the callables.
/// @throws as gather(), but for failures
template <class... Fs>
auto gather_settled(Fs&&... fs) {
  constexpr bool callables = (detail::plain_callable<Fs> && ...);
  constexpr bool tasks_only = (detail::is_task<std::remove_cvref_t<Fs>> && ...);
  constexpr bool either = (detail::gatherable<Fs> && ...);
  constexpr bool not_mixed = callables || tasks_only || !either;
  static_assert(
      either,
      "weft::gather_settled: each argument must be a task or callable without arguments, or the only one a range of "
      "such");
  static_assert(not_mixed, "weft::gather_settled: either callables or tasks, not both in one call");
  if constexpr (callables) {
    std::array<detail::fiber_record*, sizeof...(Fs) + 1> room;
    detail::siblings all{"weft::gather_settled", detail::decided_by::nobody};
    detail::run_all(all, room.data(), fs...);
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple<outcome<detail::plain_result<Fs>>...>{
          detail::settle<detail::plain_result<Fs>>(all.template result<detail::plain_result<Fs>>(I))...};
    }(std::index_sequence_for<Fs...>{});
  } else if constexpr (tasks_only) {
    std::tuple<detail::kept_range<Fs>...> tasks{std::forward<Fs>(fs)...};
    return std::apply(
        [](auto&... t) {
          std::array<detail::fiber_record*, sizeof...(t)> const records{&detail::task_access::record(t)...};
          detail::join_tasks(records.data(), records.size(), false);
          return std::tuple<decltype(detail::settle_from(t))...>{detail::settle_from(t)...};
        },
        tasks);
  } else {
    return detail::misused{};
  }
}

/// The same for the elements of a range, as in gather().  @returns a vector of `outcome`s, in order
template <class R>
  requires detail::gatherable_range<R>
auto gather_settled(R&& range) {
  if constexpr (detail::callable_range<R>) {
    using result = detail::plain_result_in<R>;
    std::vector<detail::fiber_record*> room;
    detail::siblings all{"weft::gather_settled", detail::decided_by::nobody};
    detail::run_all_in(all, room, range);
    std::vector<outcome<result>> results;
    results.reserve(room.size());
    for (std::size_t i = 0; i < room.size(); ++i) {
      results.push_back(detail::settle<result>(all.template result<result>(i)));
    }
    return results;
  } else {
    detail::kept_range<R&&> tasks = std::forward<R>(range);
    auto const records = detail::records_of(tasks);
    detail::join_tasks(records.data(), records.size(), false);
    std::vector<outcome<detail::task_result_in<R>>> results;
    results.reserve(records.size());
    for (auto&& element : tasks) results.push_back(detail::settle_from(*detail::task_at(element)));
    return results;
  }
}

}  // namespace weft::inline v0
