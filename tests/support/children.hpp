#pragma once
/// @file
/// What a test that starts processes leaves behind.

#include <cerrno>
#include <cstddef>
#include <dirent.h>
#include <sys/wait.h>

namespace weft::test {

/// Whether this process has any child, a zombie included.
inline bool has_children() {
  siginfo_t about{};
  return ::waitid(P_ALL, 0, &about, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

inline std::size_t open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  std::size_t count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

}  // namespace weft::test
