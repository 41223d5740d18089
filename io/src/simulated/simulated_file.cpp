#include "simulated_file.hpp"

#include <algorithm>
#include <cstring>

namespace weft::inline v0::testing {

std::size_t pieces::size() const noexcept {
  std::size_t size = 0;
  for (auto const& piece : of_) size += piece.iov_len;
  return size;
}

std::size_t pieces::fill(char const* from, std::size_t size) const noexcept {
  std::size_t done = 0;
  for (auto const& piece : of_) {
    auto const part = std::min(piece.iov_len, size - done);
    if (part == 0) continue;
    std::memcpy(piece.iov_base, from + done, part);
    done += part;
  }
  return done;
}

void pieces::take(std::size_t size, std::vector<char>& to) const {
  for (auto const& piece : of_) {
    auto const part = std::min(piece.iov_len, size);
    if (part == 0) continue;
    auto const* const start = static_cast<char const*>(piece.iov_base);
    to.insert(to.end(), start, start + part);
    size -= part;
  }
}

int simulated_file::bind(socket_name const&) { return -ENOTSOCK; }
int simulated_file::listen(int) { return -EOPNOTSUPP; }
std::shared_ptr<simulated_file> simulated_file::accept(socket_name&, int& error) {
  error = -EOPNOTSUPP;
  return nullptr;
}
int simulated_file::connect(socket_name const&) { return -EOPNOTSUPP; }
int simulated_file::shutdown(int) { return -ENOTCONN; }
int simulated_file::name(socket_name&) { return -ENOTSOCK; }
int simulated_file::peer_name(socket_name&) { return -ENOTCONN; }

int simulated_file::set_option(int level, int option, std::span<std::byte const> value) {
  if (value.empty()) return -EINVAL;
  options_[{level, option}].assign(value.begin(), value.end());
  return 0;
}

int simulated_file::option(int level, int option, std::vector<std::byte>& value) {
  if (auto const set = options_.find({level, option}); set != options_.end()) {
    value = set->second;
  } else {
    value.assign(sizeof(int), std::byte{0});
  }
  return 0;
}

int simulated_file::number_set(int level, int option, int otherwise) const noexcept {
  auto const set = options_.find({level, option});
  if (set == options_.end() || set->second.size() < sizeof(int)) return otherwise;
  int value = 0;
  std::memcpy(&value, set->second.data(), sizeof value);
  return value;
}

void simulated_file::report(readiness what) noexcept {
  if (watcher_ != nullptr && ready(what)) watcher_->became_ready(what);
}

}  // namespace weft::inline v0::testing
