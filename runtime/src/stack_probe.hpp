#pragma once
/// @file
/// Asks a worker's thread, by a signal, which fiber it runs and where that is. The answer is put together by the
/// signal's handler on the thread's alternate stack: the fiber may have little left of its own. The signal is SIGURG,
/// which is ignored where nobody wants it; if the program handles it itself, no worker can be asked.

#include <array>
#include <chrono>
#include <cstdint>
#include <pthread.h>

namespace weft::inline v0::detail {

/// Where a fiber was found.
struct stack_sample {
  std::uint64_t fiber = 0;  ///< 0: no fiber ran
  std::array<char, 64> name{};
  std::array<void*, 64> frames{};  ///< innermost first
  int depth = 0;
};

/// While any of these lives, workers can be asked.
class stack_probe {
public:
  stack_probe() noexcept;
  stack_probe(stack_probe const&) = delete;
  ~stack_probe();

  /// On a worker's thread, first thing.
  static void admit() noexcept;
  /// Asks `thread`, which must exist, and waits up to `limit` for its answer.  @returns false if none came
  [[nodiscard]] bool ask(pthread_t thread, std::chrono::milliseconds limit, stack_sample& answer) const;
};

}  // namespace weft::inline v0::detail
