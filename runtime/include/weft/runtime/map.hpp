#pragma once
/// @file
/// `map` and `for_each`: a call for each element of a range, a limited number of them at once.
///
/// A few fibers, at most as many as may run at once, take one element after another; each that has found one starts the
/// next fiber, until there are enough. So a range may be longer than memory, and elements are taken as late as
/// possible. Taking is done in turns, since an input range may have to wait for its next element.

#include <weft/runtime/detail/turns.hpp>
#include <weft/runtime/gather.hpp>
#include <weft/runtime/task_group.hpp>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <limits>
#include <mutex>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weft::inline v0 {

/// How many calls may run at once.
struct max_concurrency {
  template <std::integral N>
  explicit constexpr max_concurrency(N n) noexcept : value(n > 0 ? static_cast<std::size_t>(n) : 0) {}
  std::size_t value;
};

namespace detail {

/// How an element is passed on while others are taken: what stays in its range by reference, anything else by value.
template <class R, class Ref = std::ranges::range_reference_t<R>>
using element_of =
    std::conditional_t<!std::ranges::forward_range<R>, std::ranges::range_value_t<R>,
                       std::conditional_t<std::is_lvalue_reference_v<Ref>, Ref, std::remove_cvref_t<Ref>>>;

/// Whether `f` can be called with the elements of `R`.
template <class F, class R>
concept maps = std::ranges::input_range<R> && std::invocable<std::remove_reference_t<F>&, element_of<R>>;

template <class F, class R>
using mapped = std::invoke_result_t<std::remove_reference_t<F>&, element_of<R>>;

void check_concurrency(max_concurrency limit);

/// Places for results, in order, which stay where they are while more are added.
template <class T>
class result_places {
public:
  using place = std::optional<in_vector<T>>;
  [[nodiscard]] place* add() { return &places_.emplace_back(); }
  template <class F, class E>
  static void fill(place& p, F& f, E&& element) {
    if constexpr (std::is_void_v<T>) {
      std::invoke(f, std::forward<E>(element));
      p.emplace();
    } else {
      p.emplace(std::invoke(f, std::forward<E>(element)));
    }
  }
  [[nodiscard]] std::vector<in_vector<T>> all() {
    std::vector<in_vector<T>> results;
    results.reserve(places_.size());
    for (auto& p : places_) results.push_back(std::move(*p));
    return results;
  }

private:
  std::deque<place> places_;
};

/// Where results are dropped.
struct no_places {
  using place = std::monostate;
  [[nodiscard]] place* add() noexcept { return &nothing_; }
  template <class F, class E>
  static void fill(place&, F& f, E&& element) {
    (void)std::invoke(f, std::forward<E>(element));
  }
  place nothing_;
};

template <class R, class F, class Places>
class mapping {
public:
  mapping(R& range, F& f, max_concurrency limit, Places& places)
      : f_(f), places_(places), at_(std::ranges::begin(range)), end_(std::ranges::end(range)), most_(limit.value) {
    if constexpr (std::ranges::sized_range<R>) {
      most_ = std::min(most_, static_cast<std::size_t>(std::ranges::size(range)));
    }
  }

  void run() {
    if (most_ != 0) group_.spawn([this] { work(); });
    group_.wait();
    // Who is shielded goes on when its runtime cancels all that run, which is no failure of theirs.
    if (most_ != 0 && !(reached_end_ && done_.load(std::memory_order_relaxed) == taken_)) {  // the wait orders it
      check_cancelled();
      throw cancelled{cancel_reason::shutdown};
    }
  }

private:
  /// An element that has been taken, and the place for its result.
  struct taken {
    template <class E>
    taken(E&& e, typename Places::place* p) : element(std::forward<E>(e)), place(p) {}
    element_of<R> element;
    typename Places::place* place;
  };

  void work() {
    while (auto item = take()) {
      Places::fill(*item->place, f_, static_cast<element_of<R>&&>(item->element));
      done_.fetch_add(1, std::memory_order_relaxed);  // the end of this task orders it
    }
  }

