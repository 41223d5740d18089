#pragma once
/// @file
/// `context_var<T>`: a value that goes with the work, as Python's `contextvars`: the request that is being served, the
/// user, the trace. What spawns, offloads or registers passes on what it sees at that moment.

#include <weft/runtime/detail/context.hpp>
#include <weft/runtime/fiber_local.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

/// A variable of which each fiber, and each thread outside of fibers, sees a value of its own.
///
/// A new fiber begins with the values that its spawner saw at spawn; what either sets later, the other does not see.
/// The same holds for calls of `offload`, `offload_blocking` and `offload_pool`, for `after`, `every` and `post`, for
/// `task::on_done` (the values of the one who registered), and for what a thread runs or spawns in a runtime.
///
/// Values are constant, and shared by all who inherited them: what is to be changed by several belongs behind a
/// pointer. The object itself is mostly a global; whoever uses it must see to it that it lives.
/// @par Thread safety
/// Any member, from any fiber and thread, at once. `T`'s const members may be called by several at once.
/// @par Cost
/// A fiber that is spawned where no variable is set pays nothing. Otherwise it takes one reference, whatever the number
/// of variables. get() looks through the variables that are set: meant for a handful. set() makes a new table of them:
/// two allocations.
/// @par Lifetime
/// A value is destroyed when the last who sees it has ended or has set another, on whatever fiber or thread that is. A
/// fiber lets go of its values after its callable and its `fiber_local`s are gone, before anyone sees it ended.
template <class T>
class context_var {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>);

public:
  /// What set() has replaced.
  class token {
  public:
    token(token&&) noexcept = default;
    token& operator=(token&&) noexcept = default;

  private:
    friend class context_var;
    token(std::uint64_t key, detail::context_value_ref before) noexcept
        : key_(key), holder_(detail::context_holder()), before_(std::move(before)) {}

    std::uint64_t key_;
    std::uint64_t holder_;
    detail::context_value_ref before_;
  };

  /// A value set until the end of this object. Automatic storage, on the fiber or thread that made it.
  class [[nodiscard]] scoped {
  public:
    scoped(scoped const&) = delete;
    /// Puts back the value from before, or none; whatever has been set for this variable meanwhile. Aborts on another
    /// fiber or thread than the one that made it, and where others have been set since, and not put back, and there is
    /// no memory for a table.
    ~scoped() {
      if (detail::context_holder() != holder_) detail::refuse_context_end();
      detail::end_context_change(key_, change_);
    }

  private:
    friend class context_var;
    scoped(std::uint64_t key, T&& value)
        : key_(key),
          holder_(detail::context_holder()),
          change_(detail::begin_context_change(key, make(std::move(value)))) {}

    std::uint64_t key_;
    std::uint64_t holder_;
    detail::context_change change_;
  };

  /// Where no value is set, it is `T{}`.
  context_var()
    requires std::default_initializable<T>
      : default_() {}
  /// Where no value is set, it is `value`.
  explicit context_var(T value) : default_(std::move(value)) {}
  context_var(context_var const&) = delete;
  context_var& operator=(context_var const&) = delete;

  /// The caller's value, or the default. The reference is good until the caller sets the variable again, or a scope of
  /// it ends, or the caller does.
  [[nodiscard]] T const& get() const noexcept {
    auto const* const value = detail::find_context_value(key_);
    return value != nullptr ? static_cast<detail::context_value_of<T> const*>(value)->value : default_;
  }
  /// Whether a value has been set, by the caller or by one from whom it inherits.
  [[nodiscard]] bool has_value() const noexcept { return detail::find_context_value(key_) != nullptr; }

  /// Sets the caller's value.
  /// @returns a token with which reset() puts back what was before; it may be dropped
  /// @throws std::bad_alloc, and what moving `value` throws; then nothing has changed
  token set(T value) { return token{key_, detail::set_context_value(key_, make(std::move(value)))}; }

  /// Puts back what the call of set() that returned `t` has replaced.
  /// @throws error  for a token of another variable, fiber or thread; std::bad_alloc. Nothing has changed then
  void reset(token t) {
    bool const other_variable = t.key_ != key_;
    if (other_variable || t.holder_ != detail::context_holder()) detail::refuse_context_token(other_variable);
    (void)detail::set_context_value(key_, std::move(t.before_));
  }

  /// Sets the caller's value until the returned object dies: `auto const restore = user.set_scoped("ana");`
  /// @throws as set()
  [[nodiscard]] scoped set_scoped(T value) { return scoped{key_, std::move(value)}; }

private:
  [[nodiscard]] static detail::context_value_ref make(T&& value) {
    return detail::context_value_ref{new detail::context_value_of<T>(std::move(value))};
  }

  std::uint64_t const key_ = detail::new_local_key();
  T const default_;
};

}  // namespace weft::inline v0
