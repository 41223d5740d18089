#pragma once
/// @file
/// How a process comes to be: what it is to get, put together for src/child.hpp.

#include "child.hpp"

#include <weft/io/process.hpp>

#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace weft::inline v0::io {

/// One attempt. What was given away for it is closed when it ends.
class process_start {
public:
  process_start(std::vector<std::string> const& argv, process_options const& options);
  process_start(process_start const&) = delete;
  ~process_start();

  /// @returns none, with `ec` set, if it fails
  [[nodiscard]] process run(std::error_code& ec);
  /// What failed, for a message.
  [[nodiscard]] std::string const& what() const noexcept { return what_; }

private:
  using source = detail::child_plan::source;

  bool refuse(std::error_code& ec, std::string_view why);
  [[nodiscard]] bool check(std::error_code& ec);
  void look_up_program();
  void put_together_environment();
  [[nodiscard]] bool prepare(int n, std::error_code& ec);
  void tell_failure();

  std::vector<std::string> const& argv_;
  process_options const& options_;
  std::array<redirection const*, 3> redirections_;
  std::string program_;
  std::string what_;

  // What the plan points to.
  std::vector<std::string> candidates_;
  std::vector<std::string> variables_;
  std::vector<char const*> candidate_pointers_;
  std::vector<char*> argument_pointers_;
  std::vector<char*> variable_pointers_;
  std::array<stream, 3> its_ends_;  // of pipes
  std::array<stream, 3> our_ends_;
  detail::child_plan plan_;
};

}  // namespace weft::inline v0::io
