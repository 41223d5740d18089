#pragma once
/// @file
/// `blocking`: a call that blocks the thread, made where it stands.

#include <concepts>
#include <cstdint>
#include <utility>

namespace weft::inline v0 {

namespace detail {

class worker;
struct fiber_record;

/// While it lives, a stand-in takes the place of the worker on which it was made.
class away_from_worker {
public:
  away_from_worker() noexcept;
  away_from_worker(away_from_worker const&) = delete;
  ~away_from_worker();

private:
  worker* left_ = nullptr;          // on which it was made, if somebody stands in for it
  std::uint64_t home_ = 0;          // the id of its runtime
  fiber_record* before_ = nullptr;  // what was noted there: one such call may lie within another
};

}  // namespace detail

/// Calls `f()` on this very thread, and meanwhile hands the worker's queue, timers and descriptors on to another
/// thread, so that the other fibers go on: for calls that block and must be made on the thread that they are made on.
/// (For others, offload_blocking() costs less memory.) At most 64 calls at a time have another thread stand in for
/// them; further ones, and those in a runtime that is not `scheduling::work_stealing`, hold up their worker's fibers,
/// as they would without this. Fibers that are pinned to the worker wait for `f` in any case. Outside of a runtime it
/// only calls `f`. `f` may wait like any other code; the other thread then stands in until `f` has returned. In a
/// generator's body it may yield, too; but if it then ends outside of the runtime in which it began, the program aborts
/// with a message.
/// @returns what `f` returns; throws what it throws
/// @par Cancellation
/// Not a cancellation point: `f` is called in any case.
template <std::invocable F>
decltype(auto) blocking(F&& f) {
  detail::away_from_worker const away;
  return std::forward<F>(f)();
}

}  // namespace weft::inline v0
