#pragma once
/// @file
/// Standard input, output and error, and other descriptors that were inherited.
///
///     while (auto line = weft::io::stdin_stream().read_line()) weft::io::stdout_stream().write_all(*line + "\n");

#include <weft/io/buffered_source.hpp>
#include <weft/io/detail/open_descriptor.hpp>
#include <weft/sync/mutex.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>

namespace weft::inline v0::detail {

/// One direction of a descriptor whose file is shared with others, and so must keep its flags: to make a terminal
/// non-blocking makes it so for the shell. How it is waited for depends on what it is, which is found out first:
///
/// - a terminal or a pipe is opened anew, by way of /proc/self/fd, and that is non-blocking (as libuv does with
///   terminals);
/// - a socket, and what must not be opened again, is put into an epoll set, which is what is waited for; a socket is
///   then asked not to wait, of others a thread makes the call;
/// - of what is always ready, as a regular file, a thread makes the call.
class inherited_end {
public:
  inherited_end(int number, readiness what) noexcept : number_(number), what_(what) {}

  /// @returns bytes moved; 0 with `ec` set, or at the end when reading
  std::size_t move(std::byte* data, std::size_t size, std::error_code& ec);

private:
  enum class way : unsigned char { unknown, own, gate_and_socket, gate_and_thread, thread };

  [[nodiscard]] way find_way(std::error_code& ec);
  [[nodiscard]] bool open_anew();
  [[nodiscard]] int make_gate();
  [[nodiscard]] short event() const noexcept;
  ssize_t make_call(system_calls& calls, int number, std::byte* data, std::size_t size) const noexcept;
  ssize_t on_thread(std::byte* data, std::size_t size) const;

  int number_;
  readiness what_;
  way way_ = way::unknown;
  open_descriptor descriptor_;  // what was opened anew, or the set
};

}  // namespace weft::inline v0::detail

namespace weft::inline v0::io {

/// A descriptor that is shared with other processes, of whatever kind: a terminal, a pipe, a socket, a file, /dev/null.
/// Its flags stay as they are.
///
/// Reads as other buffered sources. Writes are not buffered.
/// @par Thread safety
/// One fiber may read while others write; writes take turns, each whole.
/// @par Cancellation
/// All that read or write are cancellation points, even where they need not wait, and a wait for input or for room ends
/// at once: so neither holds up a shutdown. A read or write of a regular file is waited for.
/// @par Errors
/// As of streams. Outside of a runtime, what has to wait throws no_runtime.
class inherited_stream final : public buffered_source {
public:
  /// @param number  of a descriptor that stays open and the caller's
  explicit inherited_stream(int number) noexcept;
  inherited_stream(inherited_stream const&) = delete;
  ~inherited_stream() override;

  /// Writes at most all of `buffer`; waits until there is room for at least one byte.
  /// @returns bytes written; 0 only for an empty buffer
  std::size_t write_some(std::span<std::byte const> buffer);
  std::size_t write_some(std::span<std::byte const> buffer, std::error_code& ec);
  /// Writes all of `buffer`. A cancellation leaves open how much has been written.
  void write_all(std::span<std::byte const> buffer);
  /// @returns bytes written: less than all only with `ec` set
  std::size_t write_all(std::span<std::byte const> buffer, std::error_code& ec);
  void write_all(std::string_view text) { write_all(std::as_bytes(std::span{text})); }
  std::size_t write_all(std::string_view text, std::error_code& ec) {
    return write_all(std::as_bytes(std::span{text}), ec);
  }

  [[nodiscard]] int native_handle() const noexcept { return number_; }

protected:
  std::size_t fetch(std::span<std::byte> into, std::error_code& ec) override;

private:
  [[noreturn]] void throw_write_error(std::error_code ec) const;

  int number_;
  detail::inherited_end reading_;
  detail::inherited_end writing_;  // guarded by the mutex
  mutex writers_;
};

/// Descriptors 0, 1 and 2. The same object at each call, for as long as the process lives: what one has read ahead, the
/// next one gets.
[[nodiscard]] inherited_stream& stdin_stream();
[[nodiscard]] inherited_stream& stdout_stream();
[[nodiscard]] inherited_stream& stderr_stream();

}  // namespace weft::inline v0::io
