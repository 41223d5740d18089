#pragma once
/// @file
/// What the workload programs share, so that each of them counts, checks and reports in the same way:
///
///     PROGRAM WORKLOAD WORKERS [VARIANT]
///
/// prints one `metric value unit` for each line. Exit status 2: the program does not know this workload or
/// variant; 3: a result was wrong, so that the repetition is an error and never a number.
/// The environment variables W1_N to W18_N replace the sizes.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

inline constexpr std::size_t w2_tasks = 1000;  ///< tasks that yield
inline constexpr std::size_t w3_batch = 1000;  ///< tasks joined before the next batch
inline constexpr std::size_t w4_children = 10;
inline constexpr std::size_t w6_tasks = 4;  ///< that produce, and as many that consume
inline constexpr std::size_t w6_capacity = 128;
inline constexpr std::size_t w7_tasks = 64;
inline constexpr unsigned w10_cutoff = 10;  ///< fib() below this is a plain recursion
inline constexpr unsigned w10_argument = 30;
inline constexpr std::uint64_t w10_result = 832040;
inline constexpr std::size_t w14_callers = 100;  ///< calls at a time
inline constexpr std::size_t w14_factor = 5;     ///< so many times the calls made one at a time

struct arguments {
  std::string workload;
  unsigned workers;
  std::string variant;  ///< empty if not given
};

/// Ends the process with status 2 unless there are two or three sensible arguments.
arguments parse(int argc, char** argv);

/// Ends the process: this program does not know `args.workload` or its variant.
[[noreturn]] void unknown(arguments const& args);

/// Ends the process with status 3 unless `right`.
void check(bool right, char const* what);

/// The number in the environment variable `name`, or `usual` without one.
std::size_t size(char const* name, std::size_t usual);

void metric(char const* name, double value, char const* unit);

/// A field such as `VmRSS` of /proc/self/status, or of another process's file of that kind.
std::size_t memory_bytes(char const* field, std::string const& path = "/proc/self/status");

/// User plus system time of this process.
double cpu_seconds();

/// fib(n) without tasks. Out of line, so that every C++ program runs the same machine code.
std::uint64_t plain_fib(unsigned n);

/// The numbers of all leaves of W4.
constexpr std::uint64_t w4_sum(std::uint64_t leaves) { return leaves * (leaves - 1) / 2; }
/// B's answers in W5.
constexpr std::uint64_t w5_sum(std::uint64_t rounds) { return rounds * (rounds + 1) / 2; }
/// The messages of W6.
constexpr std::uint64_t w6_sum(std::uint64_t messages) { return messages * (messages - 1) / 2; }

/// How long task `i` of W9 sleeps.
constexpr std::chrono::milliseconds w9_duration(std::size_t i) {
  return std::chrono::milliseconds{static_cast<std::uint32_t>(i) * std::uint32_t{7919} % 1001};
}

class stopwatch {
public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  [[nodiscard]] double nanoseconds_per(std::size_t operations) const {
    return seconds() * 1e9 / static_cast<double>(operations);
  }
  [[nodiscard]] double milliseconds() const { return seconds() * 1e3; }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The time from the first statement of the first task to the last statement of the last one.
class task_span {
public:
  explicit task_span(std::size_t tasks) : tasks_{tasks} {}

  void first_statement() {
    if (!entered_.exchange(true)) begin_ = std::chrono::steady_clock::now();
  }
  void last_statement() {
    if (left_.fetch_add(1) + 1 == tasks_) end_ = std::chrono::steady_clock::now();
  }
  /// To be asked after all tasks have been joined.
  [[nodiscard]] double nanoseconds() const { return std::chrono::duration<double, std::nano>(end_ - begin_).count(); }

private:
  std::size_t tasks_;
  std::atomic<bool> entered_{false};
  std::atomic<std::size_t> left_{0};
  std::chrono::steady_clock::time_point begin_;  // written by the first task, read after the join
  std::chrono::steady_clock::time_point end_;    // written by the last task, read after the join
};

}  // namespace bench
