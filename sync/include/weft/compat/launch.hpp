#pragma once
/// @file
/// How a fiber starts, and what it is told of its stack. A stack allocator is taken for the size that it names; the
/// stack itself comes from the runtime.

#include <weft/runtime/config.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace weft::inline v0::compat {

namespace fibers {

/// When a new fiber runs for the first time.
enum class launch {
  dispatch,  ///< at once; its creator, if a plain thread, goes behind all that is ready, and if a fiber, is next
  post,      ///< when its turn comes; not before its creator waits, or ends
};

}  // namespace fibers

namespace detail {

/// A size, in the form of a stack allocator.
class stack_size_hint {
public:
  /// 0: the runtime's default.
  explicit stack_size_hint(std::size_t bytes = 0) noexcept : bytes_(bytes) {}
  [[nodiscard]] std::size_t stack_size() const noexcept { return bytes_; }

private:
  std::size_t bytes_;
};

/// The size that a stack allocator names, within what is possible; 0 for one that names none.
template <class StackAllocator>
[[nodiscard]] std::size_t stack_size_of(StackAllocator const& allocator) noexcept {
  if constexpr (requires {
                  { allocator.stack_size() } -> std::convertible_to<std::size_t>;
                }) {
    constexpr std::size_t smallest = std::size_t{16} * 1024;
    constexpr std::size_t largest = std::size_t{1} << 30U;
    std::size_t const bytes = allocator.stack_size();
    return bytes == 0 ? 0 : std::clamp(bytes, smallest, largest);
  } else {
    return 0;
  }
}

template <class T>
inline constexpr bool is_launch = std::is_same_v<std::decay_t<T>, fibers::launch>;

}  // namespace detail

namespace fibers {

class fixedsize_stack : public detail::stack_size_hint {
public:
  using stack_size_hint::stack_size_hint;
};
class protected_fixedsize_stack : public detail::stack_size_hint {
public:
  using stack_size_hint::stack_size_hint;
};
class segmented_stack : public detail::stack_size_hint {
public:
  using stack_size_hint::stack_size_hint;
};
/// All stacks are pooled; how many is not for the caller to say.
class pooled_fixedsize_stack : public detail::stack_size_hint {
public:
  explicit pooled_fixedsize_stack(std::size_t bytes = 0, std::size_t /*next_size*/ = 32,
                                  std::size_t /*max_size*/ = 0) noexcept
      : stack_size_hint(bytes) {}
};
using default_stack = fixedsize_stack;

}  // namespace fibers
}  // namespace weft::inline v0::compat
