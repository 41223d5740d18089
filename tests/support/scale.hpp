#pragma once
/// @file
/// How much work a test does: all of it in an optimised build, a part under a sanitizer, which makes it slow.

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT_TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WEFT_TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_TEST_TSAN 1
#endif

namespace weft::test {

#if defined(WEFT_TEST_TSAN)
inline constexpr bool under_tsan = true;
#else
inline constexpr bool under_tsan = false;
#endif
#if defined(WEFT_TEST_ASAN)
inline constexpr bool under_asan = true;
#else
inline constexpr bool under_asan = false;
#endif
inline constexpr bool under_sanitizer = under_tsan || under_asan;

/// `n`, or a fraction of it where a sanitizer makes each step slow; at least 1.
constexpr std::size_t scaled(std::size_t n) noexcept {
  if (under_tsan) return std::max<std::size_t>(n / 32, 1);
  if (under_asan) return std::max<std::size_t>(n / 8, 1);
  return n;
}

/// Whether this is the soak: the same tests, at the length that takes minutes.
#if defined(WEFT_SOAK_FULL)
inline constexpr bool full_length = true;
#else
inline constexpr bool full_length = false;
#endif

/// Whether the environment asks for the worst schedule: no fiber goes on on the worker that it left.
inline bool migration_forced() noexcept {
  char const* const value = std::getenv("WEFT_FORCED_MIGRATION");
  return value != nullptr && *value == '1';
}

}  // namespace weft::test
