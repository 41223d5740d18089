#pragma once
/// @file
/// A call that comes back by an indirect jump, for where a fiber waits inside and others, which called from elsewhere,
/// run meanwhile.
///
/// A processor predicts where a `ret` goes by a stack of its own, which knows nothing of fibers: whoever goes on finds
/// the addresses of who was left. As long as both wait by the same functions those are the same, and that holds up to
/// the first function that they called from different places: its `ret` mispredicts, at each switch. An indirect jump
/// is predicted by what the thread did before, and two fibers that take turns are soon known. The two ends of a channel
/// usually are different code. The price: an entry stays on the processor's stack, and the callers' own returns, which
/// would have found those of other callers, mispredict as before.

#include <weft/runtime/clock.hpp>

namespace weft::inline v0::detail {

/// What is to be called: on an object, with an argument, and at most until a deadline.
using timed_call = bool (*)(void* object, void* argument, time_point deadline);

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(__CET__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
extern "C" bool weft_v0_jump_back(void* object, void* argument, time_point deadline, timed_call f);

/// @returns f(object, argument, deadline)  @throws what that throws
inline bool jump_back(void* object, void* argument, time_point deadline, timed_call f) {
  return weft_v0_jump_back(object, argument, deadline, f);
}
#else
inline bool jump_back(void* object, void* argument, time_point deadline, timed_call f) {
  return f(object, argument, deadline);
}
#endif

}  // namespace weft::inline v0::detail
