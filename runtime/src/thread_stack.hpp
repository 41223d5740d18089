#pragma once
/// @file
/// Where a thread's own stack lies, which AddressSanitizer wants to know when fibers switch back to it.

#include "sanitizers.hpp"

#include <pthread.h>

namespace weft::inline v0::detail {

[[nodiscard]] inline stack_bounds find_thread_stack() noexcept {
  stack_bounds bounds;
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
    void* bottom = nullptr;
    ::pthread_attr_getstack(&attributes, &bottom, &bounds.size);
    ::pthread_attr_destroy(&attributes);
    bounds.bottom = bottom;
  }
  return bounds;
}

/// The calling thread's, found once: for the first thread it is read from /proc.
[[nodiscard]] inline stack_bounds thread_stack() noexcept {
  static thread_local stack_bounds const bounds = find_thread_stack();
  return bounds;
}

}  // namespace weft::inline v0::detail
