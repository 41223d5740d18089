#pragma once
/// @file
/// What is known of a process that was started.

#include <weft/io/detail/system_calls.hpp>
#include <weft/io/process.hpp>

#include <mutex>
#include <optional>
#include <string>
#include <sys/types.h>
#include <system_error>
#include <utility>

namespace weft::inline v0::io {

class process::state {
public:
  state(std::string name, bool leads) noexcept : program(std::move(name)), leads_group(leads) {}
  state(state const&) = delete;

  std::string const program;
  bool const leads_group;
  int number = -1;  // set once, before anybody else knows of it

  /// For open_descriptor::perform(): asks whether it has ended, and if so forgets it in the system.
  ssize_t reap(detail::system_calls& calls, int pidfd) noexcept;
  /// How it has ended; nothing: it has not, or nobody knows.
  [[nodiscard]] std::optional<exit_status> status() const noexcept;
  /// Whether there is nothing left of it in the system. Until then its number is no other's.
  [[nodiscard]] bool over() const noexcept;
  /// @returns the negative error number, or 0
  int send(detail::system_calls& calls, int pidfd, int signal) noexcept;
  /// Whether this is the process that it was started by, and no fork of that.
  [[nodiscard]] bool is_ours() const noexcept;
  /// @throws runtime_stopped  if it is not
  void check_ours() const;
  /// Blocks this thread.
  void reap_blocking(int pidfd) noexcept;

private:
  enum class phase : unsigned char { runs, ended, unknown };

  int const parent_ = own_number();
  static int own_number() noexcept;

  mutable std::mutex lock_;  // held for a system call that does not block; guards what follows
  phase phase_ = phase::runs;
  exit_status status_ = exit_status::exited(0);
};

}  // namespace weft::inline v0::io
