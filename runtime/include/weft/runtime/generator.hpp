#pragma once
/// @file
/// `generator<T>`: a range whose values are made one by one, as they are asked for, by a function that may wait.
///
///     weft::generator<std::string> lines([&](auto& yield) {
///       while (auto line = read_line(socket)) yield(*line);  // parks whoever iterates until there is a line
///     });
///     for (auto&& line : lines | std::views::filter(is_comment)) std::puts(line.c_str());
///
/// The function runs on a stack of its own, so it may yield from any depth of its calls: a recursive function takes
/// `yield` as an argument.

#include <weft/runtime/detail/generator_body.hpp>
#include <weft/runtime/spawn.hpp>

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

template <class T>
class generator;

/// Choices for one generator.
struct generator_options {
  /// Address space for the body's stack in bytes, at least 16 KiB, at most 1 GiB; rounded up to a power of two. 0: as
  /// fibers of the runtime in which it starts have by default, and 256 KiB outside of any.
  std::size_t stack_size = 0;
};

/// What a generator's body yields with. It stays where it is: functions that the body calls take it by reference.
template <class T>
class yielder {
public:
  using reference = std::conditional_t<std::is_reference_v<T>, T, T&&>;
  yielder(yielder const&) = delete;
  yielder& operator=(yielder const&) = delete;

  /// Hands `value` to whoever iterates, and returns when the next one is asked for. It is passed by reference: who
  /// iterates sees the very object, and may move from it if `T` is no reference. Not a cancellation point.
  /// @throws cancelled  with reason handle_dropped, if the generator dies instead, and in each call from then on. Let
  /// it pass. While an exception unwinds the body, such a call returns at once, and its value is dropped: so a
  /// destructor that yields does not end the program.
  /// @throws error  if called elsewhere than in this generator's body: on another fiber, or within another body
  void operator()(reference value) const { body_.yield(std::addressof(value)); }
  /// The same with a copy of `value`, which stays the body's own.
  void operator()(T const& value) const
    requires(!std::is_reference_v<T>) && std::copy_constructible<T>
  {
    T copy(value);
    body_.yield(std::addressof(copy));
  }

  /// Yields each element of a range, such as another generator's.
  template <std::ranges::input_range Range>
    requires std::convertible_to<std::ranges::range_reference_t<Range>, reference> ||
             std::convertible_to<std::ranges::range_reference_t<Range>, T const&>
  void from(Range&& range) const {
    for (auto&& element : range) (*this)(std::forward<decltype(element)>(element));
  }

private:
  friend class generator<T>;
  explicit yielder(detail::generator_body& body) noexcept : body_(body) {}
  detail::generator_body& body_;
};

/// A range of what its body yields. Like `std::generator` it is an input range: it is gone through once, and `*it` is a
/// `T&&` unless `T` is a reference, so that `for (auto v : g)` moves each value out. Unlike that, its body is an
/// ordinary function on a stack of its own, which may wait for anything that a fiber may wait for.
///
/// The body begins with begin(), and only ever runs within calls of begin() and `++it`. What it waits for parks the
/// fiber that made the call, or blocks the thread; the fiber may go on on another worker, body and all. Everything that
/// belongs to the fiber is that fiber's: its name, cancellation, `fiber_local` values. What is a context's own is the
/// body's: `std::current_exception()`, `std::uncaught_exceptions()`, the rounding mode.
///
/// As with any input range, `std::views::take(n)` lets the body run to value n + 1 before it ends; `break` does not.
///
/// Who breaks off a loop may go on later, on another fiber, another runtime or a thread: begin() of a generator that
/// has begun continues with the value at which it stopped.
/// @par The end
/// The callable is destroyed as soon as it has returned or thrown; the exception leaves begin() or `++it`. A generator
/// that dies before, dies as follows: the call of `yield` at which it stopped throws `cancelled` with reason
/// handle_dropped, and so does each further one. The destructor returns when the body has ended. Waits in it are
/// shielded meanwhile: they do not throw `cancelled`. What else leaves it goes to `on_unhandled_exception`; outside of
/// a runtime to stderr. A yield inside a `noexcept` function cannot be left that way: the language then calls
/// `std::terminate`.
/// @par Thread safety
/// Used by one fiber or thread at a time, which may be any. Advancing it while it runs throws `error`, destroying it
/// then aborts.
/// @par Cost
/// One allocation, and a stack from its first value to its end; none for each value.
template <class T>
class generator {
  static_assert(std::is_reference_v<T> || (std::is_object_v<T> && std::same_as<T, std::remove_cv_t<T>>),
                "weft::generator<T>: T is an object type without const or volatile, or a reference");

public:
  using reference = typename yielder<T>::reference;
  using value_type = std::remove_cvref_t<T>;

