#include <weft/io/detail/accept_gate.hpp>

#include "error_text.hpp"

#include <weft/runtime/error.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <sys/socket.h>
#include <utility>

namespace weft::inline v0::detail {

namespace {

enum class accept_trouble : unsigned char { one_connection, no_descriptors, no_memory, broken_listener };

accept_trouble trouble_of(std::error_code ec) noexcept {
  // Of what a listener does with a connection before it hands it out, such as a handshake.
  if (ec.category() != std::generic_category() && ec.category() != std::system_category()) {
    return accept_trouble::one_connection;
  }
  switch (ec.value()) {
    case EMFILE:
    case ENFILE: return accept_trouble::no_descriptors;
    case ENOBUFS:
    case ENOMEM: return accept_trouble::no_memory;
    case ECONNABORTED:  // the client has gone
    case EPERM:         // a firewall
    case EPROTO:        // this and the rest: errors of the network, which Linux gives to who accepts
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ECONNRESET:
    case ETIMEDOUT: return accept_trouble::one_connection;
    default: return accept_trouble::broken_listener;
  }
}

}  // namespace

accept_gate::accept_gate() noexcept : calls_(current_calls()) { (void)admits(); }

bool accept_gate::admits() noexcept {
  if (reserve_ < 0) {
    reserve_ = calls_.socket(AF_UNIX, SOCK_STREAM, 0);
    // Where there is no such socket, nothing is known, and so nobody is refused.
    if (reserve_ == -EMFILE || reserve_ == -ENFILE) return false;
  }
  in_a_row_ = 0;
  pause_ = shortest_pause;
  return true;
}

void accept_gate::give_up_reserve() noexcept {
  if (int const number = std::exchange(reserve_, -1); number >= 0) (void)calls_.close(number);
}

bool accept_gate::outlasts(std::error_code ec) {
  if (ec && trouble_of(ec) == accept_trouble::broken_listener) return false;
  auto const trouble = ec ? trouble_of(ec) : accept_trouble::one_connection;  // refused
  if (trouble == accept_trouble::no_descriptors && reserve_ >= 0) {
    give_up_reserve();
  } else if (trouble == accept_trouble::one_connection) {
    if (++in_a_row_ % before_a_pause == 0) sleep_for(shortest_pause);
  } else {
    sleep_for(std::exchange(pause_, std::min(pause_ * 2, longest_pause)));
  }
  return true;
}

void check_serve(std::ptrdiff_t max_connections) {
  if (max_connections < 1) throw std::invalid_argument("weft::io::serve: max_connections must be at least 1");
  if (this_fiber::get_id() == fiber_id{}) throw no_runtime("weft::io::serve: connections are served on fibers only");
}

void throw_accept_error(std::error_code ec) { io::throw_error(ec, {"accepting connections"}); }

}  // namespace weft::inline v0::detail
