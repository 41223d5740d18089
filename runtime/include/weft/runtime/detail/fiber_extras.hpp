#pragma once
/// @file
/// What only some fibers have: a name, values of `context_var`s, in virtual time an offloaded call that they run
/// themselves, and, in debug mode, the place where they were spawned. It hangs on the record, so that all others pay no
/// more than the look at a null pointer.

#include <weft/runtime/detail/context.hpp>

#include <memory>
#include <string_view>

namespace weft::inline v0 {

struct spawn_options;

namespace detail {

class call_in_place;
class scheduler;

/// Made before the fiber is queued, or by the fiber itself when it first needs one. All but what is the fiber's alone
/// is constant from then on, and may be read by whoever sees that the fiber is alive.
struct fiber_extras {
  char const* name = nullptr;  ///< null: none; behind this block, in the same allocation
  char const* file = nullptr;  ///< where it was spawned: a literal, with `line`
  unsigned line = 0;
  void const* code = nullptr;        ///< where it was spawned, if `file` is null: an address; null: not known
  context_table* context = nullptr;  ///< owned; the fiber's alone
  call_in_place* call = nullptr;     ///< that the fiber runs, see call_in_place.hpp; the fiber's alone

  [[nodiscard]] bool has_site() const noexcept { return file != nullptr || code != nullptr; }
};

struct extras_deleter {
  void operator()(fiber_extras* extras) const noexcept;
};
using extras_owner = std::unique_ptr<fiber_extras, extras_deleter>;

/// @throws std::bad_alloc
[[nodiscard]] extras_owner make_extras(std::string_view name);

/// The calling fiber's, made if there are none.  @throws std::bad_alloc
[[nodiscard]] fiber_extras& own_extras();

/// What a fiber of `home` that is about to be spawned by the caller has besides: its name, the caller's context, and in
/// debug mode the place: as `options` tell, or else `site`.
/// @param options  may be null
/// @returns null if it has none of them
/// @throws std::bad_alloc
[[nodiscard]] extras_owner extras_for_spawn(scheduler const& home, spawn_options const* options, void const* site);
/// The same, with the place to which this function returns.
/// @param home  null: the caller's runtime
[[nodiscard]] extras_owner extras_for_spawn(scheduler const* home, spawn_options const* options);

}  // namespace detail
}  // namespace weft::inline v0
