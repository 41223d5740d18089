#include <weft/runtime/detail/draw.hpp>

#include "scheduler.hpp"
#include "worker.hpp"

#include <cstdint>

namespace weft::inline v0::detail {

namespace {

/// `n` is below 2^32. Numerical Recipes' generator. Its upper bits are the good ones, and it is those that decide.
std::size_t draw_from(std::uint32_t& state, std::size_t n) noexcept {
  state = state * 1664525U + 1013904223U;
  return static_cast<std::size_t>((std::uint64_t{state} * n) >> 32U);
}

/// Nothing in here suspends, so that the thread stays the same.
[[gnu::noinline]] std::size_t draw_on_thread(std::size_t n) noexcept {
  thread_local std::uint32_t state = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(&state) >> 4U);
  return draw_from(state, n);
}

}  // namespace

std::size_t worker::draw(std::size_t n) noexcept { return draw_from(random_, n); }

std::size_t draw(std::size_t n) noexcept {
  worker* const w = current_worker();
  if (w == nullptr) return draw_on_thread(n);
  under_identity const scheduler_code{w->identity};
  return w->home.world != nullptr ? w->home.world->choose(n) % n : w->draw(n);
}

}  // namespace weft::inline v0::detail
