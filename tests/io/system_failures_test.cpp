/// @file
/// System calls that fail, at each place where they can, each with each error of a list: those of TCP, and those of
/// servers. And servers whose calls fail at random. For other kinds of descriptors see the other ..._failures_test.cpp.

#include "io/failing_calls.hpp"
#include "io/failing_streams.hpp"
#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/serve.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stop_token>
#include <system_error>
#include <vector>

namespace {

using namespace weft::io;
using namespace weft::test;
using weft::testing::io_faults;

constexpr std::array errors{
    std::errc::interrupted,         std::errc::connection_reset,    std::errc::connection_aborted,
    std::errc::broken_pipe,         std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
    std::errc::not_enough_memory,   std::errc::no_buffer_space,     std::errc::operation_not_permitted,
    std::errc::network_unreachable, std::errc::invalid_argument,    std::errc::io_error,
    std::errc::timed_out,           std::errc::permission_denied,   std::errc::resource_unavailable_try_again,
};

tcp_listener listen() { return tcp_listener::bind(anywhere()); }

struct tcp_connection {
  tcp_connection()
      : listener(listen()), here(tcp_stream::connect(listener.local_endpoint())), there(listener.accept()) {
    there.write_all(two_lines);
  }
  stream& in() { return here; }
  stream& out() { return here; }
  tcp_listener listener;
  tcp_stream here;
  tcp_stream there;
};

std::vector<entry_point> of_tcp() {
  using c = tcp_connection;
  using code = std::error_code;
  auto table = of_streams<tcp_connection>();
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };
  auto const use = [](tcp_listener const& listener) { verify(listener.local_endpoint().port() != 0); };

  add("tcp_listener::bind", [use](stage& s) {
    listen_options const all{.reuse_port = true};
    s.inject([&] { (void)tcp_listener::bind(anywhere(), all); });
    use(tcp_listener::bind(anywhere(), all));
  });
  add("tcp_listener::bind, ec", [use](stage& s) {
    s.inject_ec([&](code& ec) {
      auto const made = tcp_listener::bind(anywhere(), {}, ec);
      verify(made.is_open() == !ec);
    });
    use(listen());
  });
  add("tcp_listener::local_endpoint", [use](stage& s) {
    auto const listener = listen();
    s.inject([&] { (void)listener.local_endpoint(); });
    use(listener);
  });
  add("tcp_listener::accept", [](stage& s) {
    auto listener = listen();
    auto const one = tcp_stream::connect(listener.local_endpoint());
    auto const two = tcp_stream::connect(listener.local_endpoint());
    s.inject([&] { (void)listener.accept(); });
    endpoint from;
    verify(listener.accept(&from).is_open());
    verify(from.port() != 0);
  });
  add("tcp_listener::accept, ec", [](stage& s) {
    auto listener = listen();
    auto const one = tcp_stream::connect(listener.local_endpoint());
    auto const two = tcp_stream::connect(listener.local_endpoint());
    s.inject_ec([&](code& ec) {
      auto const accepted = listener.accept(ec);
      verify(accepted.is_open() == !ec);
    });
    verify(listener.accept().is_open());
  });
  add("tcp_stream::connect", [](stage& s) {
    auto listener = listen();
    s.inject([&] { (void)tcp_stream::connect(listener.local_endpoint()); });
    auto again = tcp_stream::connect(listener.local_endpoint());
    again.write_all("x");
  });
  add("tcp_stream::connect, ec", [](stage& s) {
    auto listener = listen();
    auto const at = listener.local_endpoint();
    s.inject_ec([&](code& ec) {
      auto const made = tcp_stream::connect(at, ec);
      verify(made.is_open() == !ec);
    });
    verify(tcp_stream::connect(at).is_open());
  });
  add("tcp_stream::shutdown", twice_on<c>([](c& of) { of.here.shutdown(direction::send); }));
  add("tcp_stream::shutdown, ec", twice_on_ec<c>([](c& of, code& ec) { of.here.shutdown(direction::both, ec); }));
  add("tcp_stream::nodelay", twice_on<c>([](c& of) {
        of.here.nodelay(true);
        verify(of.here.nodelay());
      }));
  add("tcp_stream::nodelay, ec", twice_on_ec<c>([](c& of, code& ec) { of.here.nodelay(true, ec); }));
  add("tcp_stream::keepalive", twice_on<c>([](c& of) { of.here.keepalive({}); }));
  add("tcp_stream::keepalive, ec", twice_on_ec<c>([](c& of, code& ec) { of.here.keepalive({}, ec); }));
  add("tcp_stream::local_endpoint", twice_on<c>([](c& of) { (void)of.here.local_endpoint(); }));
  add("tcp_stream::local_endpoint, ec", twice_on_ec<c>([](c& of, code& ec) { (void)of.here.local_endpoint(ec); }));
  add("tcp_stream::remote_endpoint", twice_on<c>([](c& of) { (void)of.here.remote_endpoint(); }));
  add("tcp_stream::remote_endpoint, ec", twice_on_ec<c>([](c& of, code& ec) { (void)of.here.remote_endpoint(ec); }));
  return table;
}

