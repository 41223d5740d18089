#include "files_core.hpp"

#include <weft/runtime/testing.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

namespace weft::inline v0::testing {

namespace {

/// Far from those of the kernel and of a simulated network, so that a mixture is found out at once.
constexpr int lowest_file_number = (1 << 30) + 1;
constexpr int highest_file_number = std::numeric_limits<int>::max() / 4 * 3;
constexpr std::size_t most_open_files = 1 << 20;
constexpr std::uint64_t largest_file = std::uint64_t{1} << 40U;

std::chrono::system_clock::time_point simulated_clock() noexcept {
  return std::chrono::system_clock::time_point{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(now().time_since_epoch())};
}

void append_children(tree_node const& directory, std::vector<io::directory_entry>& to) {
  for (auto const& [name, child] : directory.children) to.push_back({name, child->about.type});
}

bool reads(int flags) noexcept { return (flags & O_ACCMODE) != O_WRONLY; }
bool writes(int flags) noexcept { return (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

files_core::files_core(file_options const& options) : options_(options), first_(lowest_file_number) {
  add("/tmp", std::filesystem::file_type::directory, {}, std::filesystem::perms{0777});
  tree_ = at_first_.copy();
}

// ---------------------------------------------------------------------------------------------------------------------
// Before and after a run
// ---------------------------------------------------------------------------------------------------------------------

void files_core::add(std::filesystem::path const& path, std::filesystem::file_type type, std::string_view contents,
                     std::filesystem::perms permissions) {
  std::lock_guard const lock{mutex_};
  int error = 0;
  for (std::filesystem::path above; auto const& part : path.parent_path()) {
    above /= part;
    (void)at_first_.make(above.native(), std::filesystem::file_type::directory, 0755, {}, error);
  }
  auto node = at_first_.make(path.native(), type, static_cast<unsigned>(permissions), {}, error);
  if (error == -EEXIST) node = at_first_.find(path.native(), error);
  if (node == nullptr || node->about.type != type) {
    throw std::invalid_argument("weft::testing::simulated_files: '" + path.native() + "' cannot be added");
  }
  node->contents = contents;
  node->about.size = contents.size();
  node->about.permissions = permissions;
}

std::optional<std::string> files_core::contents_of(std::filesystem::path const& path) const {
  std::lock_guard const lock{mutex_};
  int error = 0;
  auto const node = tree_.find(path.native(), error);
  if (node == nullptr || node->is_directory()) return std::nullopt;
  return node->contents;
}

std::vector<std::string> files_core::paths() const {
  std::lock_guard const lock{mutex_};
  return tree_.paths();
}

std::size_t files_core::open_descriptors() const noexcept {
  std::lock_guard const lock{mutex_};
  return static_cast<std::size_t>(
      std::count_if(files_.begin(), files_.end(), [](auto const& file) { return file.node != nullptr; }));
}

void files_core::begin(std::uint64_t seed) noexcept {
  std::lock_guard const lock{mutex_};
  first_ += static_cast<int>(files_.size());
  if (first_ > highest_file_number) first_ = lowest_file_number;
  files_.clear();
  tree_ = at_first_.copy();
  // Not the network's choices again.
  dice_.restart(seed ^ 0x66696C6573U);
}

// ---------------------------------------------------------------------------------------------------------------------
// What all calls do
// ---------------------------------------------------------------------------------------------------------------------

files_core::opened* files_core::find(int fd) noexcept {
  auto const index = static_cast<std::size_t>(fd) - static_cast<std::size_t>(first_);
  return fd >= first_ && index < files_.size() && files_[index].node != nullptr ? &files_[index] : nullptr;
}

int files_core::strike(kind of) noexcept {
  if (of == kind::closing) return 0;
  if (dice_.chance(options_.interrupted)) return -EINTR;
  bool const moves = of == kind::reading || of == kind::writing || of == kind::syncing;
  if (moves && dice_.chance(options_.io_error)) return -EIO;
  if (of == kind::writing && dice_.chance(options_.no_space)) return -ENOSPC;
  if (of == kind::opening && dice_.chance(options_.no_descriptors)) return -EMFILE;
  return 0;
}

template <class F>
auto files_core::call(char const* what, kind of, F&& f) noexcept -> decltype(f()) {
  std::chrono::nanoseconds takes{};
  {
    std::lock_guard const lock{mutex_};
    takes = dice_.between(options_.min_latency, options_.max_latency);
  }
  if (takes.count() > 0) spend(takes);
  std::lock_guard const lock{mutex_};
  decltype(f()) result = strike(of);
  try {
    if (result == 0) result = f();
  } catch (std::bad_alloc const&) {
    result = -ENOMEM;
  }
  // Not a file's number as such: each run has others, so that no descriptor of an earlier one is taken for its own.
  auto const told = of == kind::opening && result >= first_ ? result - first_ : result;
  weft::detail::tell_world(what, static_cast<std::uint64_t>(takes.count()), told);
  return result;
}

template <class F>
auto files_core::call_on(char const* what, kind of, int fd, F&& f) noexcept -> decltype(f(std::declval<opened&>())) {
  return call(what, of, [&]() -> decltype(f(std::declval<opened&>())) {
    auto* const file = find(fd);
    return file == nullptr ? -EBADF : f(*file);
  });
}

std::size_t files_core::portion(std::size_t size) noexcept {
  return size > 1 && dice_.chance(options_.partial) ? 1 + dice_.up_to(size - 2) : size;
}

std::uint64_t files_core::draw() noexcept {
  std::lock_guard const lock{mutex_};
  return dice_.roll();
}

// ---------------------------------------------------------------------------------------------------------------------
// Open files
// ---------------------------------------------------------------------------------------------------------------------

int files_core::open_node(char const* path, int flags, unsigned permissions) {
  int error = 0;
  auto node = tree_.find(path, error);
  if (node != nullptr && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return -EEXIST;
  if (node == nullptr) {
    if (error != -ENOENT || (flags & O_CREAT) == 0) return error;
    node = tree_.make(path, std::filesystem::file_type::regular, permissions, simulated_clock(), error);
    return node == nullptr ? error : give_number(std::move(node), flags);
  }
  return open_found(std::move(node), flags);
}

int files_core::open_found(std::shared_ptr<tree_node> node, int flags) {
  if (node->is_directory() && writes(flags)) return -EISDIR;
  if (!node->is_directory() && (flags & O_DIRECTORY) != 0) return -ENOTDIR;
  if (reads(flags) && !node->may_be(readable_by_owner)) return -EACCES;
  if (writes(flags) && !node->may_be(writable_by_owner)) return -EACCES;
  if ((flags & O_TRUNC) != 0 && writes(flags)) (void)resize(*node, 0);
  return give_number(std::move(node), flags);
}

int files_core::give_number(std::shared_ptr<tree_node> node, int flags) {
  auto free = std::find_if(files_.begin(), files_.end(), [](auto const& file) { return file.node == nullptr; });
  if (free == files_.end()) {
    if (files_.size() == most_open_files) return -ENFILE;
    free = files_.insert(free, opened{});
  }
  *free = {std::move(node), flags};
  return first_ + static_cast<int>(free - files_.begin());
}

int files_core::open(char const* path, int flags, unsigned permissions) noexcept {
  return call("simulated open", kind::opening, [&] { return open_node(path, flags, permissions); });
}

int files_core::close(int fd) noexcept {
  return call_on("simulated file close", kind::closing, fd, [](opened& file) {
    file.node = nullptr;
    return 0;
  });
}

ssize_t files_core::pread(int fd, void* to, std::size_t size, std::int64_t offset) noexcept {
  return call_on("simulated pread", kind::reading, fd, [&](opened& file) -> ssize_t {
    if (!reads(file.flags)) return -EBADF;
    if (file.node->is_directory()) return -EISDIR;
    if (offset < 0) return -EINVAL;
    auto const at = static_cast<std::uint64_t>(offset);
    auto const& contents = file.node->contents;
    if (at >= contents.size()) return 0;
    auto const moved = portion(std::min(size, contents.size() - at));
    std::memcpy(to, contents.data() + at, moved);
    return static_cast<ssize_t>(moved);
  });
}

std::uint64_t files_core::room() const noexcept {
  if (options_.capacity == std::numeric_limits<std::uint64_t>::max()) return options_.capacity;
  auto used = tree_.bytes();
  std::vector<tree_node const*> counted;  // one node may be open several times
  for (auto const& file : files_) {
    if (file.node == nullptr || file.node->about.links != 0) continue;
    if (std::find(counted.begin(), counted.end(), file.node.get()) != counted.end()) continue;
    counted.push_back(file.node.get());
    used += file.node->contents.size();
  }
  return options_.capacity > used ? options_.capacity - used : 0;
}

int files_core::resize(tree_node& node, std::uint64_t size) {
  if (size > largest_file) return -EFBIG;
  if (size > node.contents.size() && size - node.contents.size() > room()) return -ENOSPC;
  node.contents.resize(size);
  node.about.size = size;
  node.about.modified = simulated_clock();
  return 0;
}

ssize_t files_core::write_to(tree_node& node, std::uint64_t offset, char const* from, std::size_t size) {
  if (size == 0) return 0;
  size = portion(size);
  if (offset + size > node.contents.size()) {
    auto const old = node.contents.size();
    auto const end = std::min(offset + size, old + std::min(room(), largest_file));
    if (end <= offset) return -ENOSPC;
    if (int const error = resize(node, end); error != 0) return error;
    size = static_cast<std::size_t>(end - offset);
  }
  std::memcpy(node.contents.data() + offset, from, size);
  node.about.modified = simulated_clock();
  return static_cast<ssize_t>(size);
}

ssize_t files_core::pwrite(int fd, void const* from, std::size_t size, std::int64_t offset) noexcept {
  return call_on("simulated pwrite", kind::writing, fd, [&](opened& file) -> ssize_t {
    if (!writes(file.flags)) return -EBADF;
    if (offset < 0) return -EINVAL;
    auto const at = static_cast<std::uint64_t>(offset);
    if (at > largest_file - std::min<std::uint64_t>(size, largest_file)) return -EFBIG;
    return write_to(*file.node, at, static_cast<char const*>(from), size);
  });
}

ssize_t files_core::append(int fd, void const* from, std::size_t size) noexcept {
  return call_on("simulated append", kind::writing, fd, [&](opened& file) -> ssize_t {
    if (!writes(file.flags)) return -EBADF;
    return write_to(*file.node, file.node->contents.size(), static_cast<char const*>(from), size);
  });
}

// The sockets are not in the same hands: who wants this reads and writes.
ssize_t files_core::sendfile(int, int, std::int64_t, std::size_t) noexcept { return -EINVAL; }

int files_core::fsync(int fd) noexcept {
  return call_on("simulated fsync", kind::syncing, fd, [](opened&) { return 0; });
}
int files_core::fdatasync(int fd) noexcept { return fsync(fd); }

int files_core::ftruncate(int fd, std::int64_t size) noexcept {
  return call_on("simulated ftruncate", kind::writing, fd, [&](opened& file) {
    if (!writes(file.flags) || size < 0) return -EINVAL;
    return resize(*file.node, static_cast<std::uint64_t>(size));
  });
}

int files_core::fchmod(int fd, unsigned permissions) noexcept {
  return call_on("simulated fchmod", kind::other, fd, [&](opened& file) {
    file.node->about.permissions = static_cast<std::filesystem::perms>(permissions & 07777U);
    return 0;
  });
}

int files_core::fstat(int fd, io::file_info& about) noexcept {
  return call_on("simulated fstat", kind::other, fd, [&](opened& file) {
    about = file.node->about;
    return 0;
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------------------------------

int files_core::stat(char const* path, io::file_info& about) noexcept {
  return call("simulated stat", kind::other, [&] {
    int error = 0;
    auto const node = tree_.find(path, error);
    if (node != nullptr) about = node->about;
    return error;
  });
}
int files_core::lstat(char const* path, io::file_info& about) noexcept { return stat(path, about); }

int files_core::mkdir(char const* path, unsigned permissions) noexcept {
  return call("simulated mkdir", kind::other, [&] {
    int error = 0;
    (void)tree_.make(path, std::filesystem::file_type::directory, permissions, simulated_clock(), error);
    return error;
  });
}
int files_core::rmdir(char const* path) noexcept {
  return call("simulated rmdir", kind::other, [&] { return tree_.remove(path, true, simulated_clock()); });
}
int files_core::unlink(char const* path) noexcept {
  return call("simulated unlink", kind::other, [&] { return tree_.remove(path, false, simulated_clock()); });
}
int files_core::rename(char const* from, char const* to) noexcept {
  return call("simulated rename", kind::other, [&] { return tree_.rename(from, to, simulated_clock()); });
}

int files_core::list(char const* path, std::vector<io::directory_entry>& to) noexcept {
  return call("simulated list", kind::other, [&] {
    int error = 0;
    auto const node = tree_.find(path, error);
    if (node == nullptr) return error;
    if (!node->is_directory()) return -ENOTDIR;
    if (!node->may_be(readable_by_owner)) return -EACCES;
    append_children(*node, to);
    return 0;
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Names in an open directory
// ---------------------------------------------------------------------------------------------------------------------

int files_core::find_start(int directory, file_tree::start& found) noexcept {
  if (directory == AT_FDCWD) return 0;
  auto const* const file = find(directory);
  if (file == nullptr) return -EBADF;
  if (!file->node->is_directory()) return -ENOTDIR;
  found = file->node;
  return 0;
}

int files_core::openat(int directory, char const* name, int flags) noexcept {
  return call("simulated open", kind::opening, [&] {
    file_tree::start from;
    if (int const error = find_start(directory, from); error != 0) return error;
    int error = 0;
    auto node = tree_.find(name, error, from);
    return node == nullptr ? error : open_found(std::move(node), flags);
  });
}
int files_core::unlinkat(int directory, char const* name, int flags) noexcept {
  bool const of_directory = (flags & AT_REMOVEDIR) != 0;
  return call(of_directory ? "simulated rmdir" : "simulated unlink", kind::other, [&] {
    file_tree::start from;
    int const error = find_start(directory, from);
    return error != 0 ? error : tree_.remove(name, of_directory, simulated_clock(), from);
  });
}
int files_core::fdlist(int fd, std::vector<io::directory_entry>& to) noexcept {
  return call_on("simulated list", kind::other, fd, [&](opened& file) {
    if (!file.node->is_directory()) return -ENOTDIR;
    append_children(*file.node, to);
    return 0;
  });
}

}  // namespace weft::inline v0::testing
