/// @file
/// Goes through a tree by names in open directories, not by paths: of a path, others may make a symbolic link between
/// two calls, and what is behind that would go (CVE-2022-21658 of Rust's library). openat() with O_NOFOLLOW finds a
/// directory or nothing; what is unlinked in it is in it, wherever it has been moved.
///
/// One directory is open at a time, so that neither a deep tree nor many removals at once run out of descriptors. The
/// way back is `..`, and is gone only if it leads to where one came from, by device and number; a directory that was
/// moved meanwhile has another `..`. Then it all begins again at the top, for what is left. An open directory keeps
/// those above it, and so their numbers; who moves it, and removes where it was, can give that number only to a
/// directory that is made after that.
///
/// Not taken: a stack of open directories is as deep as the tree; one of a fixed size needs this way back, too.

#include "remove_tree.hpp"

#include "current_directory.hpp"
#include "file_transfer.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::inline v0::io {

namespace {

/// How often one name may have become another kind of file between two calls, and how often it all may begin again:
/// more than happens by chance. Without a limit, others could keep a thread for as long as they like.
constexpr unsigned most_changes = 100;

/// With a slash behind it, a symbolic link is followed, O_NOFOLLOW or not.
std::string without_slashes_behind(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// The directory itself or the one above: nobody can remove it by that name, but all that is in it would go first.
bool ends_in_dots(std::string_view path) noexcept {
  while (path.ends_with('/')) path.remove_suffix(1);
  auto const name = path.substr(path.rfind('/') + 1);
  return name == "." || name == "..";
}

bool is_not_empty(int status) noexcept { return status == -ENOTEMPTY || status == -EEXIST; }

class tree_removal {
public:
  tree_removal(detail::file_calls& calls, std::string top, std::size_t& removed)
      : calls_(calls), top_(std::move(top)), removed_(removed), in_(calls) {
    to_go_.push_back({top_});
  }

  [[nodiscard]] bool done() const noexcept { return to_go_.empty(); }

  /// Enters or removes the last of those that are to go.  @returns an error, or 0
  int step() {
    auto& last = to_go_.back();
    bool changed = false;
    int status = 0;
    if (std::exchange(last.entered, false)) {
      status = in_.leave();
      if (status == -ESTALE && begins_again_++ < most_changes) return begin_again();
      if (status < 0) return status == -ESTALE ? -EBUSY : status;
      // As a directory only: something else of that name is not what was asked for, but has been put there since.
      status = uninterrupted([&] { return calls_.unlinkat(in_.number(), last.name.c_str(), AT_REMOVEDIR); });
    } else {
      status = remove_one(calls_, in_.number(), last.name.c_str());
      changed = status == -EISDIR;  // to unlink(); and then no directory to rmdir()
    }
    if (is_not_empty(status) && !last.listed) {
      status = in_.enter(to_go_.size() == 1 ? without_slashes_behind(last.name) : last.name);
      if (status == 0) return add_what_is_in(last);
      changed = status == -ENOTDIR || status == -ELOOP;
    }
    if (changed && last.changes++ < most_changes) return 0;
    if (status < 0 && status != -ENOENT) return status;
    if (status == 0) ++removed_;
    to_go_.pop_back();
    return 0;
  }

private:
  struct entry {
    std::string name;
    unsigned changes = 0;  // of its kind
    bool listed = false;   // not a second time: what others keep putting there is left
    bool entered = false;  // all that was in it is on top of it, and gone when one comes back to it
  };

  int add_what_is_in(entry& directory) {
    directory.listed = directory.entered = true;
    std::vector<directory_entry> found;
    int const status = uninterrupted([&] {
      found.clear();
      return calls_.fdlist(in_.number(), found);
    });
    if (status < 0 && status != -ENOENT) return status;  // -ENOENT: others have removed it
    for (auto& each : found) to_go_.push_back({std::move(each.name)});
    return 0;
  }

  int begin_again() {
    in_.go_out();
    to_go_.clear();
    to_go_.push_back({top_});
    return 0;
  }

  detail::file_calls& calls_;
  std::string const top_;
  std::size_t& removed_;
  current_directory in_;  // that in which the last of to_go_ is, or which it is
  std::vector<entry> to_go_;
  unsigned begins_again_ = 0;
};

}  // namespace

int remove_one(detail::file_calls& calls, int directory, char const* name) noexcept {
  int const status = uninterrupted([&] { return calls.unlinkat(directory, name, 0); });
  if (status != -EISDIR && status != -EPERM) return status;
  int const as_directory = uninterrupted([&] { return calls.unlinkat(directory, name, AT_REMOVEDIR); });
  return as_directory == -ENOTDIR ? status : as_directory;
}

int remove_tree(detail::file_calls& calls, std::filesystem::path const& top, std::size_t& removed,
                std::stop_token const& token) {
  if (ends_in_dots(top.native())) return -EINVAL;
  tree_removal removal{calls, top.native(), removed};
  int status = 0;
  while (status == 0 && !removal.done() && !token.stop_requested()) status = removal.step();
  return status;
}

}  // namespace weft::inline v0::io
