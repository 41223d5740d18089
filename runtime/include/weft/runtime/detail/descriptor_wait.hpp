#pragma once
/// @file
/// Waiting for a file descriptor: what io/ builds on.

#include <weft/runtime/clock.hpp>
#include <weft/runtime/detail/polled_descriptor.hpp>

namespace weft::inline v0::detail {

/// Parks the calling fiber until `descriptor` is ready, or has failed or been hung up, or until `deadline`.
/// The descriptor must stay open meanwhile.
/// @returns false if the deadline passed first
/// @throws cancelled; no_runtime outside of a fiber; std::system_error for a descriptor that cannot be polled
bool wait_descriptor(int descriptor, readiness what, time_point deadline = never);

}  // namespace weft::inline v0::detail
