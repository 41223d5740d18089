#pragma once
/// @file
/// How a server lives through a want of descriptors and memory, and through other troubles of accept().
///
///     open --EMFILE: the reserve is given up--> tight --the reserve can be had again--> open
///
/// A connection that is accepted while `tight` took the place of the reserve. It is served if a new reserve can be had,
/// for then there are descriptors again; or else closed, and so its place serves for the next. (The reserve is as old
/// as libev's manual, "The special problem of accept()ing when you can't"; the growing pause is net/http's, golang/go.)

#include <weft/io/detail/system_calls.hpp>

#include <chrono>
#include <cstddef>
#include <system_error>

namespace weft::inline v0::detail {

/// Used by one fiber.
class accept_gate {
public:
  accept_gate() noexcept;
  accept_gate(accept_gate const&) = delete;
  ~accept_gate() { give_up_reserve(); }

  /// Whether a connection that has just been accepted can be served.
  [[nodiscard]] bool admits() noexcept;

  /// A connection could not be accepted, with `ec`, or could not be served: waits if that is called for.
  /// @returns whether to go on  @throws cancelled
  [[nodiscard]] bool outlasts(std::error_code ec);

private:
  void give_up_reserve() noexcept;

  static constexpr std::chrono::milliseconds shortest_pause{5};
  static constexpr std::chrono::milliseconds longest_pause{640};
  static constexpr std::size_t before_a_pause = 16;

  system_calls& calls_;
  int reserve_ = -1;          // -1: given up
  std::size_t in_a_row_ = 0;  // connections that were not served
  std::chrono::milliseconds pause_ = shortest_pause;
};

/// @throws std::invalid_argument, no_runtime
void check_serve(std::ptrdiff_t max_connections);
[[noreturn]] void throw_accept_error(std::error_code ec);

}  // namespace weft::inline v0::detail
