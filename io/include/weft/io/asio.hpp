#pragma once
/// @file
/// Streams for what is written against Boost.Asio: with this header they model its SyncReadStream and SyncWriteStream,
/// and carry the synchronous operations of Boost.Beast, WebSockets included. While Asio believes that a call blocks,
/// only the calling fiber waits. Nothing of it runs anywhere: there is no loop, and no thread of Asio's.
///
/// The only public header of weft that includes Boost.

#include <weft/io/detail/pieces.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/unix_stream.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <array>
#include <system_error>
#if __has_include(<boost/beast/core/role.hpp>)
#include <boost/beast/core/role.hpp>
#endif

namespace weft::inline v0::detail {

template <>
struct foreign_error<boost::system::error_code> {
  /// @param end  if `own` says nothing, the stream is at its end
  static void set(boost::system::error_code& ec, std::error_code own, bool end) {
    if (own) {
      ec.assign(own.value(), boost::system::system_category());  // errno, as Asio has it
    } else if (end) {
      ec = boost::asio::error::eof;
    } else {
      ec.clear();
    }
  }
};

/// WebSockets own a timer, which belongs to an execution context; synchronous operations never start it. This one is
/// never run. (Others would do worse: Asio's own system_context, and a bare execution_context, start threads.)
template <>
struct foreign_executor<void> {
  [[nodiscard]] static boost::asio::io_context::executor_type get() {
    static boost::asio::io_context never_run;
    return never_run.get_executor();
  }
};

}  // namespace weft::inline v0::detail

#if __has_include(<boost/beast/core/role.hpp>)
namespace weft::inline v0::io {

namespace detail_asio {
/// As Beast takes down sockets: what still comes is read to the end, and dropped.
template <class Stream>
void tear_down(boost::beast::role_type role, Stream& which, boost::system::error_code& ec) {
  std::error_code own;
  if (role == boost::beast::role_type::server) which.shutdown(direction::send, own);
  std::array<std::byte, 2048> dropped{};
  while (!own && which.read_some(dropped, own) != 0) {
  }
  if (!own && role == boost::beast::role_type::client) which.shutdown(direction::send, own);
  if (!own) which.close();
  detail::foreign_error<boost::system::error_code>::set(ec, own, false);
}
}  // namespace detail_asio

/// For boost::beast::websocket::stream, which finds them by their arguments.
inline void teardown(boost::beast::role_type role, tcp_stream& which, boost::system::error_code& ec) {
  detail_asio::tear_down(role, which, ec);
}
inline void teardown(boost::beast::role_type role, unix_stream& which, boost::system::error_code& ec) {
  detail_asio::tear_down(role, which, ec);
}

}  // namespace weft::inline v0::io
#endif
