#pragma once
/// @file
/// What signal handlers write to, and one reader of it for each signal_stream.
///
/// The handler goes through a table of places in static storage, of which each stream has one: it counts the signal
/// there and writes to the place's eventfd. A stream that ends takes its wishes out of its place, and waits until no
/// handler is in there; only then are descriptor and place free for others.

#include <weft/io/detail/open_descriptor.hpp>

#include <cstdint>
#include <span>

namespace weft::inline v0::detail {

struct signal_place;

class signal_inbox {
public:
  /// From here on the signals are counted.  @throws std::system_error, std::bad_alloc
  explicit signal_inbox(std::span<int const> signals);
  signal_inbox(signal_inbox const&) = delete;
  ~signal_inbox();

  /// Waits for a signal and takes it; 0: the descriptor has been closed. One fiber. A cancellation point.
  [[nodiscard]] int next();

private:
  [[nodiscard]] int take() noexcept;
  void leave() noexcept;

  signal_place* place_ = nullptr;
  std::uint64_t wanted_ = 0;  // a bit for each signal, 1 the lowest
  int last_ = 0;              // the one taken last: the next is looked for from there
  open_descriptor descriptor_;
};

}  // namespace weft::inline v0::detail
