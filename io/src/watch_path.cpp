#include <weft/io/watch_path.hpp>

#include "error_text.hpp"
#include "file_transfer.hpp"
#include "where_it_may_block.hpp"

#include <weft/io/detail/file_calls.hpp>

#include <cstdint>
#include <cstring>
#include <sys/inotify.h>

namespace weft::inline v0::io {

namespace {

constexpr std::uint32_t watched_events = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM |
                                         IN_DELETE_SELF | IN_MOVE_SELF;

path_change::kind kind_of(std::uint32_t mask) noexcept {
  if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0) return path_change::kind::created;
  if ((mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
    return path_change::kind::removed;
  }
  if ((mask & IN_Q_OVERFLOW) != 0) return path_change::kind::lost;
  return (mask & IN_ATTRIB) != 0 ? path_change::kind::attributes : path_change::kind::modified;
}

}  // namespace

/// What the system could not keep may have been the end, too.
bool path_watch::ended_behind_what_is_lost() {
  auto const ended = detail::where_it_may_block([&] { return calls_->watch_has_ended(descriptor_.number()); });
  auto const room = read_.room();
  std::error_code ec;
  auto const came = descriptor_.call(ec, [&](detail::system_calls&, int fd) {
    return static_cast<int>(uninterrupted([&] { return calls_->read_events(fd, room.data(), room.size()); }));
  });
  if (!ec && came > 0) {  // it may be told all the same
    read_.added(static_cast<std::size_t>(came));
    return false;
  }
  if (ec != std::errc::resource_unavailable_try_again) return false;  // a failure, which will be told
  lost_ = !ended.has_value();                                         // or else asked again
  return ended.value_or(false);
}

std::optional<path_change> path_watch::next(std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  for (;;) {
    if (!is_open()) {
      ec = detail::closed_error();
      return std::nullopt;
    }
    if (gone_) return std::nullopt;
    if (read_.empty() && lost_ && ended_behind_what_is_lost()) {
      gone_ = true;
      return std::nullopt;
    }
    if (read_.empty()) {
      auto const room = read_.room();
      auto const came = descriptor_.perform(
          detail::readiness::readable, room.size(), ec,
          [&](detail::system_calls&, int fd) { return calls_->read_events(fd, room.data(), room.size()); });
      if (came <= 0) return std::nullopt;
      read_.added(static_cast<std::size_t>(came));
    }
    inotify_event event{};
    std::memcpy(&event, read_.view().data(), sizeof event);
    // The name ends with one or more zeros.
    char const* const name = read_.view().data() + sizeof event;
    path_change change{kind_of(event.mask), event.len != 0 ? name : ""};
    read_.consume(sizeof event + event.len);
    lost_ = lost_ || change.what == path_change::kind::lost;
    if ((event.mask & IN_IGNORED) == 0) return change;
    gone_ = true;
  }
}

std::optional<path_change> path_watch::next() {
  std::error_code ec;
  auto change = next(ec);
  if (ec) throw_error(ec, {"watching a path"});
  return change;
}

path_watch watch_path(std::filesystem::path const& path, std::error_code& ec) {
  auto& calls = detail::current_file_calls();
  // As of an adopted descriptor.
  auto& current = detail::current_calls();
  auto& socket_calls = current.kind() == detail::descriptor_kind::real ? current : detail::kernel_calls();
  int const refused = check_path(path.native());
  int number = -1;
  try {
    detail::where_it_may_block([&] {
      number = refused != 0 ? refused : uninterrupted([&] { return calls.watch(path.c_str(), watched_events); });
    });
  } catch (...) {
    if (number >= 0) (void)socket_calls.close(number);
    throw;
  }
  set_error(ec, number);
  return ec ? path_watch{} : path_watch{detail::open_descriptor{number, socket_calls}, calls};
}

path_watch watch_path(std::filesystem::path const& path) {
  std::error_code ec;
  auto watch = watch_path(path, ec);
  if (ec) throw_error(ec, {"watching '", path.native(), "'"});
  return watch;
}

}  // namespace weft::inline v0::io
