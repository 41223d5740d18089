/// @file
/// Connecting to a host by its name: which address is tried when, and what becomes of the others. In virtual time, in a
/// made-up network.

#include <weft/io/tcp_stream.hpp>

#include "support/catch.hpp"
#include "support/fake_names.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <span>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;

namespace {

constexpr auto silent = std::chrono::nanoseconds::max();

/// How a host of the made-up network answers who connects.
struct answer_of_host {
  std::chrono::nanoseconds after;
  int error;
};

/// Knows hosts by the last byte of their address.
class stub_network final : public calls_with_names {
public:
  stub_network(std::vector<endpoint> found, std::map<int, answer_of_host> answers)
      : calls_with_names(std::make_shared<fake_names>(false)), answers_(std::move(answers)) {
    auto const names = std::static_pointer_cast<fake_names>(this->names());
    names->answer = [found](auto&, std::vector<endpoint>& to) {
      to = found;
      return found.empty() ? make_error_code(name_error::no_such_name) : std::error_code{};
    };
  }

  [[nodiscard]] weft::detail::descriptor_kind kind() const noexcept override {
    return weft::detail::descriptor_kind::simulated;
  }
  int socket(int, int, int) noexcept override {
    std::lock_guard const lock{mutex_};
    return sockets_left-- > 0 ? next_++ : -EMFILE;
  }
  void watched(weft::detail::polled_descriptor& of) noexcept override {
    std::lock_guard const lock{mutex_};
    open_[of.number()].polled = &of;
  }
  int connect(int fd, sockaddr const* to, unsigned) noexcept override {
    std::lock_guard const lock{mutex_};
    auto& socket = open_[fd];
    socket.host = last_byte(to);
    note("try", socket.host);
    auto const answer = answers_.at(socket.host);
    if (answer.after == 0ns) return -answer.error;
    if (answer.after == silent) return -EINPROGRESS;
    under_way_.push_back(weft::spawn([this, fd, answer] {
      weft::sleep_for(answer.after);
      std::lock_guard const answering{mutex_};
      auto const at = open_.find(fd);
      if (at == open_.end()) return;
      at->second.error = answer.error;
      at->second.polled->became_ready(weft::detail::readiness::writable);
    }));
    return -EINPROGRESS;
  }
  int getsockopt(int fd, int, int, void* value, unsigned*) noexcept override {
    std::lock_guard const lock{mutex_};
    std::memcpy(value, &open_[fd].error, sizeof(int));
    return 0;
  }
  int close(int fd) noexcept override {
    std::lock_guard const lock{mutex_};
    note("close", open_[fd].host);
    open_.erase(fd);
    return 0;
  }

  /// Connects in virtual time.  @returns to which host; 0: none
  int connect(connect_options const& options = {}) {
    int host = 0;
    run_with(weft::testing::in_virtual_time(), [&] {
      began_ = weft::testing::now();
      auto const connected = tcp_stream::connect("some.name", 80, options, error);
      std::unique_lock lock{mutex_};
      if (connected.is_open()) host = open_.at(connected.native_handle()).host;
      CHECK(connected.is_open() == !error);
      took = weft::testing::now() - began_;
      CHECK(open_.size() == (connected.is_open() ? 1U : 0U));
      log_ends_ = log.size();
      auto under_way = std::exchange(under_way_, {});
      lock.unlock();
      under_way.clear();
    });
    log.resize(log_ends_);  // less the end of the connection itself
    CHECK(open_.empty());
    return host;
  }

  std::size_t logged() {
    std::lock_guard const lock{mutex_};
    return log.size();
  }

  /// As "host 1 tried at 250 ms": try 1 @250
  std::vector<std::string> log;
  std::error_code error;
  std::chrono::nanoseconds took{};
  int sockets_left = 1000;

private:
  struct made_up_socket {
    weft::detail::polled_descriptor* polled = nullptr;
    int host = 0;
    int error = 0;
  };

  static int last_byte(sockaddr const* to) noexcept {
    auto const* const bytes = reinterpret_cast<unsigned char const*>(to);
    return to->sa_family == AF_INET ? bytes[offsetof(sockaddr_in, sin_addr) + 3]
                                    : bytes[offsetof(sockaddr_in6, sin6_addr) + 15];
  }
  void note(std::string const& what, int host) {
    auto const at = std::chrono::duration_cast<std::chrono::milliseconds>(weft::testing::now() - began_);
    log.push_back(what + " " + std::to_string(host) + " @" + std::to_string(at.count()));
  }

  std::mutex mutex_;  // a fiber's switch alone orders nothing for ThreadSanitizer
  std::map<int, answer_of_host> answers_;
  std::map<int, made_up_socket> open_;
  std::vector<weft::task<void>> under_way_;
  weft::time_point began_{};
  std::size_t log_ends_ = 0;
  int next_ = 1'000'000;
};

endpoint v4(int host) { return {"192.0.2." + std::to_string(host), 0}; }
endpoint v6(int host) { return {"2001:db8::" + std::to_string(host), 0}; }

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the first address answers: no other is tried", "[io][happy_eyeballs]") {
  stub_network network{{v6(1), v4(2)}, {{1, {249ms, 0}}, {2, {1ms, 0}}}};
  CHECK(network.connect() == 1);
  CHECK(network.log == lines{"try 1 @0"});
  CHECK(network.took == 249ms);
}

