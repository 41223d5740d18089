#include "names.hpp"

#include "address.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

namespace weft::inline v0::testing {

namespace {

constexpr std::uint16_t first_port = 32'768;
constexpr std::uint16_t last_port = 60'999;

bool any_address(io::endpoint const& at) noexcept {
  auto const& bytes = at.address().bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; });
}

/// Whether what is sent to `to` is for who is bound to `e`, whatever else there is.
bool covers(bound_names::entry const& e, socket_name const& to) noexcept {
  if (to.family == AF_UNIX) return e.name.path == to.path;
  if (e.name.at.address() == to.at.address()) return true;
  if (!any_address(e.name.at)) return false;
  return e.name.family == to.family || (e.name.family == AF_INET6 && !e.how.only_v6);
}

/// An IPv4 address by which an IPv6 socket names it is that address.
socket_name normal(socket_name name) {
  if (name.family == AF_INET6 && is_mapped(name.at)) name = {AF_INET, unmapped(name.at), {}};
  return name;
}

}  // namespace

void bound_names::clear() noexcept {
  bound_.clear();
  last_port_ = 0;
}

std::uint16_t bound_names::free_port(protocol p) noexcept {
  for (int tries = 0; tries <= last_port - first_port; ++tries) {
    last_port_ = last_port_ < first_port || last_port_ == last_port ? first_port
                                                                    : static_cast<std::uint16_t>(last_port_ + 1);
    if (bound_.find({p, last_port_}) == bound_.end()) return last_port_;
  }
  return 0;
}

bool bound_names::taken(protocol p, socket_name const& given, sharing how) const {
  auto const name = normal(given);
  entry const self{name, how, nullptr};
  auto const [begin, end] = bound_.equal_range({p, name.at.port()});
  return std::any_of(begin, end, [&](auto const& other) {
    entry const& e = other.second;
    if (!covers(e, name) && !covers(self, e.name)) return false;
    return !(e.how.port && how.port) && !(e.how.address && how.address);
  });
}

int bound_names::bind(protocol p, socket_name& name, sharing how, simulated_file& file) {
  if (name.family != AF_UNIX && name.at.port() == 0) {
    auto const port = free_port(p);
    if (port == 0) return -EADDRINUSE;
    name.at = {name.at.address(), port};
  } else if (taken(p, name, how)) {
    return -EADDRINUSE;
  }
  bound_.insert({{p, name.at.port()}, {normal(name), how, &file}});
  return 0;
}

void bound_names::release(simulated_file const& file) noexcept {
  std::erase_if(bound_, [&](auto const& e) { return e.second.file == &file; });
}

std::vector<simulated_file*> bound_names::at(protocol p, socket_name const& given) const {
  auto const to = normal(given);
  std::vector<simulated_file*> exact;
  std::vector<simulated_file*> any;
  auto const [begin, end] = bound_.equal_range({p, to.at.port()});
  for (auto e = begin; e != end; ++e) {
    if (!covers(e->second, to)) continue;
    bool const same = to.family == AF_UNIX || e->second.name.at.address() == to.at.address();
    (same ? exact : any).push_back(e->second.file);
  }
  return exact.empty() ? any : exact;
}

std::vector<simulated_file*> bound_names::at_port(protocol p, std::uint16_t port) const {
  std::vector<simulated_file*> all;
  auto const [begin, end] = bound_.equal_range({p, port});
  for (auto e = begin; e != end; ++e) all.push_back(e->second.file);
  return all;
}

}  // namespace weft::inline v0::testing
