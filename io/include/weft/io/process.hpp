#pragma once
/// @file
/// Other programs: started, talked to, waited for.
///
///     auto sort = io::process::spawn({"sort", "-n"}, {.in = io::redirection::pipe(), .out = io::redirection::pipe()});
///     auto done = sort.communicate("2\n1\n");           // done.out == "1\n2\n", done.status.success()
///
///     auto said = io::run_process({"git", "log", "-1"});  // the same with less to say
///
/// - Arguments are passed as they are: no shell sees them.
/// - A process starts with the default signal mask and dispositions and with descriptors 0 to 2, and no other.
/// - Its end is awaited by a descriptor of it (a pidfd), which the reactor watches: there is no handler of SIGCHLD, and
///   the program's other children are left alone.
/// - A process does not outlive its object.
///
/// Linux 5.9 or later.

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/exit_status.hpp>
#include <weft/io/process_options.hpp>
#include <weft/io/readiness.hpp>
#include <weft/io/stream.hpp>
#include <weft/runtime/clock.hpp>
#include <weft/sync/select.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::inline v0::io {

/// What a process wrote, and how it ended.
struct process_output {
  exit_status status;
  std::string out;  ///< empty unless standard output was a pipe
  std::string err;  ///< the same of standard error
};

/// A program that runs, or has run.
/// @par Thread safety
/// Waiting and sending signals: any fiber, at once, and sending by any thread. Each stream as a stream. Moved only
/// while nobody uses it.
/// @par Errors
/// Each operation comes twice, as of streams. Whoever has let another wait for its children (`waitpid(-1)`), or ignores
/// SIGCHLD, gets std::errc::no_child_process from wait(), and no status.
class process {
public:
  /// In bytes: what communicate() takes of each stream if the caller does not say.
  static constexpr std::size_t no_limit = std::string::npos;

  /// None: all operations fail.
  process() noexcept;
  /// Starts a program. A name without a slash is looked for in the directories of PATH, of this process and not of
  /// `options`. When it returns, the program has been found and executed. Another thread starts it, which waits for
  /// that; the worker does not.
  /// @param argv  its arguments, the first being its own name
  /// @throws std::system_error  which names the program and says what failed: that it is not to be found or executed,
  ///   its directory, a file for its streams; std::errc::invalid_argument for no arguments and those that have a NUL in
  ///   them. no_runtime outside of a runtime; error in a simulation.
  /// @par Cancellation
  /// A cancellation point; cancelled means that no process is left.
  [[nodiscard]] static process spawn(std::vector<std::string> const& argv, process_options const& options = {});
  [[nodiscard]] static process spawn(std::vector<std::string> const& argv, process_options const& options,
                                     std::error_code& ec);
  process(process&&) noexcept;
  process& operator=(process&&) noexcept;  ///< Ends what was there, as the destructor does.
  /// A process that has not been waited for is killed, with its group if it leads one, and then waited for, whether the
  /// caller is cancelled or not: neither a program that runs nor a zombie is left. That may take as long as the program
  /// goes on if this process must not kill it. A thread that is no worker blocks meanwhile.
  ~process();

  /// -1: none. Of one that has been waited for, the system may have given the number to another.
  [[nodiscard]] int id() const noexcept;
  /// What was given as the program, for messages.
  [[nodiscard]] std::string const& program() const noexcept;

  // --- its standard streams, of those that are pipes; others are closed ---

  /// To be written. To close it is what tells the process that there is no more.
  [[nodiscard]] stream& stdin_stream() noexcept { return in_; }
  /// To be read.
  [[nodiscard]] stream& stdout_stream() noexcept { return out_; }
  [[nodiscard]] stream& stderr_stream() noexcept { return err_; }

  /// Writes `input` to its standard input and closes that, reads its output and errors meanwhile, each to its end, and
  /// waits for its end. That it does not read all of the input is no failure.
  /// @param limit  of what it writes to each stream, in bytes
  /// @throws limit_overrun; std::system_error; std::errc::invalid_argument for input without a pipe
  /// @par Cancellation
  /// A cancellation point. Cancelled, or with an error, the process still runs, and what it has written so far is lost.
  [[nodiscard]] process_output communicate(std::string_view input = {}, std::size_t limit = no_limit);
  /// With an error, what had come until then.
  [[nodiscard]] process_output communicate(std::string_view input, std::size_t limit, std::error_code& ec);

