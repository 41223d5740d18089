#pragma once
/// @file
/// How many threads the process has.

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <unistd.h>

namespace weft::test {

/// One that has been joined may be among them for a moment yet.
inline std::size_t threads_of_process() {
  auto const all = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Whether no more than `most` are left, once those that have been joined are gone.
inline bool threads_come_down_to(std::size_t most) {
  for (int i = 0; i < 1000 && threads_of_process() > most; ++i) ::usleep(10'000);
  return threads_of_process() <= most;
}

}  // namespace weft::test