  /// Where a generator is. All iterators of one are the same: the place is the generator's.
  class iterator {
  public:
    using value_type = generator::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    iterator() noexcept = default;
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    /// The value at which the body has stopped. It is the body's own, and lives until `++`.
    /// @throws error  at the end
    [[nodiscard]] reference operator*() const {
      using object = std::remove_reference_t<reference>;
      return static_cast<reference>(*static_cast<object*>(const_cast<void*>(body_->value())));
    }
    /// Lets the body go on to its next value, or to its end.
    /// @throws what leaves the body; error  at the end, or while the body runs
    iterator& operator++() {
      body_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(iterator const& i, std::default_sentinel_t) noexcept {
      return i.body_ == nullptr || i.body_->has_ended();
    }

  private:
    friend class generator;
    explicit iterator(detail::generator_body* body) noexcept : body_(body) {}
    detail::generator_body* body_ = nullptr;
  };

  /// An empty range.
  generator() noexcept = default;
  /// The values that `body(yield)` yields, where `yield` is a `yielder<T>&`. The callable is moved or copied into the
  /// generator; it is called by begin().
  /// @throws std::invalid_argument  for an empty callable or a stack size out of range
  /// @throws std::bad_alloc; what moving the callable throws
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, generator> &&
             !std::same_as<std::remove_cvref_t<F>, generator_options>)
  explicit generator(F&& body) : generator(generator_options{}, std::forward<F>(body)) {}
  template <class F>
  generator(generator_options const& options, F&& body) {
    static_assert(
        std::invocable<std::decay_t<F>&, yielder<T>&>,
        "weft::generator<T>: the body is called with a weft::yielder<T>&, as in [](auto& yield) { yield(v); }");
    detail::check_callable<std::decay_t<F>>(body, "weft::generator: the body is empty");
    body_ = new callable_body<std::decay_t<F>>(options.stack_size, std::forward<F>(body));
  }
  generator(generator&& other) noexcept : body_(std::exchange(other.body_, nullptr)) {}
  /// Ends the body held before, as the destructor does.
  generator& operator=(generator&& other) noexcept {
    if (this != &other) {
      drop();
      body_ = std::exchange(other.body_, nullptr);
    }
    return *this;
  }
  ~generator() { drop(); }

  /// Lets the body run to its first value; if it has begun already, it stays where it is.
  /// @throws what leaves the body; error  while it runs
  /// @throws stack_unavailable  if no stack can be had: the body has not begun, and may be begun later
  [[nodiscard]] iterator begin() {
    if (body_ != nullptr) body_->begin();
    return iterator{body_};
  }
  [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

private:
  template <class F>
  struct callable_body final : detail::generator_body {
    template <class From>
    callable_body(std::size_t stack_size, From&& from)
        : generator_body(type_of, stack_size), callable(std::in_place, std::forward<From>(from)) {}

    static void call(generator_body& self) {
      yielder<T> yield{self};
      (void)(*static_cast<callable_body&>(self).callable)(yield);
    }
    static void discard(generator_body& self) noexcept { static_cast<callable_body&>(self).callable.reset(); }
    static void free(generator_body* self) noexcept { delete static_cast<callable_body*>(self); }
    static constexpr detail::body_type type_of{&call, &discard, &free};

    std::optional<F> callable;
  };

  void drop() noexcept {
    if (body_ != nullptr) detail::generator_body::destroy(std::exchange(body_, nullptr));
  }

  detail::generator_body* body_ = nullptr;
};

}  // namespace weft::inline v0
