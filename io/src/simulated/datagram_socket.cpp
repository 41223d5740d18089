#include "datagram_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <utility>

namespace weft::inline v0::testing {

namespace {

constexpr std::size_t each_takes = 256;  // beside its bytes, so that empty ones, too, fill the buffer

io::ip_address address_from(void const* bytes, bool v6) noexcept {
  io::ip_address::v6_bytes raw{};
  std::memcpy(raw.data(), bytes, v6 ? 16 : 4);
  return v6 ? io::ip_address{raw} : io::ip_address{io::ip_address::v4_bytes{raw[0], raw[1], raw[2], raw[3]}};
}

}  // namespace

datagram_socket::datagram_socket(wire& by, bound_names& names, int family) : wire_(by), names_(names), family_(family) {
  own_.family = family;
  if (family == AF_INET6) own_.at = {io::ip_address::any_v6(), 0};
}

void datagram_socket::join(std::shared_ptr<datagram_socket> const& a,
                           std::shared_ptr<datagram_socket> const& b) noexcept {
  a->pair_ = b;
  b->pair_ = a;
  a->is_pair_ = b->is_pair_ = true;
}

bool datagram_socket::is_unix() const noexcept { return family_ == AF_UNIX; }

int datagram_socket::bind(socket_name const& to) {
  if (to.family != family_) return is_unix() ? -EINVAL : -EAFNOSUPPORT;
  if (is_unix() ? !own_.path.empty() || to.path.empty() : own_.at.port() != 0) return -EINVAL;
  auto name = to;
  sharing const how{.port = number_set(SOL_SOCKET, SO_REUSEPORT, 0) != 0,
                    .address = number_set(SOL_SOCKET, SO_REUSEADDR, 0) != 0,
                    .only_v6 = number_set(IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0};
  int const result = names_.bind(which(), name, how, *this);
  if (result == 0) own_ = name;
  return result;
}

int datagram_socket::bind_to_any() {
  if (is_unix() || own_.at.port() != 0) return 0;
  return bind(socket_name{own_});
}

int datagram_socket::connect(socket_name const& to) {
  if (to.family == AF_UNSPEC) {
    peer_ = {};
    return 0;
  }
  if (to.family != family_) return is_unix() ? -EINVAL : -EAFNOSUPPORT;
  if (!reaches(to)) return -ENETUNREACH;
  if (is_unix() && names_.at(which(), to).empty()) return -ENOENT;
  if (int const bound = bind_to_any(); bound != 0) return bound;
  peer_ = to;
  return 0;
}

/// IPv4 may be reached from IPv6, where that is not switched off, and from an address of its own.
bool datagram_socket::reaches(socket_name const& to) noexcept {
  if (family_ != AF_INET6 || !is_mapped(to.at)) return true;
  if (number_set(IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0) return false;
  return own_.at.address() == io::ip_address::any_v6() || is_mapped(own_.at);
}

int datagram_socket::shutdown(int how) {
  if (peer_.family == 0 && !is_pair_) return -ENOTCONN;
  if (how != SHUT_WR) receives_no_more_ = true;
  if (how != SHUT_RD) sends_no_more_ = true;
  report_both();
  return 0;
}

int datagram_socket::name(socket_name& own) {
  own = own_;
  // As on loopback: who is connected has the address that it sends to.
  bool const any = own_.at.address() == io::ip_address::any_v4() || own_.at.address() == io::ip_address::any_v6();
  if (!is_unix() && any && peer_.family != 0) own.at = {peer_.at.address(), own_.at.port()};
  return 0;
}

int datagram_socket::peer_name(socket_name& peer) {
  if (peer_.family == 0 && !is_pair_) return -ENOTCONN;
  peer = peer_;
  peer.family = family_;
  return 0;
}

int datagram_socket::set_option(int level, int option, std::span<std::byte const> value) {
  bool const v4 = level == IPPROTO_IP && (option == IP_ADD_MEMBERSHIP || option == IP_DROP_MEMBERSHIP);
  bool const v6 = level == IPPROTO_IPV6 && (option == IPV6_JOIN_GROUP || option == IPV6_LEAVE_GROUP);
  if (!v4 && !v6) return simulated_file::set_option(level, option, value);
  if (value.size() < (v6 ? sizeof(ipv6_mreq) : sizeof(ip_mreq))) return -EINVAL;
  auto const group = address_from(value.data(), v6);  // it comes first in both
  if (!group.is_multicast()) return -EINVAL;
  if (v4 ? option == IP_ADD_MEMBERSHIP : option == IPV6_JOIN_GROUP) {
    return groups_.insert(group).second ? 0 : -EADDRINUSE;
  }
  return groups_.erase(group) != 0 ? 0 : -EADDRNOTAVAIL;
}

int datagram_socket::option(int level, int option, std::vector<std::byte>& value) {
  auto const number = [&value](int n) {
    value.resize(sizeof n);
    std::memcpy(value.data(), &n, sizeof n);
    return 0;
  };
  if (level == SOL_SOCKET) {
    switch (option) {
      case SO_ERROR: return number(std::exchange(error_, 0));
      case SO_TYPE: return number(SOCK_DGRAM);
      case SO_DOMAIN: return number(family_);
      default: break;
    }
  }
  return simulated_file::option(level, option, value);
}

ssize_t datagram_socket::receive(pieces to, int flags, received& about) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (inbox_.empty()) return receives_no_more_ ? 0 : -EAGAIN;
  auto const first = inbox_.front();
  auto const fits = to.fill(first->bytes.data(), first->bytes.size());
  about.from = first->from;
  about.truncated = fits < first->bytes.size();
  if ((flags & MSG_PEEK) == 0) {
    size_ -= first->bytes.size() + each_takes;
    inbox_.pop_front();
    if (auto const other = pair_.lock()) other->report(readiness::writable);
  }
  return static_cast<ssize_t>((flags & MSG_TRUNC) != 0 ? first->bytes.size() : fits);
}

bool datagram_socket::has_room_for(std::size_t size) const noexcept {
  return size_ + size + each_takes <= wire_.options.datagram_buffer || inbox_.empty();
}

ssize_t datagram_socket::send(pieces from, socket_name const* to, int) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (sends_no_more_) return -EPIPE;
  auto const size = from.size();
  if (size > wire_.options.datagram_size) return -EMSGSIZE;
  auto const what = std::make_shared<datagram>();
  what->bytes.reserve(size);
  from.take(size, what->bytes);
  if (is_unix()) return send_locally(what, to);
  if (to == nullptr && peer_.family == 0) return -EDESTADDRREQ;
  socket_name target = to != nullptr ? *to : peer_;
  if (target.family != family_) return -EAFNOSUPPORT;
  if (target.at.port() == 0) return -EINVAL;
  if (!reaches(target)) return -ENETUNREACH;
  if (target.at.address() == io::ip_address::any_v4()) target.at = {io::ip_address::loopback_v4(), target.at.port()};
  if (target.at.address() == io::ip_address::any_v6()) target.at = {io::ip_address::loopback_v6(), target.at.port()};
  if (int const bound = bind_to_any(); bound != 0) return bound;
  bool const any = own_.at.address() == io::ip_address::any_v4() || own_.at.address() == io::ip_address::any_v6();
  what->from = own_;
  if (any && !target.at.address().is_multicast()) what->from.at = {target.at.address(), own_.at.port()};
  if (any && target.at.address().is_multicast()) {
    auto const here = family_ == AF_INET ? io::ip_address::loopback_v4() : io::ip_address::loopback_v6();
    what->from.at = {here, own_.at.port()};
  }
  what->from.at = unmapped(what->from.at);
  auto const& how = wire_.options;
  if (!wire_.random.chance(how.loss)) send_off(what, target);
  if (wire_.random.chance(how.duplicate)) send_off(what, target);
  return static_cast<ssize_t>(size);
}

void datagram_socket::send_off(shared_datagram what, socket_name const& to) {
  auto at = weft::detail::add(wire::now(), wire_.latency());
  if (wire_.random.chance(wire_.options.reorder)) {
    at = weft::detail::add(at, wire_.random.between({}, wire_.options.max_latency * 9));
  } else {
    at = last_sent_ = std::max(at, last_sent_);
  }
  wire_.send(at, [self = shared_from_this(), what = std::move(what), to] { self->deliver(what, to); });
}

void datagram_socket::deliver(shared_datagram const& what, socket_name const& to) {
  if (to.at.address().is_multicast()) {
    bool const v4 = family_ == AF_INET;
    if (number_set(v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP, 1) == 0) return;
    for (auto* const file : names_.at_port(protocol::udp, to.at.port())) {
      auto* const member = static_cast<datagram_socket*>(file);
      if (member->groups_.count(to.at.address()) != 0) member->arrive(what);
    }
    return;
  }
  auto found = names_.at(protocol::udp, to);
  // One that is connected takes what its peer sends, and nothing else.
  std::erase_if(found, [&](auto* f) { return !static_cast<datagram_socket*>(f)->takes_from(what->from); });
  if (!found.empty()) {
    auto const chosen = found.size() == 1 ? 0 : wire_.random.up_to(found.size() - 1);
    return static_cast<datagram_socket*>(found[chosen])->arrive(what);
  }
  if (peer_ != to || closed_) return;  // only who is connected learns that nobody is there
  error_ = ECONNREFUSED;
  report_both();
}

bool datagram_socket::takes_from(socket_name const& sender) const noexcept {
  return peer_.family == 0 || unmapped(peer_.at) == sender.at;
}

void datagram_socket::arrive(shared_datagram what) {
  if (closed_ || receives_no_more_ || !takes_from(what->from) || !has_room_for(what->bytes.size())) return;
  if (family_ == AF_INET6 && what->from.at.address().is_v4()) {
    auto copy = std::make_shared<datagram>(*what);
    copy->from.at = as_v6(copy->from.at);
    what = std::move(copy);
  }
  size_ += what->bytes.size() + each_takes;
  inbox_.push_back(std::move(what));
  report(readiness::readable);
}

/// None is lost; a receiver whose buffer is full makes the sender wait.
ssize_t datagram_socket::send_locally(shared_datagram what, socket_name const* to) {
  auto target = pair_.lock();
  auto const size = what->bytes.size();
  if (is_pair_ && target == nullptr) return -ECONNREFUSED;
  if (target == nullptr) {
    if (to == nullptr && peer_.family == 0) return -ENOTCONN;
    auto const found = names_.at(which(), to != nullptr ? *to : peer_);
    if (found.empty()) return to != nullptr ? -ENOENT : -ECONNREFUSED;
    target = static_cast<datagram_socket*>(found.front())->shared_from_this();
  }
  if (!target->has_room_for(size)) return -EAGAIN;
  auto sent = std::make_shared<datagram>(*what);
  sent->from = own_;
  target->arrive(std::move(sent));
  return static_cast<ssize_t>(size);
}

bool datagram_socket::ready(readiness what) const noexcept {
  if (error_ != 0) return true;
  if (what == readiness::readable) return !inbox_.empty() || receives_no_more_;
  auto const other = pair_.lock();
  return other == nullptr || other->has_room_for(0);
}

void datagram_socket::close() noexcept {
  closed_ = true;
  names_.release(*this);
  inbox_.clear();
  if (auto const other = pair_.lock()) other->report_both();
}

}  // namespace weft::inline v0::testing
