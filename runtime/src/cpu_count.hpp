#pragma once
#include <cstddef>

namespace weft::inline v0::detail {

/// CPUs that this process may use: by affinity, and by the CPU quota of its cgroups (versions 1 and 2), rounded up; at
/// least 1.
[[nodiscard]] std::size_t cpu_count() noexcept;

}  // namespace weft::inline v0::detail
