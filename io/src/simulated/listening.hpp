#pragma once
/// @file
/// What a simulated listener does: connections that have been made wait in its queue until they are accepted. And how
/// they are made.

#include "names.hpp"
#include "stream_end.hpp"

#include <cstddef>
#include <deque>
#include <memory>

namespace weft::inline v0::testing {

class listening {
public:
  explicit listening(int backlog) noexcept { limit(backlog); }
  listening(listening const&) = delete;
  /// Resets those that nobody has accepted.
  ~listening();

  void limit(int backlog) noexcept { limit_ = backlog > 0 ? static_cast<std::size_t>(backlog) + 1 : 1; }
  [[nodiscard]] bool full() const noexcept { return waiting_.size() >= limit_; }
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  void add(std::shared_ptr<stream_end> end) { waiting_.push_back(std::move(end)); }
  /// The one that has waited longest, which stays; there is one.
  [[nodiscard]] std::shared_ptr<stream_end> const& first() const noexcept { return waiting_.front(); }
  void drop_first() noexcept { waiting_.pop_front(); }

private:
  std::deque<std::shared_ptr<stream_end>> waiting_;
  std::size_t limit_ = 1;
};

/// Sends, for `client`, whose names are set, what asks for a connection. It is told the answer: established() or
/// failed(). A queue that is full does not answer; after a second it is asked again, then after two, and so on, as TCP
/// does.
void ask_for_connection(wire& by, bound_names& names, std::shared_ptr<stream_end> const& client, unsigned tries = 0);
/// The same of a Unix socket, which is told at once.
[[nodiscard]] int connect_locally(wire& by, bound_names& names, std::shared_ptr<stream_end> const& client);

}  // namespace weft::inline v0::testing
