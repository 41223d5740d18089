#pragma once
/// @file
/// `pin_guard`: keeps a fiber on its worker for a while. For libraries that keep `thread_local` state, or insist that a
/// lock is given back by the thread that took it.

namespace weft::inline v0 {

namespace detail {
struct fiber_record;
}

/// As long as it lives, the calling fiber goes on only on the worker on which it was made, whatever it waits for, and
/// whoever wakes it. Guards nest: the fiber is free again when the outermost has gone.
///
/// A pinned fiber is not stolen, so it waits while its worker computes, however idle the others are. It is queued
/// apart: while others are always ready there, it has its turn every 64 switches or so, and it is never put first in
/// line.
///
/// Not a cancellation point. Outside of a fiber it does nothing: a thread stays itself.
/// @par Storage
/// Automatic: neither copied nor moved, and left on the fiber that made it, the newest first. Leaving one on another
/// fiber aborts.
class pin_guard {
public:
  pin_guard() noexcept;
  pin_guard(pin_guard const&) = delete;
  pin_guard& operator=(pin_guard const&) = delete;
  ~pin_guard();

private:
  detail::fiber_record* fiber_;  // null: not on a fiber
  bool outer_ = false;           // there is a guard around this one
};

}  // namespace weft::inline v0
