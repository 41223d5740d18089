#pragma once
/// @file
/// Stacks for generators' bodies (generator_body.hpp). They belong to the process and not to a runtime, because a
/// generator may be made where there is none, go on in another than it began in, and outlive all of them, with objects
/// on its stack that want to be destroyed. Each worker keeps some of them, as it does of its fibers' stacks.

#include "stack_pool.hpp"

#include <cstddef>
#include <cstdint>

namespace weft::inline v0::detail::body_stacks {

/// As runtime_options has it by default.
inline constexpr std::size_t guard_bytes = std::size_t{64} * 1024;
inline constexpr std::size_t default_bytes = std::size_t{256} * 1024;

/// On any thread, from its worker's cache if it has one.  @returns null if none is to be had
[[nodiscard]] stack* take(std::uint8_t size_class) noexcept;
/// Takes back one that was taken anywhere, and whose context is suspended in generator_body's base loop.
void give(stack* s) noexcept;

/// See stack_pool. Of the stacks that no worker keeps.
std::size_t release_idle(std::size_t keep_bytes) noexcept;
std::size_t release_all() noexcept;
[[nodiscard]] bool has_used() noexcept;
/// Inaccessible bytes below each stack of the class.
[[nodiscard]] std::size_t guard_bytes_of(std::uint8_t size_class) noexcept;

}  // namespace weft::inline v0::detail::body_stacks
