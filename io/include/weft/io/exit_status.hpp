#pragma once
/// @file
/// How a process has ended.

#include <weft/runtime/config.hpp>

#include <optional>
#include <string>

namespace weft::inline v0::io {

/// Either the code it exited with, or the signal that ended it.
class exit_status {
public:
  [[nodiscard]] static constexpr exit_status exited(int code) noexcept { return {how::exited, code}; }
  [[nodiscard]] static constexpr exit_status signalled(int signal, bool core_dumped = false) noexcept {
    return {core_dumped ? how::dumped : how::signalled, signal};
  }

  /// Whether it exited with 0.
  [[nodiscard]] constexpr bool success() const noexcept { return how_ == how::exited && number_ == 0; }
  /// Nothing: a signal ended it.
  [[nodiscard]] constexpr std::optional<int> code() const noexcept {
    return how_ == how::exited ? std::optional{number_} : std::nullopt;
  }
  /// Nothing: it exited.
  [[nodiscard]] constexpr std::optional<int> signal() const noexcept {
    return how_ == how::exited ? std::nullopt : std::optional{number_};
  }
  [[nodiscard]] constexpr bool core_dumped() const noexcept { return how_ == how::dumped; }

  /// "exited with 1", "ended by signal 15 (Terminated)".  @throws std::bad_alloc
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(exit_status, exit_status) noexcept = default;

private:
  enum class how : unsigned char { exited, signalled, dumped };
  constexpr exit_status(how way, int number) noexcept : how_(way), number_(number) {}

  how how_;
  int number_;
};

}  // namespace weft::inline v0::io
