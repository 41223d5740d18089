#include "file_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

namespace weft::inline v0::testing {

namespace {

std::shared_ptr<tree_node> copy_of(tree_node const& node) {
  auto made = std::make_shared<tree_node>(node);
  for (auto& [name, child] : made->children) {
    child = copy_of(*child);
    child->above = made;
  }
  return made;
}

void append_paths(tree_node const& directory, std::string const& prefix, std::vector<std::string>& to) {
  for (auto const& [name, child] : directory.children) {
    to.push_back(prefix + "/" + name);
    append_paths(*child, to.back(), to);
  }
}

std::uint64_t bytes_in(tree_node const& node) noexcept {
  std::uint64_t sum = node.contents.size();
  for (auto const& [name, child] : node.children) sum += bytes_in(*child);
  return sum;
}

bool is_within(tree_node const& node, tree_node const& directory) noexcept {
  return &node == &directory || std::any_of(directory.children.begin(), directory.children.end(),
                                            [&](auto const& child) { return is_within(node, *child.second); });
}

}  // namespace

file_tree::file_tree() : root_(std::make_shared<tree_node>()) {
  root_->about.type = std::filesystem::file_type::directory;
  root_->about.permissions = std::filesystem::perms{0755};
  root_->about.number = ++last_number_;
  root_->about.links = 1;
}

std::shared_ptr<tree_node> file_tree::place::node() const {
  if (name.empty()) return directory;
  auto const at = directory->children.find(name);
  return at == directory->children.end() ? nullptr : at->second;
}

std::vector<std::shared_ptr<tree_node>> file_tree::way_to(start const& from) const {
  std::vector<std::shared_ptr<tree_node>> way;
  for (auto node = from; node != nullptr && node != root_; node = node->above.lock()) way.push_back(node);
  way.push_back(root_);
  std::reverse(way.begin(), way.end());
  return way;
}

int file_tree::look_up(std::string_view path, place& found, start const& from) const {
  constexpr std::size_t longest_path = 4095;
  constexpr std::size_t longest_name = 255;
  if (path.empty()) return -ENOENT;
  if (path.size() > longest_path) return -ENAMETOOLONG;
  auto above = way_to(path.front() == '/' ? nullptr : from);
  found = {above.back(), {}, path.back() == '/'};
  while (!path.empty()) {
    auto const end = std::min(path.find('/'), path.size());
    auto const name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (name.size() > longest_name) return -ENAMETOOLONG;
    // What came before is a directory, now that something follows.
    if (auto const before = found.node(); !found.name.empty()) {
      if (before == nullptr) return -ENOENT;
      above.push_back(before);
    }
    if (!above.back()->is_directory()) return -ENOTDIR;
    if (name == "..") {
      if (above.size() > 1) above.pop_back();
      found.name.clear();
    } else {
      found.name = name;
    }
    found.directory = above.back();
  }
  return 0;
}

std::shared_ptr<tree_node> file_tree::find(std::string_view path, int& error, start const& from) const {
  place at;
  error = look_up(path, at, from);
  if (error != 0) return nullptr;
  auto node = at.node();
  if (node == nullptr) {
    error = -ENOENT;
  } else if (at.must_be_directory && !node->is_directory()) {
    error = -ENOTDIR;
    return nullptr;
  }
  return node;
}

std::shared_ptr<tree_node> file_tree::make(std::string_view path, std::filesystem::file_type type, unsigned permissions,
                                           time now, int& error) {
  place at;
  error = look_up(path, at);
  if (error != 0) return nullptr;
  if (at.node() != nullptr) {
    error = -EEXIST;
  } else if (!at.directory->may_be(writable_by_owner)) {
    error = -EACCES;
  } else if (at.must_be_directory && type != std::filesystem::file_type::directory) {
    error = -EISDIR;
  }
  if (error != 0) return nullptr;
  auto made = std::make_shared<tree_node>();
  made->about.type = type;
  made->about.permissions = static_cast<std::filesystem::perms>(permissions & 0777U);
  made->about.modified = now;
  made->about.number = ++last_number_;
  made->about.links = 1;
  made->above = at.directory;
  at.directory->children.emplace(at.name, made);
  at.directory->about.modified = now;
  return made;
}

int file_tree::remove(std::string_view path, bool directory, time now, start const& from) {
  place at;
  if (int const error = look_up(path, at, from); error != 0) return error;
  auto const node = at.node();
  if (node == nullptr) return -ENOENT;
  if (directory && !node->is_directory()) return -ENOTDIR;
  if (!directory && node->is_directory()) return -EISDIR;
  if (!directory && at.must_be_directory) return -ENOTDIR;
  if (at.name.empty()) return -EBUSY;
  if (!node->children.empty()) return -ENOTEMPTY;
  if (!at.directory->may_be(writable_by_owner)) return -EACCES;
  node->about.links = 0;
  at.directory->children.erase(at.name);
  at.directory->about.modified = now;
  return 0;
}

int file_tree::rename(std::string_view from, std::string_view to, time now) {
  place source;
  place target;
  if (int const error = look_up(from, source); error != 0) return error;
  if (int const error = look_up(to, target); error != 0) return error;
  auto const node = source.node();
  auto const there = target.node();
  if (node == nullptr) return -ENOENT;
  if (source.name.empty() || target.name.empty()) return -EBUSY;
  if ((source.must_be_directory || target.must_be_directory) && !node->is_directory()) return -ENOTDIR;
  if (!source.directory->may_be(writable_by_owner) || !target.directory->may_be(writable_by_owner)) return -EACCES;
  if (node == there) return 0;
  if (is_within(*target.directory, *node)) return -EINVAL;
  if (there != nullptr) {
    if (node->is_directory() && !there->is_directory()) return -ENOTDIR;
    if (!node->is_directory() && there->is_directory()) return -EISDIR;
    if (!there->children.empty()) return -ENOTEMPTY;
    there->about.links = 0;
  }
  target.directory->children[target.name] = node;
  node->above = target.directory;
  source.directory->children.erase(source.name);
  source.directory->about.modified = target.directory->about.modified = now;
  return 0;
}

file_tree file_tree::copy() const {
  file_tree made;
  made.root_ = copy_of(*root_);
  made.last_number_ = last_number_;
  return made;
}

std::vector<std::string> file_tree::paths() const {
  std::vector<std::string> all;
  append_paths(*root_, {}, all);
  return all;
}

std::uint64_t file_tree::bytes() const noexcept { return bytes_in(*root_); }

}  // namespace weft::inline v0::testing
