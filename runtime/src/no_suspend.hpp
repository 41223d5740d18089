#pragma once
/// @file
/// How a `no_suspend_scope` is seen without a look of its own on the way to a wait.
///
/// Before it leaves its worker, a fiber looks whether a joiner has stepped aside for it (`fiber_record::joiner_aside`).
/// With `runtime_options::debug` no joiner ever does, and the mark stands for the scope: open_aside_join() then comes
/// here.

#include <weft/runtime/detail/fiber_record.hpp>

namespace weft::inline v0::detail {

[[noreturn]] void refuse_suspension(fiber_record const& fiber) noexcept;

}  // namespace weft::inline v0::detail
