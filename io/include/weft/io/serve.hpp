#pragma once
/// @file
/// A server's frame: accepts connections, runs a handler for each as a fiber of its own, and ends in good order.
///
///     auto listener = io::tcp_listener::bind(at);
///     io::serve(listener, [](io::tcp_stream s) { echo(s); }, {.max_connections = 10'000, .stop = stop.get_token()});
///
/// - To stop gently, stop the token: nothing more is accepted, and handlers may go on until `drain_limit` is over;
/// those
///   that are left are cancelled.
/// - To stop at once, cancel whoever calls serve(): the handlers are cancelled, too.
/// - Either way, when serve() returns or throws, all handlers have ended and the listener is closed.

#include <weft/io/detail/accept_gate.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/group_core.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/semaphore.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <stop_token>
#include <string_view>
#include <system_error>
#include <utility>

namespace weft::inline v0 {
namespace io {

/// Something that connections come out of: `accept(ec)` waits for one, and close() makes that fail. An error of a
/// category of its own, such as of a handshake that it makes, is one of that connection alone.
template <class L>
concept connection_listener = requires(L& listener, std::error_code& ec) {
  { listener.accept(ec) } -> std::movable;
  { listener.is_open() } -> std::convertible_to<bool>;
  listener.close();
};

/// What a listener's connections are.
template <connection_listener L>
using connection_of = decltype(std::declval<L&>().accept(std::declval<std::error_code&>()));

struct serve_options {
  /// With as many, nothing is accepted until a handler ends: those who connect wait. At least 1.
  std::ptrdiff_t max_connections = semaphore::max();
  /// Begins the end. May be stopped by any fiber or thread.
  std::stop_token stop{};
  /// How long handlers may go on after that. Zero or less: they are cancelled at once; `max()`: no limit.
  std::chrono::nanoseconds drain_limit = std::chrono::seconds{30};
  /// Receives what a handler throws, on the handler's fiber; not its own cancellation. What it throws in turn goes to
  /// the runtime's `on_unhandled_exception`, as everything does if there is no such function.
  std::function<void(std::exception_ptr)> on_exception{};
  /// Name and size of stack of the handlers' fibers, as in spawn_options.
  std::string_view name{};
  std::size_t stack_size = 0;
};

/// What there was.
struct serve_summary {
  std::uint64_t served = 0;   ///< connections that were given to a handler
  std::uint64_t refused = 0;  ///< connections that were closed at once, for want of descriptors or memory
  bool drained = true;        ///< whether all handlers ended within `drain_limit`; otherwise they were cancelled
};

}  // namespace io

namespace detail {

/// A handler's fiber: what it owns is gone when it has ended.
template <class Handler, class Connection>
struct served_connection {
  Handler& handler;
  io::serve_options const& options;
  scoped_permit permit;  // given back when the connection is closed
  Connection connection;

  void operator()() {
    try {
      (void)std::invoke(handler, std::move(connection));
    } catch (cancelled const&) {
      if (!options.on_exception || this_fiber::cancel_requested()) throw;
      options.on_exception(std::current_exception());
    } catch (...) {
      if (!options.on_exception) throw;
      options.on_exception(std::current_exception());
    }
  }
};

template <class L>
struct closes_listener {
  L& listener;
  ~closes_listener() { listener.close(); }
};

/// Until the listener is closed, or broken.
/// @returns how it is broken, if it is
template <class L, class Handler>
std::error_code accept_all(L& listener, Handler& handler, io::serve_options const& options, group_core& handlers,
                           semaphore& permits, io::serve_summary& summary) {
  using connection_handler = served_connection<Handler, io::connection_of<L>>;
  spawn_options const how{.name = options.name, .stack_size = options.stack_size};
  accept_gate gate;
  for (;;) {
    auto permit = permits.acquire_scoped();
    std::error_code ec;
    try {
      auto connection = listener.accept(ec);
      if (!ec && gate.admits()) {
        handlers.spawn(how, connection_handler{handler, options, std::move(permit), std::move(connection)});
        ++summary.served;
        yield();  // so that connections that come in a row do not keep out those that are there
        continue;
      }
      if (!ec) ++summary.refused;
    } catch (std::bad_alloc const&) {  // the connection has been closed on the way here
      ec = std::make_error_code(std::errc::not_enough_memory);
      ++summary.refused;
    }
    if (!listener.is_open()) return {};
    if (!gate.outlasts(ec)) return ec;
  }
}

}  // namespace detail

namespace io {

/// Accepts connections until it is stopped, and calls `handler(std::move(connection))` for each on a fiber of its own.
/// They all call the same object, many at once. What a handler throws ends its connection and nothing else.
///
/// If the process or the system is out of descriptors, a descriptor held in reserve serves to accept what comes and to
/// close it at once: clients are refused rather than left waiting, a few every 5 ms. If even that is impossible, it
/// tries again after a pause of 5 ms, doubled each time up to 640 ms. Errors that concern but one connection are passed
/// over.
/// @param listener  is closed when serve() returns or throws. Who closes it meanwhile stops the server, too; but at
///   `max_connections` that is noticed only when a handler ends
/// @throws std::invalid_argument  for `max_connections` below 1; no_runtime outside of a fiber; std::system_error  if
///   accepting fails for good, after handlers have ended as if it had been stopped
/// @par Cancellation
/// A cancellation point: the handlers are cancelled, and `cancelled` is thrown when they have ended.
template <connection_listener L, class Handler>
  requires std::invocable<Handler&, connection_of<L>>
serve_summary serve(L& listener, Handler&& handler, serve_options const& options = {}) {
  detail::closes_listener<L> const at_the_end{listener};
  detail::check_serve(options.max_connections);
  serve_summary summary;
  semaphore permits{options.max_connections};
  detail::group_core handlers{detail::child_failure::stands_alone};
  std::error_code broken;
  try {
    (void)cancel_scope{options.stop}.run(
        [&] { broken = detail::accept_all(listener, handler, options, handlers, permits, summary); });
  } catch (cancelled const& c) {
    listener.close();  // before the handlers, which may take their time
    handlers.cancel(c.reason());
    throw;
  }
  listener.close();
  summary.drained = handlers.size() == 0 || move_on_after(options.drain_limit, [&] { handlers.wait(); });
  if (broken) detail::throw_accept_error(broken);
  return summary;
}

}  // namespace io
}  // namespace weft::inline v0
