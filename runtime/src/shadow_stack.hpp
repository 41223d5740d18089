#pragma once
/// @file
/// Hardware shadow stacks (part of Intel's CET and of AMD's equivalent; H17). Where a thread has one, each `ret` is
/// compared with it, and a switch must change it together with the stack. The fcontext that Boost.Context has does not:
/// the first fiber that goes on would end the process with a fault that explains nothing.

#include <atomic>

namespace weft::inline v0::detail {

/// Asks the kernel whether the calling thread has a shadow stack. Threads inherit it from who starts them.
[[nodiscard]] bool has_shadow_stack() noexcept;

/// Who is asked when a runtime starts; exchanged by tests.
inline std::atomic<bool (*)() noexcept> shadow_stack_probe{&has_shadow_stack};

}  // namespace weft::inline v0::detail
