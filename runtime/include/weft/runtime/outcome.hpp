#pragma once
/// @file
/// `outcome<T>`: what a callable returned, or the exception that left it.

#include <exception>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>

namespace weft::inline v0 {

/// A value, or an exception in its place; as `std::expected<T, std::exception_ptr>` would be. `T` may be `void`, a
/// reference, or movable only.
/// @par Thread safety
/// As a standard container's: none, but for calls of const members at once.
template <class T>
class [[nodiscard]] outcome {
public:
  /// With what `operator*` gives: for `void` nothing, else a reference.
  using value_type = T;

  /// A value.
  template <class... V>
    requires(std::is_void_v<T> ? sizeof...(V) == 0 : sizeof...(V) == 1)
  explicit outcome(std::in_place_t, V&&... value) {
    if constexpr (std::is_void_v<T>) {
      what_.template emplace<1>();
    } else if constexpr (std::is_reference_v<T>) {
      what_.template emplace<1>(std::ref(value)...);
    } else {
      what_.template emplace<1>(std::forward<V>(value)...);
    }
  }
  /// A failure; `error` is not null.
  explicit outcome(std::exception_ptr error) noexcept : what_(std::in_place_index<0>, std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return what_.index() == 1; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

  /// The value.
  /// @throws the exception that is there in its place
  decltype(auto) value() & {
    check();
    return **this;
  }
  decltype(auto) value() const& {
    check();
    return **this;
  }
  decltype(auto) value() && {
    check();
    return *std::move(*this);
  }

  /// The value of an outcome that has_value().
  decltype(auto) operator*() & noexcept { return get(what_); }
  decltype(auto) operator*() const& noexcept { return get(what_); }
  decltype(auto) operator*() && noexcept { return get(std::move(what_)); }
  auto* operator->() noexcept
    requires(!std::is_void_v<T>)
  {
    return std::addressof(get(what_));
  }
  auto* operator->() const noexcept
    requires(!std::is_void_v<T>)
  {
    return std::addressof(get(what_));
  }
  /// The value, or `other` in its place.
  template <class U>
    requires(!std::is_void_v<T>)
  [[nodiscard]] std::remove_cvref_t<T> value_or(U&& other) const& {
    return has_value() ? **this : static_cast<std::remove_cvref_t<T>>(std::forward<U>(other));
  }

  /// The exception, or null where there is a value. `cancelled` among them, if the callable ended by it.
  [[nodiscard]] std::exception_ptr exception() const noexcept {
    auto const* const error = std::get_if<0>(&what_);
    return error != nullptr ? *error : nullptr;
  }

private:
  using stored = std::conditional_t<
      std::is_void_v<T>, std::monostate,
      std::conditional_t<std::is_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>, T>>;

  void check() const {
    if (!has_value()) std::rethrow_exception(std::get<0>(what_));
  }
  template <class W>
  static decltype(auto) get(W&& what) noexcept {
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return std::get_if<1>(&what)->get();
    } else if constexpr (std::is_lvalue_reference_v<W>) {
      return (*std::get_if<1>(&what));
    } else {
      return std::move(*std::get_if<1>(&what));
    }
  }

  std::variant<std::exception_ptr, stored> what_;
};

}  // namespace weft::inline v0
