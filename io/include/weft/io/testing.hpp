#pragma once
/// @file
/// For tests of what uses io/: system calls that fail, do less than they were asked to, and are counted.

#include <weft/runtime/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

namespace weft::inline v0::testing {

/// The system calls of io/. What the loops do to watch descriptors is not among them.
enum class io_call : unsigned char {
  socket,
  bind,
  listen,
  accept,
  connect,
  shutdown,
  getsockname,
  getpeername,
  getsockopt,
  setsockopt,
  socketpair,
  pipe,
  recv,
  send,
  recvmsg,
  sendmsg,
  read,
  write,
  readv,
  writev,
  start_process,
  wait_process,
  signal_process,
  close,
  // of files; appending counts as write, and what asks about a file as stat, by whatever name; openat(), unlinkat() and
  // fdopendir() as open, unlink or rmdir, and list
  open,
  pread,
  pwrite,
  sendfile,
  dup,  ///< of a socket, for sendfile()
  fsync,
  ftruncate,
  fchmod,
  stat,
  mkdir,
  rmdir,
  unlink,
  rename,
  list,   ///< opendir(), readdir() and closedir()
  watch,  ///< inotify_init() and inotify_add_watch()
};
inline constexpr std::size_t io_calls = static_cast<std::size_t>(io_call::watch) + 1;

/// While it lives, all descriptors that io/ opens make their system calls through it: those of the kernel, in any
/// runtime; or, if it was made on a fiber of a simulation, those of its network and of its file system.
///
///     weft::testing::io_faults faults;
///     auto listener = io::tcp_listener::bind(at);
///     faults.fail(testing::io_call::accept, std::errc::too_many_files_open, 3);  // the third from here
///
/// Several may live at once, and end in reverse order: each stands in front of the one before.
/// @par Thread safety
/// Any member, from any fiber and thread, at once; only the constructor and the destructor need to be alone.
class io_faults {
public:
  /// Counts, and does nothing else until it is told to.
  io_faults();
  io_faults(io_faults const&) = delete;
  /// Aborts with a message if a descriptor that was opened meanwhile is still open.
  ~io_faults();

  /// Of those that were opened since the constructor, how many are open.
  [[nodiscard]] std::size_t open_descriptors() const noexcept;
  /// Calls since the constructor.
  [[nodiscard]] std::uint64_t count(io_call which) const noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;

  /// From here on the `nth` call, and the `times - 1` that follow, fail with `error` and do nothing; but close() closes
  /// all the same, and with std::errc::interrupted connect() goes on, as with the kernel. Takes the place of what was
  /// planned before, by whatever kind.
  /// @param which  calls of this kind alone count; without it, all
  void fail(io_call which, std::errc error, std::uint64_t nth = 1, std::uint64_t times = 1);
  void fail(std::errc error, std::uint64_t nth = 1, std::uint64_t times = 1);
  /// From here on one in `one_in` calls fails, with one of `errors`; which, `seed` tells: with the same calls in the
  /// same order it is the same ones. Calls of close() do not fail.
  /// @throws std::invalid_argument  for 0, or without errors; std::bad_alloc
  void fail_at_random(std::uint64_t seed, std::uint32_t one_in, std::span<std::errc const> errors);
  /// No call fails any more.  @returns how many have since it was planned
  std::uint64_t fail_no_more() noexcept;
  [[nodiscard]] std::uint64_t failed() const noexcept;

  /// From here on no read or write of a stream or a file moves more bytes than this at a time. Datagrams go as they
  /// are.
  /// @param bytes  0: no limit
  void limit_transfers(std::size_t bytes) noexcept;
  /// From here on each call to the file system takes so long at least: on the thread on which it is made, or, in
  /// virtual time, while its caller alone waits. For a slow disk, or a server behind it.
  void delay_files(std::chrono::nanoseconds each) noexcept;

private:
  struct calls;
  std::unique_ptr<calls> calls_;
};

}  // namespace weft::inline v0::testing
