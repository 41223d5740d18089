#pragma once
/// @file
/// Floating-point control, which Boost.Context saves and restores at each switch.
///
/// On x86-64 the control register holds the sticky exception flags too, and loading a value that differs from the
/// present one costs an order of magnitude more than loading an equal one (measured on Intel processors: 60 ns against
/// 4). One inexact operation in one fiber would bring that about. The flags are not part of what a call preserves, so
/// every fiber starts with all of them set: then no operation changes the register, and all fibers agree. Rounding mode
/// and masks are a fiber's own, and start at their defaults.

#include <cstdint>

namespace weft::inline v0::detail {

#if defined(__x86_64__)

inline constexpr std::uint32_t default_mxcsr = 0x1F80 | 0x3F;  // all masked, to nearest | all flags set
inline constexpr std::uint16_t default_x87_control = 0x037F;

/// Makes a fiber start with the defaults, whatever ran on this stack before. Loads them unseen: a load of what is there
/// already costs next to nothing, while reading the first register waits for all that is under way (measured on an AMD
/// Zen processor: 0.3 ns and 3.6).
[[gnu::always_inline]] inline void reset_floating_point() noexcept {
  asm volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(default_mxcsr), "m"(default_x87_control));
}

/// The same for a context that is suspended, and will start a fiber when it goes on: the jump has saved the two
/// registers at the context's lowest address, and loads them from there. (Reading memory costs nothing; reading the
/// register waits for all that is under way.)
inline void reset_floating_point_of(void* context) noexcept {
  struct saved {
    std::uint32_t mxcsr;
    std::uint16_t x87_control;
  };
  auto* const at = static_cast<saved*>(context);
  if (at->mxcsr != default_mxcsr || at->x87_control != default_x87_control) [[unlikely]] {
    at->mxcsr = default_mxcsr;
    at->x87_control = default_x87_control;
  }
}

#else

inline void reset_floating_point() noexcept {}
inline void reset_floating_point_of(void*) noexcept {}

#endif

}  // namespace weft::inline v0::detail
