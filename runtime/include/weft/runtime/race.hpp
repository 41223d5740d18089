#pragma once
/// @file
/// `race`: the first of several callables that ends.

#include <weft/runtime/detail/siblings.hpp>
#include <weft/runtime/gather.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weft::inline v0 {

namespace detail {

/// What a race of callables with these results returns: the same, if all are the same; else a variant whose index says
/// who won.
template <class T>
using prize = std::conditional_t<std::is_void_v<T>, void, in_tuple<T>>;
template <class T, class... Ts>
using race_result =
    std::conditional_t<(std::same_as<T, Ts> && ...), prize<T>, std::variant<in_vector<T>, in_vector<Ts>...>>;

template <class Result, class T, std::size_t I>
Result prize_of(siblings& all) {
  if constexpr (!std::same_as<Result, prize<T>>) {
    return Result{std::in_place_index<I>, take(all.template result<T>(I))};
  } else if constexpr (!std::is_void_v<T>) {
    return take(all.template result<T>(I));
  }
}

/// @throws the cancellation by which all have ended, if nobody has won
inline std::size_t winner_of(siblings& all) {
  auto const winner = all.decisive();
  if (winner == all.size()) all.check(0);
  return winner;
}

}  // namespace detail

/// Runs `f()`, `fs()...` side by side, each in a fiber of its own, until the first has ended, be it with a result or by
/// an exception. The others are cancelled (reason handle_dropped), and race waits for their end. The callables are
/// borrowed.
/// @returns what the winner returned: `T`, if all return `T`; else a `std::variant` whose index says who won, and in
///   which `void` is `std::monostate` and `T&` a `std::reference_wrapper<T>`
/// @par Failures
/// The winner's exception is thrown. What the others fail with goes to `on_unhandled_exception`.
/// @par Cancellation
/// A cancellation point. If the caller is cancelled, so are all; then `cancelled` is thrown, unless the winner failed.
/// @throws as gather()
template <class F, class... Fs>
decltype(auto) race(F&& f, Fs&&... fs) {
  constexpr bool callables = detail::plain_callable<F> && (detail::plain_callable<Fs> && ...);
  static_assert(callables,
                "weft::race: each argument must be callable without arguments, or the only one a range of such");
  if constexpr (callables) {
    using result = detail::race_result<detail::plain_result<F>, detail::plain_result<Fs>...>;
    std::array<detail::fiber_record*, 1 + sizeof...(Fs)> room;
    detail::siblings all{"weft::race", detail::decided_by::end};
    detail::run_all(all, room.data(), f, fs...);
    auto const winner = detail::winner_of(all);
    return [&]<std::size_t... I>(std::index_sequence<I...>) -> result {
      using function = result (*)(detail::siblings&);
      constexpr function prizes[] = {
          &detail::prize_of<result, detail::plain_result<F>, 0>,
          &detail::prize_of<result, detail::plain_result<Fs>, I + 1>...,
      };
      return prizes[winner](all);
    }(std::index_sequence_for<Fs...>{});
  } else {
    return detail::misused{};
  }
}

/// The same for the elements of a range of callables.
/// @throws std::invalid_argument  for an empty one
template <class R>
  requires(!detail::plain_callable<R> && detail::callable_range<R>)
detail::prize<detail::plain_result_in<R>> race(R&& range) {
  using result = detail::plain_result_in<R>;
  std::vector<detail::fiber_record*> room;
  detail::siblings all{"weft::race", detail::decided_by::end};
  detail::run_all_in(all, room, range);
  if (room.empty()) throw std::invalid_argument("weft::race: the range is empty, and nobody can win");
  auto const winner = detail::winner_of(all);
  if constexpr (!std::is_void_v<result>) return detail::take(all.template result<result>(winner));
}

}  // namespace weft::inline v0
