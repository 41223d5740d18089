#pragma once
/// @file
/// What became of an operation on a channel, and the iterator that both channels have.

#include <weft/runtime/config.hpp>

#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

namespace weft::inline v0::compat {

namespace fibers {

enum class channel_op_status { success = 0, empty, full, closed, timeout };

}  // namespace fibers

namespace detail {

/// Takes values out of a channel until that is closed and empty. Advancing waits.
template <class Channel>
class channel_iterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = typename Channel::value_type;
  using difference_type = std::ptrdiff_t;
  using pointer = value_type*;
  using reference = value_type&;

  /// The end.
  channel_iterator() = default;
  /// Takes the first value.
  explicit channel_iterator(Channel* from) : channel_(from) { ++*this; }

  channel_iterator& operator++() {
    value_.reset();
    channel_->pop_into(value_);
    if (!value_) channel_ = nullptr;
    return *this;
  }
  void operator++(int) = delete;
  [[nodiscard]] reference operator*() noexcept { return *value_; }
  [[nodiscard]] pointer operator->() noexcept { return &*value_; }
  [[nodiscard]] bool operator==(channel_iterator const& other) const noexcept { return channel_ == other.channel_; }

private:
  Channel* channel_ = nullptr;
  std::optional<value_type> value_;
};

}  // namespace detail
}  // namespace weft::inline v0::compat
