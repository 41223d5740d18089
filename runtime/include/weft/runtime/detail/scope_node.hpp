#pragma once
/// @file
/// What a cancel scope is to the runtime: a link in the chain of scopes that a *context* is in, innermost first. A
/// context is a fiber, a thread that is not a worker, or the body of a generator, whose part of the chain hangs below
/// the chain of whoever resumes it, while it runs.
///
/// - Only the context itself walks, lengthens and shortens its chain. All others reach single nodes: they may change
///   `state` and `deadline`, which are atomic, and then poke the context (wait_ticket.hpp).
/// - `state` changes once, from 0. Who sees it changed sees what was done before.
/// - Deadlines are passive: nothing is armed when a scope is entered. A wait ends at the earliest deadline that counts
///   for it; the context then finds it passed, and cancels that scope itself.
/// - Which scopes count for a wait is found from the inside to the outside: none beyond a shield, and none that was
///   entered with fewer exceptions in flight than there are now.
///
/// A task's own scope, the outermost of all, has no node: it is in the fiber's ticket.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/wait_ticket.hpp>
#include <weft/runtime/error.hpp>

#include <atomic>
#include <cstdint>

namespace weft::inline v0::detail {

struct fiber_record;
struct scope_segment;
class stop_relay;

struct scope_node {
  enum class kind : std::uint8_t {
    scope,
    shield,
    seam  ///< between a generator's body, inside, and whoever resumes it
  };

  explicit scope_node(kind is, time_point at = never) noexcept : deadline(at.time_since_epoch().count()), what(is) {}
  scope_node(scope_node const&) = delete;

  /// 0, or how it was cancelled: id | 3 bits of the reason. Nobody else has the id.
  std::atomic<std::uint64_t> state{0};
  std::atomic<time_point::rep> deadline;
  std::atomic<stop_relay*> relay{nullptr};  ///< of its stop token; owned; written by the context
  scope_node* outer = nullptr;
  wait_ticket* ticket = nullptr;     ///< of the context; in a segment, that of the segment counts
  fiber_record* fiber = nullptr;     ///< of the context; null: a thread
  scope_segment* segment = nullptr;  ///< of which it is a part; null: of the fiber's or thread's own chain
  int uncaught = 0;                  ///< exceptions in flight when it was entered; of a seam: where it was resumed
  kind const what;
  bool outer_looks = false;  ///< whether the ticket's `look` stays set when this is left
};

/// A part of a chain that is not always there: the scopes of a generator's body.
struct scope_segment {
  scope_node seam{scope_node::kind::seam};
  scope_node* innermost = nullptr;  ///< while it is detached; null: the body is in no scope
  bool had_scopes = false;          ///< from the first scope on: one that has been left may still be cancelled
  std::atomic_flag lock{};          ///< guards the next two where `had_scopes`, for who cancels one of them
  wait_ticket* ticket = nullptr;    ///< of the context below which it hangs; null: the body does not run
  fiber_record* fiber = nullptr;
};

/// Hangs `segment` below the caller's scopes: what runs from now on, until detach(), is the body.
/// @param uncaught  exceptions in flight where the body is resumed
void attach(scope_segment& segment, int uncaught) noexcept;
/// Takes it off again, on the fiber or thread that attached it; with the scopes that the body is in.
void detach(scope_segment& segment) noexcept;

/// Makes `node` the innermost of the caller's chain, and takes it out again. Aborts if it is not the innermost, or on
/// another fiber or thread.
void enter_scope(scope_node& node) noexcept;
void leave_scope(scope_node& node) noexcept;

/// Cancels a scope, once. Any thread.  @returns false if it has been cancelled before
bool cancel_scope_node(scope_node& node, cancel_reason reason) noexcept;
/// The context of `node` is to look at it again. Any thread.
void poke_context(scope_node& node) noexcept;

/// Identifies a scope that has been cancelled; 0: none.
[[nodiscard]] constexpr std::uint64_t id_of(std::uint64_t state) noexcept { return state >> 3U; }
[[nodiscard]] constexpr cancel_reason reason_of(std::uint64_t state) noexcept {
  return static_cast<cancel_reason>(state & 7U);
}
/// What a task's own scope is cancelled as. Even; those of nodes are odd.
[[nodiscard]] constexpr std::uint64_t own_scope_id(std::uint64_t fiber) noexcept { return fiber << 1U; }

/// Makes, and looks into, exceptions that carry a scope.
struct cancelled_access {
  [[nodiscard]] static cancelled make(cancel_reason reason, std::uint64_t scope) noexcept {
    cancelled made{reason};
    made.scope_ = scope;
    return made;
  }
  [[nodiscard]] static std::uint64_t scope(cancelled const& c) noexcept { return c.scope_; }
};

/// Whether `c` was thrown for a scope that the caller is in, so that somebody further out is to have it; otherwise it
/// is somebody else's, such as a child's, and a failure like any other.
[[nodiscard]] bool is_from_enclosing_scope(cancelled const& c) noexcept;

}  // namespace weft::inline v0::detail
