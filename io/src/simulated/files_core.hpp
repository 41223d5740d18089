#pragma once
/// @file
/// The calls of a simulated file system: how long they take, how they fail, and from numbers to what they stand for.
/// One lock guards it and all that belongs to it, as in network_core.hpp; nobody holds it while time passes.

#include "dice.hpp"
#include "file_tree.hpp"

#include <weft/io/detail/file_calls.hpp>
#include <weft/io/testing/simulated_files.hpp>
#include <weft/runtime/environment.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace weft::inline v0::testing {

class files_core final : public weft::detail::simulated_outside, public weft::detail::file_calls {
public:
  explicit files_core(file_options const& options);

  void add(std::filesystem::path const& path, std::filesystem::file_type type, std::string_view contents,
           std::filesystem::perms permissions);
  [[nodiscard]] std::optional<std::string> contents_of(std::filesystem::path const& path) const;
  [[nodiscard]] std::vector<std::string> paths() const;
  [[nodiscard]] std::size_t open_descriptors() const noexcept;
  void wrap(file_calls* by) noexcept { wrapper_ = by; }

  // simulated_outside
  void begin(std::uint64_t seed) noexcept override;
  [[nodiscard]] file_calls* files() noexcept override { return wrapper_ != nullptr ? wrapper_ : this; }

  // file_calls
  int open(char const* path, int flags, unsigned permissions) noexcept override;
  int close(int fd) noexcept override;
  ssize_t pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept override;
  ssize_t pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept override;
  ssize_t append(int fd, void const* from, std::size_t size) noexcept override;
  ssize_t sendfile(int to, int file, std::int64_t offset, std::size_t size) noexcept override;
  int fsync(int fd) noexcept override;
  int fdatasync(int fd) noexcept override;
  int ftruncate(int fd, std::int64_t size) noexcept override;
  int fchmod(int fd, unsigned permissions) noexcept override;
  int fstat(int fd, io::file_info& about) noexcept override;
  int stat(char const* path, io::file_info& about) noexcept override;
  int lstat(char const* path, io::file_info& about) noexcept override;
  int mkdir(char const* path, unsigned permissions) noexcept override;
  int rmdir(char const* path) noexcept override;
  int unlink(char const* path) noexcept override;
  int rename(char const* from, char const* to) noexcept override;
  int list(char const* path, std::vector<io::directory_entry>& to) noexcept override;
  int openat(int directory, char const* name, int flags) noexcept override;
  int unlinkat(int directory, char const* name, int flags) noexcept override;
  int fdlist(int fd, std::vector<io::directory_entry>& to) noexcept override;
  [[nodiscard]] std::uint64_t draw() noexcept override;

private:
  using time = file_tree::time;
  struct opened {
    std::shared_ptr<tree_node> node;  // null: the number is free
    int flags = 0;
  };
  /// What may befall a call, beside an interruption.
  enum class kind : unsigned char { opening, reading, writing, syncing, other, closing };

  [[nodiscard]] opened* find(int fd) noexcept;
  /// Lets time pass; then calls `f()` under the lock, unless the call fails, and tells the simulation what came of it.
  template <class F>
  auto call(char const* what, kind of, F&& f) noexcept -> decltype(f());
  /// The same with what `fd` stands for.
  template <class F>
  auto call_on(char const* what, kind of, int fd, F&& f) noexcept -> decltype(f(std::declval<opened&>()));
  [[nodiscard]] int strike(kind of) noexcept;
  /// How many of `size` bytes are moved.
  [[nodiscard]] std::size_t portion(std::size_t size) noexcept;
  /// What `directory` stands for; null: AT_FDCWD.  @returns an error, or 0
  [[nodiscard]] int find_start(int directory, file_tree::start& found) noexcept;
  [[nodiscard]] int open_node(char const* path, int flags, unsigned permissions);
  /// What is there.
  [[nodiscard]] int open_found(std::shared_ptr<tree_node> node, int flags);
  [[nodiscard]] int give_number(std::shared_ptr<tree_node> node, int flags);
  [[nodiscard]] ssize_t write_to(tree_node& node, std::uint64_t offset, char const* from, std::size_t size);
  [[nodiscard]] int resize(tree_node& node, std::uint64_t size);
  /// How much larger files can become.
  [[nodiscard]] std::uint64_t room() const noexcept;

  std::mutex mutable mutex_;
  file_options const options_;
  dice dice_;
  file_tree at_first_;
  file_tree tree_;
  int first_;                  // number; those of an earlier run never come again
  std::vector<opened> files_;  // by number
  file_calls* wrapper_ = nullptr;
};

}  // namespace weft::inline v0::testing
