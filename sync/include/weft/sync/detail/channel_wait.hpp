#pragma once
/// @file
/// What channels of all types wait with.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/detail/channel_state.hpp>

namespace weft::inline v0::detail {

using channel_node = basic_channel_node<waiter, std_atomics>;
using channel_line = basic_channel_line<channel_node, std_atomics>;
using channel_lock = basic_biased_lock<>;

/// Whether a call with this deadline is only to try.
[[nodiscard]] bool channel_only_tries(time_point deadline) noexcept;
/// Takes `node` out of `line`: nobody has decided its fate, and for `cause` nobody will.  @throws cancelled
void leave_channel(channel_lock& lock, channel_line& line, channel_node& node, waiter const& self, wake_cause cause);
/// For who stands in line without a wait, and has not found that it has been served: waits until it is, or the line is
/// closed.
/// @returns false if it has been passed over, as cancelled: it is in no line then  @throws cancelled, likewise
[[nodiscard]] bool wait_in_line(channel_lock& lock, channel_line& line, channel_node& node, char const* reason);
/// Wakes those who were in line when the channel was closed.
void wake_closed(channel_node* claimed) noexcept;
[[noreturn]] void throw_channel_closed();
[[noreturn]] void throw_channel_timeout();
/// Aborts if `waiting`.
void check_channel_unused(bool waiting) noexcept;

}  // namespace weft::inline v0::detail
