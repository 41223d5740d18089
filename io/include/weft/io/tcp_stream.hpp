#pragma once
/// @file
/// TCP connections.

#include <weft/io/endpoint.hpp>
#include <weft/io/resolve.hpp>
#include <weft/io/stream.hpp>

#include <chrono>
#include <string_view>
#include <system_error>

namespace weft::inline v0::io {

/// Choices for a connection to a host by its name.
struct connect_options {
  resolve_options names{};
  /// How long an attempt is waited for alone before the next address is tried beside it.
  std::chrono::nanoseconds stagger = std::chrono::milliseconds{250};
  /// After which all ends with std::errc::timed_out.
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
};

/// One end of a TCP connection. A stream.
class tcp_stream : public stream {
public:
  tcp_stream() noexcept = default;

  /// Connects.  @throws std::system_error, naming the endpoint  A cancellation point.
  [[nodiscard]] static tcp_stream connect(endpoint const& to);
  [[nodiscard]] static tcp_stream connect(endpoint const& to, std::error_code& ec);

  /// Connects to one of the addresses of `host`, which resolve() finds. If there are several, the next is tried when
  /// one has failed, or has not answered for `stagger`, IPv6 and IPv4 in turn; the first that answers it is, and the
  /// others are given up ("happy eyeballs", RFC 8305).
  /// @throws std::system_error  with the error of the first address, and what each said in its text; as resolve()
  /// @par Cancellation
  /// A cancellation point; cancelled means that there is no connection.
  [[nodiscard]] static tcp_stream connect(std::string_view host, service at, connect_options const& options = {});
  [[nodiscard]] static tcp_stream connect(std::string_view host, service at, connect_options const& options,
                                          std::error_code& ec);

  /// Says that no more is coming (`send`: the other side reads to the end), or that no more is wanted. Does not wait.
  void shutdown(direction which);
  void shutdown(direction which, std::error_code& ec);

  /// Whether small writes are sent at once, rather than gathered while an acknowledgement is due (TCP_NODELAY).
  void nodelay(bool on);
  void nodelay(bool on, std::error_code& ec);
  [[nodiscard]] bool nodelay() const;

  /// Whether a silent peer is probed after `idle`, every `interval`, and given up after `probes` without an answer.
  /// Seconds, at least one each.
  struct keepalive_options {
    std::chrono::seconds idle{60};
    std::chrono::seconds interval{10};
    int probes = 6;
  };
  void keepalive(keepalive_options const& options);
  void keepalive(keepalive_options const& options, std::error_code& ec);

  [[nodiscard]] endpoint local_endpoint() const;
  [[nodiscard]] endpoint local_endpoint(std::error_code& ec) const;
  [[nodiscard]] endpoint remote_endpoint() const;
  [[nodiscard]] endpoint remote_endpoint(std::error_code& ec) const;

private:
  friend class tcp_listener;
  explicit tcp_stream(detail::open_descriptor descriptor) noexcept;
};

}  // namespace weft::inline v0::io
