#include "stream_socket.hpp"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace weft::inline v0::testing {

stream_socket::stream_socket(wire& by, bound_names& names, int family, std::shared_ptr<stream_end> end)
    : wire_(by), names_(names), family_(family), end_(std::move(end)) {
  own_.family = family;
  if (family == AF_INET6) own_.at = {io::ip_address::any_v6(), 0};
  if (end_ == nullptr) return;
  own_ = end_->own;
  own_.family = family;
  end_->belong_to(this);
  told_connected_ = true;
}

bool stream_socket::is_unix() const noexcept { return family_ == AF_UNIX; }

int stream_socket::bind(socket_name const& to) {
  if (to.family != family_) return is_unix() ? -EINVAL : -EAFNOSUPPORT;
  bool const bound = is_unix() ? !own_.path.empty() : own_.at.port() != 0;
  if (bound || end_ != nullptr || (is_unix() && to.path.empty())) return -EINVAL;
  auto name = to;
  sharing const how{.port = number_set(SOL_SOCKET, SO_REUSEPORT, 0) != 0,
                    .only_v6 = number_set(IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0};
  int const result = names_.bind(which(), name, how, *this);
  if (result == 0) own_ = name;
  return result;
}

int stream_socket::listen(int backlog) {
  if (end_ != nullptr) return -EINVAL;
  if (queue_ != nullptr) {
    queue_->limit(backlog);
    return 0;
  }
  if (is_unix() && own_.path.empty()) return -EINVAL;
  if (!is_unix() && own_.at.port() == 0) {
    if (int const bound = bind(own_); bound != 0) return bound;
  }
  queue_ = std::make_unique<listening>(backlog);
  return 0;
}

std::shared_ptr<simulated_file> stream_socket::accept(socket_name& from, int& error) {
  error = queue_ == nullptr ? -EINVAL : queue_->empty() ? -EAGAIN : 0;
  if (error == 0 && wire_.random.chance(wire_.options.interrupted)) error = -EINTR;
  if (error == 0 && wire_.random.chance(wire_.options.no_descriptors)) error = -EMFILE;
  if (error != 0) return nullptr;
  auto const& end = queue_->first();  // and stays there should memory fail
  if (family_ == AF_INET6) {
    end->own.at = as_v6(end->own.at);
    end->peer_name.at = as_v6(end->peer_name.at);
  } else if (!is_unix()) {  // from an IPv6 socket that has named us by IPv4
    end->own.at = unmapped(end->own.at);
    end->peer_name.at = unmapped(end->peer_name.at);
  }
  from = end->peer_name;
  from.family = family_;
  auto accepted = std::make_shared<stream_socket>(wire_, names_, family_, end);
  queue_->drop_first();
  return accepted;
}

int stream_socket::connect(socket_name const& to) {
  if (queue_ != nullptr) return is_unix() ? -EINVAL : -EISCONN;
  if (end_ != nullptr) {
    if (!end_->connected()) {
      int const error = end_->take_error();
      return error != 0 ? -error : -EALREADY;
    }
    return std::exchange(told_connected_, true) ? -EISCONN : 0;
  }
  if (to.family != family_) return is_unix() ? -EINVAL : -EAFNOSUPPORT;
  auto const client = std::make_shared<stream_end>(wire_, is_unix() ? stream_end::kind::local : stream_end::kind::tcp);
  client->peer_name = to;
  client->own = own_;
  if (is_unix()) {
    if (int const result = connect_locally(wire_, names_, client); result != 0) return result;
  } else {
    if (is_mapped(to.at) && number_set(IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0) return -ENETUNREACH;
    // Who sends to this machine from this machine does so from the address that it sends to; "any" is this machine.
    auto const address = to.at.address() == io::ip_address::any_v4()   ? io::ip_address::loopback_v4()
                         : to.at.address() == io::ip_address::any_v6() ? io::ip_address::loopback_v6()
                                                                       : to.at.address();
    client->peer_name.at = {address, to.at.port()};
    bool const any = own_.at.address() == io::ip_address::any_v4() || own_.at.address() == io::ip_address::any_v6();
    auto const port = own_.at.port() != 0 ? own_.at.port() : names_.free_port(protocol::tcp);
    if (port == 0) return -EADDRNOTAVAIL;
    client->own.at = {any ? address : own_.at.address(), port};
    ask_for_connection(wire_, names_, client);
  }
  own_ = client->own;
  end_ = client;
  end_->belong_to(this);
  told_connected_ = is_unix();
  return is_unix() ? 0 : -EINPROGRESS;
}

int stream_socket::shutdown(int how) {
  if (queue_ != nullptr && how != SHUT_WR) {  // as on Linux: it listens no more, and who accepts is told
    queue_ = nullptr;
    names_.release(*this);
    report_both();
    return 0;
  }
  return end_ != nullptr ? end_->shutdown(how) : -ENOTCONN;
}

int stream_socket::name(socket_name& own) {
  own = own_;
  return 0;
}

int stream_socket::peer_name(socket_name& peer) {
  if (end_ == nullptr || !end_->connected()) return -ENOTCONN;
  peer = end_->peer_name;
  peer.family = family_;
  return 0;
}

int stream_socket::option(int level, int option, std::vector<std::byte>& value) {
  auto const number = [&value](int n) {
    value.resize(sizeof n);
    std::memcpy(value.data(), &n, sizeof n);
    return 0;
  };
  if (level == SOL_SOCKET) {
    switch (option) {
      case SO_ERROR: return number(end_ != nullptr ? end_->take_error() : 0);
      case SO_TYPE: return number(SOCK_STREAM);
      case SO_DOMAIN: return number(family_);
      case SO_ACCEPTCONN: return number(queue_ != nullptr ? 1 : 0);
      case SO_PEERCRED: {
        if (!is_unix()) break;
        ucred const peer{::getpid(), ::geteuid(), ::getegid()};  // all of a simulation is this process
        value.resize(sizeof peer);
        std::memcpy(value.data(), &peer, sizeof peer);
        return 0;
      }
      default: break;
    }
  }
  return simulated_file::option(level, option, value);
}

ssize_t stream_socket::receive(pieces to, int flags, received& about) {
  if (end_ == nullptr) return is_unix() ? -EINVAL : -ENOTCONN;
  about.from.family = 0;  // streams do not tell
  return end_->read(to, flags);
}

ssize_t stream_socket::send(pieces from, socket_name const* to, int) {
  if (end_ == nullptr) return is_unix() ? -ENOTCONN : -EPIPE;
  if (to != nullptr && is_unix()) return -EISCONN;
  return end_->write(from);
}

bool stream_socket::ready(readiness what) const noexcept {
  if (queue_ != nullptr) return what == readiness::readable && !queue_->empty();
  if (end_ == nullptr) return true;  // to be told that it is not connected
  return what == readiness::readable ? end_->readable() : end_->writable();
}

void stream_socket::close() noexcept {
  names_.release(*this);
  queue_ = nullptr;
  if (end_ == nullptr) return;
  // SO_LINGER with no time: who closes throws away what has not been sent, and resets.
  std::vector<std::byte> value;
  bool abort = false;
  try {
    ::linger how{};
    if (simulated_file::option(SOL_SOCKET, SO_LINGER, value) == 0 && value.size() >= sizeof how) {
      std::memcpy(&how, value.data(), sizeof how);
      abort = how.l_onoff != 0 && how.l_linger == 0;
    }
  } catch (std::bad_alloc const&) {  // NOLINT: it ends politely, then
  }
  end_->close(abort && !is_unix());
}

pipe_end::pipe_end(std::shared_ptr<stream_end> end, bool reads) noexcept : end_(std::move(end)), reads_(reads) {
  end_->belong_to(this);
}

ssize_t pipe_end::receive(pieces to, int flags, received&) { return reads_ ? end_->read(to, flags) : -EBADF; }
ssize_t pipe_end::send(pieces from, socket_name const*, int) { return reads_ ? -EBADF : end_->write(from); }

bool pipe_end::ready(readiness what) const noexcept {
  if (reads_) return what == readiness::readable && end_->readable();
  return what == readiness::writable && (end_->writable() || end_->readable());  // it is read by nobody any more
}

void pipe_end::close() noexcept { end_->close(false); }

}  // namespace weft::inline v0::testing
