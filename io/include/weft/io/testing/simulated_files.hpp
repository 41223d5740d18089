#pragma once
/// @file
/// A file system inside a simulation: what io/ opens, lists and renames there is in memory, so that programs that read
/// and write files run as a seed decides. The seed also decides how long each call takes, in virtual time, and which of
/// the faults that are asked for happens when.
///
///     weft::testing::simulation sim{seed};
///     weft::testing::simulated_files files{sim, weft::testing::file_options::with_faults()};
///     files.add_file("/data/in.csv", "a,b\n");
///     sim.run([] { ... read_file("/data/in.csv") ... });
///
/// Each run begins with what has been added, and nothing else but the directory /tmp. Permissions count, as for a user
/// who owns all files. There are no links, and nothing is watched (std::errc::function_not_supported). Paths that are
/// not absolute begin at the root.

#include <weft/runtime/simulation.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0::detail {
class file_calls;
}

namespace weft::inline v0::testing {

/// What the file system is like. Probabilities are from 0 to 1, and for each call; without any all goes well.
struct file_options {
  /// How long a call takes, while its caller alone waits: each as the seed says, within these limits.
  std::chrono::nanoseconds min_latency = std::chrono::microseconds{10};
  std::chrono::nanoseconds max_latency = std::chrono::microseconds{200};
  /// What all files together can hold, in bytes; more gets std::errc::no_space_on_device.
  std::uint64_t capacity = std::numeric_limits<std::uint64_t>::max();

  /// A read or write moves only some of the bytes that it could.
  double partial = 0;
  /// A call is interrupted (EINTR), having done nothing; weft's operations then repeat it.
  double interrupted = 0;
  /// A read, a write or a sync fails (EIO), having done nothing.
  double io_error = 0;
  /// A write finds no room (ENOSPC).
  double no_space = 0;
  /// To open finds no free descriptor (EMFILE).
  double no_descriptors = 0;

  /// Some of each, so that a program meets all of them within some hundred calls.
  [[nodiscard]] static file_options with_faults();
};

class files_core;

/// The file system of one simulation: made before its runs. Every file has to be closed before both are gone.
class simulated_files {
public:
  explicit simulated_files(simulation& of, file_options options = {});
  simulated_files(simulated_files const&) = delete;
  simulated_files& operator=(simulated_files const&) = delete;
  ~simulated_files();

  /// Is there when a run begins, and so are the directories above it.
  /// @throws std::invalid_argument  if that cannot be
  void add_file(std::filesystem::path const& path, std::string_view contents,
                std::filesystem::perms permissions = std::filesystem::perms{0644});
  void add_directory(std::filesystem::path const& path,
                     std::filesystem::perms permissions = std::filesystem::perms{0755});

  /// What is in a file now, or at the end of the last run; nothing: there is none.
  [[nodiscard]] std::optional<std::string> contents_of(std::filesystem::path const& path) const;
  /// All paths below the root, in order.
  [[nodiscard]] std::vector<std::string> paths() const;
  /// How many files are open: at the end of a program that closes all it opens, none.
  [[nodiscard]] std::size_t open_descriptors() const noexcept;

  /// What takes the place of the kernel's calls.
  [[nodiscard]] weft::detail::file_calls& calls() noexcept;
  /// In the runs that follow, fibers get `by` in its place, which passes on to calls() what it does not change: for
  /// faults of a test's own. Null: calls() itself.
  void wrap_calls(weft::detail::file_calls* by) noexcept;

private:
  std::shared_ptr<files_core> core_;
};

}  // namespace weft::inline v0::testing
