#pragma once
/// @file
/// Who gives way, and where it is ready meanwhile: see may_give_way().

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/detail/next_slot.hpp>

namespace weft::inline v0::detail {

struct turn_to_give {
  fiber_record* fiber;
  basic_next_slot<fiber_record*>* slot;  ///< of the worker on which it gave way
};

}  // namespace weft::inline v0::detail
