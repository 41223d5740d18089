#pragma once
/// @file
/// Files and directories in memory. Each call gives what the kernel's gives, or the negative error number. Guarded by
/// whoever has it.

#include <weft/io/file_info.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft::inline v0::testing {

struct tree_node {
  io::file_info about;
  std::string contents;                                        // of a file
  std::map<std::string, std::shared_ptr<tree_node>> children;  // of a directory
  std::weak_ptr<tree_node> above;                              // none: it is the root, or what was above it is gone

  [[nodiscard]] bool is_directory() const noexcept { return about.is_directory(); }
  /// As for the owner.
  [[nodiscard]] bool may_be(unsigned permission) const noexcept {
    return (static_cast<unsigned>(about.permissions) & permission) != 0;
  }
};
inline constexpr unsigned readable_by_owner = 0400;
inline constexpr unsigned writable_by_owner = 0200;

class file_tree {
public:
  using time = std::chrono::system_clock::time_point;

  file_tree();

  /// A directory in which a path begins that has no slash in front; null: the root.
  using start = std::shared_ptr<tree_node>;

  /// @returns null with `error` set, if there is no such node
  [[nodiscard]] std::shared_ptr<tree_node> find(std::string_view path, int& error, start const& from = nullptr) const;
  /// A new file or directory.  @returns null with `error` set
  std::shared_ptr<tree_node> make(std::string_view path, std::filesystem::file_type type, unsigned permissions,
                                  time now, int& error);
  int remove(std::string_view path, bool directory, time now, start const& from = nullptr);
  int rename(std::string_view from, std::string_view to, time now);

  /// Another with the same in it.
  [[nodiscard]] file_tree copy() const;
  /// The paths of all.
  [[nodiscard]] std::vector<std::string> paths() const;
  /// What all files have, in bytes.
  [[nodiscard]] std::uint64_t bytes() const noexcept;

private:
  /// The directory in which the last name of a path is, or would be.
  struct place {
    std::shared_ptr<tree_node> directory;
    std::string name;                // empty: it is the root
    bool must_be_directory = false;  // a slash follows
    [[nodiscard]] std::shared_ptr<tree_node> node() const;
  };
  [[nodiscard]] int look_up(std::string_view path, place& found, start const& from = nullptr) const;
  /// The root, and what is on the way from there to `from`, that included.
  [[nodiscard]] std::vector<std::shared_ptr<tree_node>> way_to(start const& from) const;

  std::shared_ptr<tree_node> root_;
  std::uint64_t last_number_ = 0;
};

}  // namespace weft::inline v0::testing