  // --- its end ---

  /// Waits for its end. Any number of times, by any number of fibers.
  /// @throws std::system_error  no_child_process, see above; bad_file_descriptor: there is none
  /// @par Cancellation
  /// A cancellation point, even where it need not wait; cancelled, it runs on.
  exit_status wait();
  exit_status wait(std::error_code& ec);
  /// The same, at most for `limit`; with 0 it only asks.  @returns whether it has ended: then wait() does not wait
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until_(detail::deadline_after(detail::to_nanoseconds(limit)));
  }
  /// The same, at most until `deadline`.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> deadline) {
    return wait_until_(detail::to_deadline(deadline));
  }
  /// How it has ended, if it has. Never waits.  @throws as wait()
  [[nodiscard]] std::optional<exit_status> try_wait();

  /// Sends it a signal, or all of its group if it leads one. Never waits.
  /// @returns false if it has ended, and somebody has waited for that
  /// @throws std::system_error  std::errc::operation_not_permitted: it runs as another user; invalid_argument: there is
  ///   no such signal
  bool signal(int number);
  bool signal(int number, std::error_code& ec);
  /// SIGTERM: asks it to end.
  bool terminate();
  bool terminate(std::error_code& ec);
  /// SIGKILL: ends it.
  bool kill();
  bool kill(std::error_code& ec);
  /// Terminates it, kills it if it still runs `grace` later, and waits for its end.
  /// @par Cancellation
  /// A cancellation point. Cancelled meanwhile, it has been asked to end, and may still run.
  template <class Rep, class Period>
  exit_status stop(std::chrono::duration<Rep, Period> grace) {
    return stop_(detail::deadline_after(detail::to_nanoseconds(grace)));
  }

private:
  friend struct detail::descriptor_access;
  friend class process_start;
  class state;

  void take(int number, int pidfd, detail::system_calls& calls);
  bool wait_until_(time_point deadline);
  exit_status stop_(time_point deadline);
  void end() noexcept;

  detail::open_descriptor descriptor_;  // becomes readable when it has ended, and stays so
  std::unique_ptr<state> state_;        // null: none
  stream in_;
  stream out_;
  stream err_;
};

/// Runs a program to its end. Its output and errors are pipes, and so is its input if there is any, unless `options`
/// redirect them; without input it gets /dev/null.
/// @throws what process::spawn() and process::communicate() do. That it fails is no exception: look at the status.
/// @par Cancellation
/// A cancellation point; cancelled means that no process is left.
[[nodiscard]] process_output run_process(std::vector<std::string> const& argv, std::string_view input = {},
                                         process_options options = {});
[[nodiscard]] process_output run_process(std::vector<std::string> const& argv, std::string_view input,
                                         process_options options, std::error_code& ec);

}  // namespace weft::inline v0::io

namespace weft::inline v0 {

namespace detail {
class exit_wait : public readiness_wait {
public:
  explicit exit_wait(io::process& of) noexcept : readiness_wait(of, readiness::readable), process_(&of) {}

protected:
  template <class F>
  void call(F& f) {
    check();
    auto const status = process_->wait();  // which it need not do any more
    if constexpr (std::invocable<F&, io::exit_status>) {
      std::invoke(f, status);
    } else {
      std::invoke(f);
    }
  }

private:
  io::process* process_;
};
}  // namespace detail

/// A case of select(): calls `f(status)` or `f()` when `of` has ended, and has been waited for.
/// @throws what process::wait() throws, from select(): then this case was chosen
template <class F = detail::no_handler>
  requires std::invocable<F&, io::exit_status> || std::invocable<F&>
[[nodiscard]] auto on_exit(io::process& of, F f = {}) {
  return detail::handled_case<detail::exit_wait, F>{detail::exit_wait{of}, std::move(f)};
}

}  // namespace weft::inline v0
