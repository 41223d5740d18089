#include "listening.hpp"

#include "stream_socket.hpp"

#include <cerrno>
#include <chrono>
#include <new>
#include <utility>
#include <vector>

namespace weft::inline v0::testing {

namespace {

constexpr unsigned most_tries = 6;  // tcp_syn_retries

/// One of those that listen there, as the seed says, or null.
stream_socket* listener_at(wire& by, bound_names& names, protocol p, socket_name const& to) {
  auto found = names.at(p, to);
  std::erase_if(found, [](auto* file) { return static_cast<stream_socket*>(file)->queue() == nullptr; });
  if (found.empty()) return nullptr;
  auto const chosen = found.size() == 1 ? 0 : by.random.up_to(found.size() - 1);
  return static_cast<stream_socket*>(found[chosen]);
}

/// A connection in the queue of `at`.
void connect_to(wire& by, stream_end::kind kind, stream_socket& at, std::shared_ptr<stream_end> const& client) {
  auto const server = std::make_shared<stream_end>(by, kind);
  server->own = client->peer_name;
  server->peer_name = client->own;
  at.queue()->add(server);
  server->established();
  stream_end::join(client, server);
  at.report(readiness::readable);
}

/// A step of an attempt to connect, when no call is there to tell: without memory the attempt has failed.
template <class F>
void take_step(std::shared_ptr<stream_end> const& client, F const& step) noexcept {
  if (client->closed()) return;
  try {
    step();
  } catch (std::bad_alloc const&) {
    client->failed(ENOMEM);
    client->reset_peer();
  }
}

}  // namespace

listening::~listening() {
  for (auto const& end : waiting_) end->close(true);
}

void ask_for_connection(wire& by, bound_names& names, std::shared_ptr<stream_end> const& client, unsigned tries) {
  auto const again = [&by, &names, client, tries] {
    take_step(client, [&] {
      tries < most_tries ? ask_for_connection(by, names, client, tries + 1) : client->failed(ETIMEDOUT);
    });
  };
  auto const arrives = [&by, &names, client, tries, again] {
    take_step(client, [&] {
      auto* const at = listener_at(by, names, protocol::tcp, client->peer_name);
      if (at == nullptr || by.random.chance(by.options.refused)) {
        client->send_here([client] { client->failed(ECONNREFUSED); });
      } else if (!at->queue()->full()) {
        connect_to(by, stream_end::kind::tcp, *at, client);
        client->send_here([client] { client->established(); });
      } else {
        by.send(weft::detail::add(wire::now(), std::chrono::seconds{1U << tries}), again);
      }
    });
  };
  by.send(weft::detail::add(wire::now(), by.latency()), arrives);
}

int connect_locally(wire& by, bound_names& names, std::shared_ptr<stream_end> const& client) {
  if (names.at(protocol::unix_stream, client->peer_name).empty()) {
    return client->peer_name.path.empty() || client->peer_name.path[0] == '\0' ? -ECONNREFUSED : -ENOENT;
  }
  auto* const at = listener_at(by, names, protocol::unix_stream, client->peer_name);
  if (at == nullptr || by.random.chance(by.options.refused)) return -ECONNREFUSED;
  if (at->queue()->full()) return -EAGAIN;
  connect_to(by, stream_end::kind::local, *at, client);
  client->established();
  return 0;
}

}  // namespace weft::inline v0::testing
