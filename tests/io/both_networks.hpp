#pragma once
/// @file
/// One program on the kernel's loopback and on the simulated network, where it has to find the same.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"

#include <weft/io/detail/open_descriptor.hpp>
#include <weft/io/testing/simulated_network.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace weft::test {

/// On real sockets, and in simulations with each of several seeds. One worker: assertions may be made in `f`.
template <class F>
void on_both_networks(F const& f) {
  SECTION("the kernel's") { run_with(testing::fifo(), f); }
  SECTION("simulated") {
    for (std::uint64_t seed = 0; seed < scaled(64); ++seed) {
      INFO("seed " << seed);
      testing::simulation sim{seed};
      testing::network_options options;
      options.partial = seed % 2 == 0 ? 0 : 0.3;
      options.interrupted = seed % 4 < 2 ? 0 : 0.1;
      testing::simulated_network net{sim, options};
      sim.run([&] {
        f();
        testing::expect_no_leaks();
      });
      CHECK(net.open_descriptors() == 0);
    }
  }
}

/// A socket for what the public classes do not show: the calls as they are. Waits where they would fail with EAGAIN.
class plain_socket {
public:
  plain_socket() = default;
  plain_socket(int domain, int type) : plain_socket(weft::detail::current_calls().socket(domain, type, 0)) {}
  explicit plain_socket(int number) {
    REQUIRE(number >= 0);
    descriptor_ = weft::detail::open_descriptor{number, weft::detail::current_calls()};
  }

  [[nodiscard]] int number() const noexcept { return descriptor_.number(); }
  [[nodiscard]] weft::detail::system_calls& calls() const noexcept { return descriptor_.calls(); }
  weft::detail::open_descriptor& descriptor() noexcept { return descriptor_; }
  void close() noexcept { descriptor_.close(); }

  /// 0, or the error.
  int receive(std::string& text, std::size_t most = 1000, int flags = 0) {
    text.assign(most, '?');
    return number_of(weft::detail::readiness::readable, text,
                     [&](auto& calls, int fd) { return calls.recv(fd, text.data(), text.size(), flags); });
  }
  int read(std::string& text, std::size_t most = 1000) {
    text.assign(most, '?');
    return number_of(weft::detail::readiness::readable, text,
                     [&](auto& calls, int fd) { return calls.read(fd, text.data(), text.size()); });
  }
  int send(std::string const& text) {
    std::string copy = text;
    return number_of(weft::detail::readiness::writable, copy,
                     [&](auto& calls, int fd) { return calls.send(fd, text.data(), text.size(), 0); });
  }
  int write(std::string const& text) {
    std::string copy = text;
    return number_of(weft::detail::readiness::writable, copy,
                     [&](auto& calls, int fd) { return calls.write(fd, text.data(), text.size()); });
  }

private:
  template <class Call>
  int number_of(weft::detail::readiness what, std::string& text, Call call) {
    std::error_code ec;
    auto const done = descriptor_.perform(what, 0, ec, call);
    text.resize(done < 0 ? 0 : static_cast<std::size_t>(done));
    return ec.value();
  }

  weft::detail::open_descriptor descriptor_;
};

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

inline sockaddr const* address_of(sockaddr_in const& at) { return reinterpret_cast<sockaddr const*>(&at); }
inline sockaddr* address_of(sockaddr_in& at) { return reinterpret_cast<sockaddr*>(&at); }

/// A name of a Unix socket that no file has, and nobody else.
struct abstract_name {
  abstract_name() {
    static int count = 0;
    auto const text = "weft-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path + 1, text.data(), text.size());
    size = static_cast<unsigned>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  }
  [[nodiscard]] sockaddr const* data() const { return reinterpret_cast<sockaddr const*>(&at); }
  sockaddr_un at{};
  unsigned size = 0;
};

}  // namespace weft::test