constexpr auto echo = [](auto s) {
  std::array<std::byte, 64> buffer{};
  while (auto const n = s.read_some(buffer)) s.write_all(std::span{buffer}.first(n));
};

struct over_tcp {
  static tcp_listener listener() { return listen(); }
  static tcp_stream connect(endpoint const& at) { return tcp_stream::connect(at); }
};
struct over_unix {
  static unix_listener listener() { return unix_listener::bind(some_name()); }
  static unix_stream connect(unix_endpoint const& at) { return unix_stream::connect(at); }
};

template <class Over, class Endpoint>
void ask(Endpoint const& at) {
  auto s = Over::connect(at);
  s.write_all("abcd");
  std::array<std::byte, 4> buffer{};
  s.read_exactly(buffer);
}

/// A server and its client, with the `nth` call of both failing: then the next client is served, unless the server has
/// ended for that failure.  @returns how many calls have failed
template <class Over>
std::uint64_t session(io_faults& faults, std::errc error, std::uint64_t nth, std::uint64_t times) {
  auto listener = Over::listener();
  auto const at = listener.local_endpoint();
  std::stop_source stop;
  std::atomic<int> failed_handlers{0};
  auto const on_exception = [&](std::exception_ptr const& e) {
    ++failed_handlers;
    verify(!succeeds([&] { std::rethrow_exception(e); }));
  };
  faults.fail(error, nth, times);
  auto server = weft::spawn(
      [&] { (void)serve(listener, echo, {.stop = stop.get_token(), .on_exception = on_exception}); });
  (void)succeeds([&] { ask<Over>(at); });
  auto const struck = faults.fail_no_more();
  auto const refused = failure_of([&] { ask<Over>(at); });
  stop.request_stop();
  auto const broken = failure_of([&] { server.get(); });
  if (!refused.empty() && broken.empty()) throw verification_failed("the server goes on, but: " + refused);
  verify(struck != 0 || (refused.empty() && broken.empty() && failed_handlers == 0));
  return struck;
}

// None of them means that a listener or a connection is broken.
constexpr std::array passing{std::errc::interrupted,
                             std::errc::connection_aborted,
                             std::errc::too_many_files_open,
                             std::errc::not_enough_memory,
                             std::errc::no_buffer_space,
                             std::errc::resource_unavailable_try_again,
                             std::errc::operation_not_permitted};

template <class Over>
void serve_while_calls_fail(io_faults& faults, std::uint64_t seed, watchdog& dog) {
  auto listener = Over::listener();
  auto const at = listener.local_endpoint();
  std::stop_source stop;
  auto server = weft::spawn([&] {
    return serve(listener, echo, {.stop = stop.get_token(), .on_exception = [](std::exception_ptr const&) {}});
  });
  faults.fail_at_random(seed, 8, passing);
  std::atomic<int> answered{0};
  std::vector<weft::task<void>> clients;
  for (int c = 0; c < 4; ++c) {
    clients.push_back(weft::spawn([&] {
      for (int i = 0; i < 25; ++i) {
        if (succeeds([&] { ask<Over>(at); })) ++answered;
        dog.feed();
      }
    }));
  }
  for (auto& c : clients) c.get();
  CHECK(faults.fail_no_more() > 20);
  CHECK_NOTHROW(ask<Over>(at));
  stop.request_stop();
  CHECK(server.get().drained);
  CHECK(answered > 0);
}

}  // namespace

TEST_CASE("2,000 system calls fail, at each place where they can: documented errors, no leak, and the next call works",
          "[io][failures]") {
  auto const workers = some_workers();
  std::uint64_t failures = 0;
  with_faults(workers, [&](io_faults& faults, watchdog& dog) {
    auto const table = of_tcp();
    for (auto const times : {std::uint64_t{1}, std::uint64_t{3}}) {
      if (times != 1 && one_byte_io()) break;  // where each byte is a place
      for (auto const error : errors) {
        auto const number = static_cast<int>(error);
        for (auto const& e : table) {
          failures += exhaust(faults, dog, e.name, number, times, [&](std::uint64_t n) {
            stage s{[&] { faults.fail(error, n, times); }, [&] { return faults.fail_no_more(); },
                    std::make_error_condition(error)};
            e.call(s);
            return s.struck;
          });
        }
        failures += exhaust(faults, dog, "serve", number, times,
                            [&](std::uint64_t n) { return session<over_tcp>(faults, error, n, times); });
        failures += exhaust(faults, dog, "serve, Unix", number, times,
                            [&](std::uint64_t n) { return session<over_unix>(faults, error, n, times); });
      }
    }
  });
  CHECK(failures >= (one_byte_io() ? 1000U : 2000U));
}

TEST_CASE("calls that fail at random, for as long as it takes: clients get errors, the server goes on",
          "[io][failures]") {
  auto const workers = some_workers();
  auto const seed = GENERATE(1U, 2U, 3U, 4U);
  CAPTURE(seed);
  with_faults(workers, [&](io_faults& faults, watchdog& dog) {
    serve_while_calls_fail<over_tcp>(faults, seed, dog);
    serve_while_calls_fail<over_unix>(faults, seed, dog);
  });
}
