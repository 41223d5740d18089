#include "cpu_count.hpp"

#include <algorithm>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>
#include <thread>

namespace weft::inline v0::detail {

namespace {

std::size_t by_affinity() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    if (int const n = CPU_COUNT(&set); n > 0) return static_cast<std::size_t>(n);
  }
  return std::max(std::thread::hardware_concurrency(), 1U);
}

/// quota / period, rounded up; 0: unlimited or unreadable.
std::size_t cpus_of(double quota, double period) noexcept {
  if (!(quota > 0) || !(period > 0)) return 0;
  auto const whole = static_cast<std::size_t>(quota / period);
  return static_cast<double>(whole) * period < quota ? whole + 1 : whole;
}

std::size_t read_v2(std::string const& directory) {
  std::ifstream file{directory + "/cpu.max"};
  double quota = 0;
  double period = 0;
  return file >> quota >> period ? cpus_of(quota, period) : 0;  // "max" for the quota does not parse: unlimited
}

std::size_t read_v1(std::string const& directory) {
  std::ifstream quota_file{directory + "/cpu.cfs_quota_us"};
  std::ifstream period_file{directory + "/cpu.cfs_period_us"};
  double quota = 0;
  double period = 0;
  return quota_file >> quota && period_file >> period ? cpus_of(quota, period) : 0;
}

/// The tightest limit on the way from the process's group up to the root.
std::size_t by_cgroup() {
  std::size_t least = 0;
  auto const narrow = [&least](std::size_t n) {
    if (n != 0) least = least == 0 ? n : std::min(least, n);
  };
  std::ifstream groups{"/proc/self/cgroup"};
  for (std::string line; std::getline(groups, line);) {
    auto const first = line.find(':');
    auto const second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers{","};
    controllers.append(line, first + 1, second - first - 1).append(1, ',');
    bool const v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    std::string const root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(second + 1);; path.resize(path.find_last_of('/'))) {
      auto const directory = root + (path == "/" ? "" : path);
      narrow(v2 ? read_v2(directory) : read_v1(directory));
      if (path.empty() || path == "/" || path.find('/') == std::string::npos) break;
    }
  }
  return least;
}

}  // namespace

std::size_t cpu_count() noexcept {
  auto count = by_affinity();
  try {
    if (auto const limit = by_cgroup(); limit != 0) count = std::min(count, limit);
  } catch (...) {  // NOLINT: without memory for a path the affinity is a good answer
  }
  return count;
}

}  // namespace weft::inline v0::detail
