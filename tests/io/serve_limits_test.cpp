/// @file
/// A server at its limits: out of descriptors, and with as many connections as a process may have.
///
/// The servers run in child processes, with limits of their own, as programs would: SIGTERM ends them gently.

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/scale.hpp"
#include "support/verify.hpp"

#include <weft/io/serve.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/runtime.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <pthread.h>
#include <span>
#include <stop_token>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::verify;

namespace {

std::size_t open_numbers_of_process() {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{"/proc/self/fd"}) count += e.path().empty() ? 0U : 1U;
  return count;
}

void echo(tcp_stream s) {
  std::array<std::byte, 64> buffer{};
  while (auto const n = s.read_some(buffer)) s.write_all(std::span{buffer}.first(n));
}

/// A socket of a client that waits in the ordinary way.
class blocking_client {
public:
  blocking_client() = default;
  explicit blocking_client(std::uint16_t port) : number_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    verify(number_ >= 0);
    timeval const patience{60, 0};  // so that a server that forgets a client is a failure, not a hang
    ::setsockopt(number_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    verify(::connect(number_, reinterpret_cast<sockaddr const*>(&at), sizeof at) == 0);
  }
  blocking_client(blocking_client&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  blocking_client& operator=(blocking_client&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~blocking_client() {
    if (number_ >= 0) ::close(number_);
  }

  /// Whether a byte comes back; otherwise the server has closed, or reset, the connection.
  [[nodiscard]] bool is_answered() const {
    char byte = 'x';
    if (::send(number_, &byte, 1, MSG_NOSIGNAL) != 1) return false;
    auto const got = ::recv(number_, &byte, 1, 0);
    verify(got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
    return got == 1;
  }
  [[nodiscard]] bool is_closed() const {
    char byte = 0;
    auto const got = ::recv(number_, &byte, 1, 0);
    verify(got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
    return got <= 0;
  }

private:
  int number_ = -1;
};

}  // namespace

namespace {

/// What a server tells at its end.
struct server_report {
  serve_summary summary;
  std::size_t descriptors_before = 0;
  std::size_t descriptors_after = 0;
};

/// A process that serves echoes. The caller must have no other threads.
class server_process {
public:
  server_process(rlim_t descriptors, serve_options options) {
    std::array<int, 2> ends{};
    verify(::pipe2(ends.data(), O_CLOEXEC) == 0);
    child_ = ::fork();
    verify(child_ >= 0);
    if (child_ == 0) {
      ::close(ends[0]);
      for (int const s : {SIGABRT, SIGSEGV, SIGTERM}) ::signal(s, SIG_DFL);  // Catch2 has handlers for these
      ::alarm(110);                                                          // whatever becomes of the parent
      try {
        run(ends[1], descriptors, std::move(options));
      } catch (std::exception const& e) {
        std::fprintf(stderr, "server: %s\n", e.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    reports_ = ends[0];
    port_ = received<std::uint16_t>();
  }
  server_process(server_process const&) = delete;
  ~server_process() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(reports_);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void terminate() const { verify(::kill(child_, SIGTERM) == 0); }
  /// The processor time that it has used so far.
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const {
    clockid_t clock{};
    timespec used{};
    verify(::clock_getcpuclockid(child_, &clock) == 0);
    verify(::clock_gettime(clock, &used) == 0);
    return std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
  }
  [[nodiscard]] server_report report() {
    auto const result = received<server_report>();
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    verify(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return result;
  }

private:
  template <class T>
  T received() const {
    T result{};
    verify(::read(reports_, &result, sizeof result) == static_cast<ssize_t>(sizeof result));
    return result;
  }
  template <class T>
  static void send(int to, T const& what) {
    verify(::write(to, &what, sizeof what) == static_cast<ssize_t>(sizeof what));
  }

  static void run(int report_to, rlim_t descriptors, serve_options options) {
    rlimit const limit{descriptors, descriptors};
    verify(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    sigset_t term;
    ::sigemptyset(&term);
    ::sigaddset(&term, SIGTERM);
    verify(::pthread_sigmask(SIG_BLOCK, &term, nullptr) == 0);
    std::stop_source stop;
    std::thread waits_for_signal{[&] {
      int number = 0;
      ::sigwait(&term, &number);
      stop.request_stop();
    }};
    options.stop = stop.get_token();
    server_report result;
    weft::runtime rt{{.workers = 2, .stack_size = 64U * 1024}};
    rt.run([&] {
      result.descriptors_before = open_numbers_of_process();
      auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
      send(report_to, listener.local_endpoint().port());
      result.summary = serve(listener, echo, options);
      result.descriptors_after = open_numbers_of_process();
    });
    waits_for_signal.join();
    send(report_to, result);
  }

  pid_t child_ = -1;
  int reports_ = -1;
  std::uint16_t port_ = 0;
};

/// Room for `clients` sockets in this process, or less.
std::size_t clients_possible(std::size_t clients) {
  rlimit limit{};
  verify(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, clients + 200);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  verify(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  return std::min<std::size_t>(clients, static_cast<std::size_t>(limit.rlim_cur) - 100);
}

}  // namespace

TEST_CASE("H24: out of descriptors, connections are refused at little cost, others live on, and it recovers",
          "[io][serve][hazard][H24]") {
  server_process server{64, {}};
  std::vector<blocking_client> held;
  for (;;) {
    blocking_client next{server.port()};
    if (!next.is_answered()) break;
    held.push_back(std::move(next));
    REQUIRE(held.size() < 64);
  }
  REQUIRE(held.size() > 20);

  // A storm of those that come and find no room.
  auto const storm = weft::test::scaled(10'000);
  constexpr std::size_t at_once = 100;
  auto const cpu_before = server.cpu_time();
  auto const begin = std::chrono::steady_clock::now();
  for (std::size_t done = 0; done < storm; done += at_once) {
    std::vector<blocking_client> refused;
    for (std::size_t i = 0; i < at_once; ++i) refused.emplace_back(server.port());
    for (auto const& c : refused) CHECK(c.is_closed());
    for (auto const& c : held) CHECK(c.is_answered());
  }
  auto const took = std::chrono::steady_clock::now() - begin;
  auto const used = server.cpu_time() - cpu_before;
  INFO("refused " << storm << " in " << took / 1ms << " ms, with " << used / 1ms << " ms of processor time");
  if (!weft::test::under_sanitizer) CHECK(used * 5 < took);

  // One leaves, one comes in. Of several tries the best counts: the machine may stand still for a second, too.
  auto best = std::chrono::steady_clock::duration::max();
  for (int round = 0; round < 5; ++round) {
    held.erase(held.begin());
    auto const freed = std::chrono::steady_clock::now();
    for (;;) {
      blocking_client next{server.port()};
      if (!next.is_answered()) continue;
      best = std::min(best, std::chrono::steady_clock::now() - freed);
      held.push_back(std::move(next));
      break;
    }
  }
  CHECK(best < 1s);
  for (auto const& c : held) CHECK(c.is_answered());
  held.clear();
  server.terminate();
  auto const end = server.report();
  CHECK(end.summary.drained);
  CHECK(end.summary.refused >= storm);
  CHECK(end.descriptors_after == end.descriptors_before);
}

TEST_CASE("many connections at once are all served, and drained on SIGTERM", "[io][serve]") {
  auto const many = clients_possible(weft::test::full_length ? 10'000 : weft::test::scaled(1'000));
  server_process server{many + 100, {.drain_limit = 100s}};
  std::vector<blocking_client> clients;
  for (std::size_t i = 0; i < many; ++i) clients.emplace_back(server.port());
  for (int round = 0; round < 2; ++round) {
    for (auto const& c : clients) REQUIRE(c.is_answered());
  }
  server.terminate();
  for (auto const& c : clients) REQUIRE(c.is_answered());
  clients.clear();
  auto const end = server.report();
  CHECK(end.summary.served == many);
  CHECK(end.summary.refused == 0);
  CHECK(end.summary.drained);
  CHECK(end.descriptors_after == end.descriptors_before);
}

TEST_CASE("connections that do not end are cut off when the time to drain is over", "[io][serve]") {
  server_process server{200, {.drain_limit = 10ms}};
  std::vector<blocking_client> clients;
  for (int i = 0; i < 50; ++i) {
    clients.emplace_back(server.port());
    REQUIRE(clients.back().is_answered());
  }
  server.terminate();
  for (auto const& c : clients) CHECK(c.is_closed());
  auto const end = server.report();
  CHECK_FALSE(end.summary.drained);
  CHECK(end.descriptors_after == end.descriptors_before);
}