TEST_CASE("a silent address: the next is tried beside it after a quarter of a second, and the loser is closed",
          "[io][happy_eyeballs]") {
  stub_network network{{v6(1), v4(2), v4(3)}, {{1, {silent, 0}}, {2, {10ms, 0}}, {3, {1ms, 0}}}};
  CHECK(network.connect() == 2);
  CHECK(network.log == lines{"try 1 @0", "try 2 @250", "close 1 @260"});
  stub_network late{{v6(1), v4(2), v4(3)}, {{1, {600ms, 0}}, {2, {silent, 0}}, {3, {silent, 0}}}};
  CHECK(late.connect() == 1);
  CHECK(late.took == 600ms);
  std::sort(late.log.begin() + 3, late.log.end());
  CHECK(late.log == lines{"try 1 @0", "try 2 @250", "try 3 @500", "close 2 @600", "close 3 @600"});
}

TEST_CASE("an address that fails: the next is tried at once", "[io][happy_eyeballs]") {
  stub_network network{{v6(1), v4(2), v6(3)}, {{1, {10ms, ECONNREFUSED}}, {2, {0ns, ENETUNREACH}}, {3, {20ms, 0}}}};
  CHECK(network.connect() == 2 + 1);
  CHECK(network.took == 30ms);
}

TEST_CASE("IPv6 and IPv4 are tried in turn, beginning with what resolve() put first", "[io][happy_eyeballs]") {
  std::map<int, answer_of_host> const silence{
      {1, {silent, 0}}, {2, {silent, 0}}, {3, {silent, 0}}, {4, {silent, 0}}, {5, {silent, 0}}};
  auto const order = [&](std::vector<endpoint> const& found) {
    stub_network network{found, silence};
    CHECK(network.connect({.stagger = 1ms, .timeout = 1s}) == 0);
    CHECK(network.error == std::errc::timed_out);
    CHECK(network.took == 1s);
    network.log.resize(found.size());
    return network.log;
  };
  CHECK(order({v6(1), v6(2), v6(3), v4(4), v4(5)}) ==
        lines{"try 1 @0", "try 4 @1", "try 2 @2", "try 5 @3", "try 3 @4"});
  CHECK(order({v4(1), v6(2), v4(3)}) == lines{"try 1 @0", "try 2 @1", "try 3 @2"});
  CHECK(order({v4(1), v4(2)}) == lines{"try 1 @0", "try 2 @1"});
}

TEST_CASE("all addresses fail: the error is the first one's, the text has them all", "[io][happy_eyeballs]") {
  using Catch::Matchers::Contains;
  stub_network network{{v6(1), v4(2)}, {{1, {300ms, ECONNREFUSED}}, {2, {10ms, EHOSTUNREACH}}}};
  CHECK(network.connect() == 0);
  CHECK(network.error == std::errc::connection_refused);
  CHECK(network.took == 300ms);
  run_with(weft::testing::in_virtual_time(), [] {
    CHECK_THROWS_WITH(tcp_stream::connect("some.name", 80), Contains("`some.name`") &&
                                                                Contains("192.0.2.2:80: No route to host, ") &&
                                                                Contains("[2001:db8::1]:80: Connection refused)"));
  });
}

TEST_CASE("two answer in the same moment: one is taken, the other closed", "[io][happy_eyeballs]") {
  stub_network network{{v6(1), v4(2)}, {{1, {260ms, 0}}, {2, {10ms, 0}}}};
  int const host = network.connect();
  CHECK((host == 1 || host == 2));
  REQUIRE(network.log.size() == 3);
  CHECK(network.log[2] == "close " + std::to_string(3 - host) + " @260");
}

TEST_CASE("no name, no socket, no time", "[io][happy_eyeballs]") {
  stub_network nobody{{}, {}};
  CHECK(nobody.connect() == 0);
  CHECK(nobody.error == name_error::no_such_name);
  stub_network network{{v6(1), v4(2)}, {{1, {0ns, 0}}, {2, {0ns, 0}}}};
  network.sockets_left = 0;
  CHECK(network.connect() == 0);
  CHECK(network.error == std::errc::too_many_files_open);
  network.sockets_left = 9;
  CHECK(network.connect({.timeout = 0ns}) == 0);
  CHECK(network.error == std::errc::timed_out);
  CHECK(network.connect({.stagger = 0ns}) == 1);
  std::error_code ec;
  run_with(weft::testing::in_virtual_time(), [&] {
    CHECK_FALSE(tcp_stream::connect("", 80, {}, ec).is_open());
    CHECK(ec == std::errc::invalid_argument);
    CHECK_FALSE(tcp_stream::connect("some.name", 65536, {}, ec).is_open());
    CHECK(ec == std::errc::invalid_argument);
  });
}

TEST_CASE("who is cancelled while several are tried leaves none open", "[io][happy_eyeballs]") {
  stub_network network{{v6(1), v4(2)}, {{1, {silent, 0}}, {2, {silent, 0}}}};
  run_with(weft::testing::in_virtual_time(), [&] {
    auto connecting = weft::spawn([] { (void)tcp_stream::connect("some.name", 80); });
    weft::sleep_for(1s);
    CHECK(network.logged() == 2);
    connecting.cancel();
    CHECK_THROWS_AS(connecting.get(), weft::cancelled);
    CHECK(network.logged() == 4);
  });
}

TEST_CASE("a name with one address that works, and one where nobody listens, on loopback", "[io][happy_eyeballs]") {
  auto const names = std::make_shared<fake_names>();
  names->answer = [](auto&, std::vector<endpoint>& found) {
    found = {{"127.0.0.2", 0}, {"127.0.0.1", 0}};
    return std::error_code{};
  };
  calls_with_names const calls{names};
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
    for (int i = 0; i < 20; ++i) {
      auto here = tcp_stream::connect("some.name", listener.local_endpoint().port());
      auto there = listener.accept();
      here.write_all("x");
      std::byte one{};
      there.read_exactly(std::span{&one, 1});
      verify(one == std::byte{'x'});
      verify(here.remote_endpoint().address() == ip_address::loopback_v4());
    }
  });
}