  std::optional<taken> take() {
    check_cancelled();
    std::lock_guard const turn{turns_};
    if (std::exchange(exhausted_, true)) return std::nullopt;  // also if taking the one before has failed
    if (std::exchange(begun_, true)) ++at_;                    // not sooner: it may wait
    if (at_ == end_) {
      reached_end_ = true;
      return std::nullopt;
    }
    auto item = next();
    ++taken_;
    exhausted_ = false;
    if (running_ < most_) {
      group_.spawn([this] { work(); });
      ++running_;
    }
    return item;
  }

  std::optional<taken> next() {
    using reference = std::ranges::range_reference_t<R>;
    if constexpr (std::ranges::forward_range<R> || std::constructible_from<element_of<R>, reference>) {
      return std::optional<taken>{std::in_place, *at_, places_.add()};
    } else {
      return std::optional<taken>{std::in_place, std::ranges::iter_move(at_), places_.add()};
    }
  }

  F& f_;
  turns turns_;  // guards what follows
  Places& places_;
  std::ranges::iterator_t<R> at_;
  std::ranges::sentinel_t<R> end_;
  bool begun_ = false;
  bool exhausted_ = false;
  bool reached_end_ = false;
  std::size_t taken_ = 0;
  std::size_t running_ = 1;
  std::size_t most_;
  std::atomic<std::size_t> done_{0};
  task_group group_;  // goes first
};

}  // namespace detail

/// Calls `f(element)` for each element of `range`, at most `limit` calls at once, each on a fiber of a few that do one
/// after another. Elements are taken when there is a fiber for them; of an input range one at a time, and each copied,
/// or moved if it cannot be copied, before the next is asked for. `range` and `f` are borrowed. `f` may be called by
/// several fibers at once.
///
///     auto const pages = weft::map(urls, [&](auto& url) { return load(url); }, weft::max_concurrency{10});
///
/// @returns what `f` returned, in the order of the elements: a vector of values, for `T&` of `std::reference_wrapper`,
///   for `void` of `std::monostate`
/// @par Failures
/// The first call that fails, or the first failure to take an element, cancels the others, and no more are begun. When
/// all have ended, its exception is thrown. What the others fail with goes to `on_unhandled_exception`.
/// @par Cancellation
/// A cancellation point, even where it need not wait; as gather(). Throws `cancelled` also from within a shield if its
/// calls were cancelled because the runtime shuts down.
/// @throws std::invalid_argument  for a limit of 0, or an empty callable; no_runtime  outside of a fiber
template <class R, class F>
auto map(R&& range, F&& f, max_concurrency limit) {
  constexpr bool of_range = std::ranges::input_range<R>;
  constexpr bool fits = !of_range || detail::maps<F, R>;
  static_assert(of_range, "weft::map: the first argument must be a range");
  static_assert(fits, "weft::map: the function cannot be called with an element of the range");
  if constexpr (of_range && fits) {
    detail::check_callable<std::decay_t<F>>(f);
    detail::check_concurrency(limit);
    detail::result_places<detail::mapped<F, R>> places;
    detail::mapping<R, std::remove_reference_t<F>, decltype(places)>{range, f, limit, places}.run();
    return places.all();
  } else {
    return detail::misused{};
  }
}

/// The same without results.
template <class R, class F>
void for_each(R&& range, F&& f, max_concurrency limit) {
  constexpr bool of_range = std::ranges::input_range<R>;
  constexpr bool fits = !of_range || detail::maps<F, R>;
  static_assert(of_range, "weft::for_each: the first argument must be a range");
  static_assert(fits, "weft::for_each: the function cannot be called with an element of the range");
  if constexpr (of_range && fits) {
    detail::check_callable<std::decay_t<F>>(f);
    detail::check_concurrency(limit);
    detail::no_places places;
    detail::mapping<R, std::remove_reference_t<F>, detail::no_places>{range, f, limit, places}.run();
  }
}

}  // namespace weft::inline v0
