/// @file
/// System calls that fail, at each place where they can: for every entry point of io/ the n-th call fails, for n = 1,
/// 2,
/// ... until it needs no n-th, with each error of a list. Each time only a documented error may come out, no descriptor
/// and no fiber may be left behind, and the next call must work.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/error.hpp>
#include <weft/io/serve.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/spawn.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::verify;
using weft::testing::io_faults;

constexpr std::array errors{
    std::errc::interrupted,         std::errc::connection_reset,    std::errc::connection_aborted,
    std::errc::broken_pipe,         std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
    std::errc::not_enough_memory,   std::errc::no_buffer_space,     std::errc::operation_not_permitted,
    std::errc::network_unreachable, std::errc::invalid_argument,    std::errc::io_error,
    std::errc::timed_out,           std::errc::permission_denied,   std::errc::resource_unavailable_try_again,
};

/// One run of one entry point.
class stage {
public:
  stage(io_faults& faults, std::errc error, std::uint64_t nth, std::uint64_t times)
      : faults_(faults), error_(error), nth_(nth), times_(times) {}

  /// Calls `f`, and has it fail.
  template <class F>
  void inject(F&& f) {
    faults_.fail(error_, nth_, times_);
    try {
      f();
      struck = faults_.fail_no_more();
    } catch (std::system_error const& e) {
      struck = faults_.fail_no_more();
      verify(struck >= 1);
      verify(e.code() == error_);
      verify(std::string_view{e.what()}.starts_with("weft: "));
    }
  }

  /// The same of the form that sets `ec`: it tells what it failed with.
  template <class F>
  void inject_ec(F&& f) {
    std::error_code ec = std::make_error_code(std::errc::address_in_use);  // must be cleared
    faults_.fail(error_, nth_, times_);
    f(ec);
    struck = faults_.fail_no_more();
    verify(!ec || (struck >= 1 && ec == error_));
  }

  std::uint64_t struck = 0;

private:
  io_faults& faults_;
  std::errc error_;
  std::uint64_t nth_;
  std::uint64_t times_;
};

struct entry_point {
  char const* name;
  std::function<void(stage&)> call;
};

tcp_listener listen() { return tcp_listener::bind({ip_address::loopback_v4(), 0}); }

/// A connection, and bytes to read on it.
struct prepared {
  prepared() : listener(listen()), here(tcp_stream::connect(listener.local_endpoint())), there(listener.accept()) {
    there.write_all("0123456789");
  }
  tcp_listener listener;
  tcp_stream here;
  tcp_stream there;
};

/// Calls `f` twice on a fresh connection: once with failures, once without.
template <class F>
auto on_connection(F f) {
  return [f](stage& s) {
    prepared p;
    s.inject([&] { f(p.here); });
    f(p.here);
  };
}
template <class F>
auto on_connection_ec(F f) {
  return [f](stage& s) {
    prepared p;
    s.inject_ec([&](std::error_code& ec) { f(p.here, ec); });
    std::error_code ec;
    f(p.here, ec);
    verify(!ec);
  };
}

void bind_and_use(tcp_listener const& listener) { verify(listener.local_endpoint().port() != 0); }

std::vector<entry_point> entry_points() {
  std::vector<entry_point> table;
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };

  add("tcp_listener::bind", [](stage& s) {
    listen_options const all{.reuse_port = true};
    s.inject([&] { (void)tcp_listener::bind({ip_address::loopback_v4(), 0}, all); });
    bind_and_use(tcp_listener::bind({ip_address::loopback_v4(), 0}, all));
  });
  add("tcp_listener::bind, ec", [](stage& s) {
    s.inject_ec([&](std::error_code& ec) {
      auto const made = tcp_listener::bind({ip_address::loopback_v4(), 0}, {}, ec);
      verify(made.is_open() == !ec);
    });
    bind_and_use(listen());
  });
  add("tcp_listener::local_endpoint", [](stage& s) {
    auto const listener = listen();
    s.inject([&] { (void)listener.local_endpoint(); });
    bind_and_use(listener);
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
    s.inject_ec([&](std::error_code& ec) {
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
    s.inject_ec([&](std::error_code& ec) {
      auto const made = tcp_stream::connect(at, ec);
      verify(made.is_open() == !ec);
    });
    verify(tcp_stream::connect(at).is_open());
  });

  add("read_some", on_connection([](tcp_stream& t) {
        std::array<std::byte, 4> buffer{};
        verify(t.read_some(buffer) > 0);
      }));
  add("read_some, ec", on_connection_ec([](tcp_stream& t, std::error_code& ec) {
        std::array<std::byte, 4> buffer{};
        verify((t.read_some(buffer, ec) > 0) == !ec);
      }));
  add("read_exactly", on_connection([](tcp_stream& t) {
        std::array<std::byte, 4> buffer{};
        t.read_exactly(buffer);
      }));
  add("read_exactly, ec", on_connection_ec([](tcp_stream& t, std::error_code& ec) {
        std::array<std::byte, 4> buffer{};
        verify((t.read_exactly(buffer, ec) == 4) == !ec);
      }));
  add("write_some", on_connection([](tcp_stream& t) { verify(t.write_some(std::as_bytes(std::span{"abc"})) > 0); }));
  add("write_some, ec", on_connection_ec([](tcp_stream& t, std::error_code& ec) {
        verify((t.write_some(std::as_bytes(std::span{"abc"}), ec) > 0) == !ec);
      }));
  add("write_all", on_connection([](tcp_stream& t) { t.write_all("abcdef"); }));
  add("write_all, ec",
      on_connection_ec([](tcp_stream& t, std::error_code& ec) { verify((t.write_all("abcdef", ec) == 6) == !ec); }));
  add("tcp_stream::shutdown", on_connection([](tcp_stream& t) { t.shutdown(direction::send); }));
  add("tcp_stream::shutdown, ec",
      on_connection_ec([](tcp_stream& t, std::error_code& ec) { t.shutdown(direction::both, ec); }));
  add("tcp_stream::nodelay", on_connection([](tcp_stream& t) {
        t.nodelay(true);
        verify(t.nodelay());
      }));
  add("tcp_stream::nodelay, ec", on_connection_ec([](tcp_stream& t, std::error_code& ec) { t.nodelay(true, ec); }));
  add("tcp_stream::keepalive", on_connection([](tcp_stream& t) { t.keepalive({}); }));
  add("tcp_stream::keepalive, ec", on_connection_ec([](tcp_stream& t, std::error_code& ec) { t.keepalive({}, ec); }));
  add("tcp_stream::local_endpoint", on_connection([](tcp_stream& t) { (void)t.local_endpoint(); }));
  add("tcp_stream::local_endpoint, ec",
      on_connection_ec([](tcp_stream& t, std::error_code& ec) { (void)t.local_endpoint(ec); }));
  add("tcp_stream::remote_endpoint", on_connection([](tcp_stream& t) { (void)t.remote_endpoint(); }));
  add("tcp_stream::remote_endpoint, ec",
      on_connection_ec([](tcp_stream& t, std::error_code& ec) { (void)t.remote_endpoint(ec); }));
  add("close", on_connection_ec([](tcp_stream& t, std::error_code& ec) {
        t.close();
        ec.clear();
      }));
  return table;
}

std::size_t descriptors_in_use() {
  std::size_t count = 0;
  for (auto const& e : std::filesystem::directory_iterator{"/proc/self/fd"}) count += e.path().empty() ? 0U : 1U;
  return count;
}

void echo(tcp_stream s) {
  std::array<std::byte, 64> buffer{};
  while (auto const n = s.read_some(buffer)) s.write_all(std::span{buffer}.first(n));
}

void ask(endpoint const& at) {
  auto s = tcp_stream::connect(at);
  s.write_all("abcd");
  std::array<std::byte, 4> buffer{};
  s.read_exactly(buffer);
}

template <class F>
bool succeeds(F&& f) {
  try {
    f();
    return true;
  } catch (std::system_error const&) {
  } catch (weft::incomplete_read const&) {
  }
  return false;
}

/// A server and its client, with the `nth` call of both failing: then the next client is served, unless the server has
/// ended for that failure.  @returns how many calls have failed
std::uint64_t session(io_faults& faults, std::errc error, std::uint64_t nth, std::uint64_t times) {
  auto listener = listen();
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
  (void)succeeds([&] { ask(at); });
  auto const struck = faults.fail_no_more();
  bool const served = succeeds([&] { ask(at); });
  stop.request_stop();
  bool const ended_well = succeeds([&] { server.get(); });
  verify(served || !ended_well);
  verify(struck != 0 || (served && ended_well && failed_handlers == 0));
  return struck;
}

}  // namespace

TEST_CASE("2,000 system calls fail, at each place where they can: documented errors, no leak, and the next call works",
          "[io][failures]") {
  auto const workers = some_workers();
  std::uint64_t failures = 0;
  weft::test::watchdog dog{"failing system calls", std::chrono::seconds{30}};
  run_on(workers, [&] {
    io_faults faults;
    auto const before = descriptors_in_use();
    auto const exhaust = [&](char const* name, std::errc error, std::uint64_t times, auto&& call) {
      for (std::uint64_t n = 1;; ++n) {
        CAPTURE(name, static_cast<int>(error), n, times);
        std::uint64_t struck = 0;
        REQUIRE_NOTHROW(struck = call(n));
        REQUIRE(faults.open_descriptors() == 0);
        failures += struck;
        dog.feed();
        if (struck == 0) return;
        REQUIRE(n < 1000);
      }
    };
    auto const table = entry_points();
    for (auto const times : {std::uint64_t{1}, std::uint64_t{3}}) {
      if (times != 1 && weft::test::one_byte_io()) break;  // where each byte is a place
      for (auto const error : errors) {
        for (auto const& e : table) {
          exhaust(e.name, error, times, [&](std::uint64_t n) {
            stage s{faults, error, n, times};
            e.call(s);
            return s.struck;
          });
        }
        exhaust("serve", error, times, [&](std::uint64_t n) { return session(faults, error, n, times); });
      }
    }
    CHECK(descriptors_in_use() == before);
  });
  CHECK(failures >= (weft::test::one_byte_io() ? 1000U : 2000U));
}

TEST_CASE("calls that fail at random, for as long as it takes: clients get errors, the server goes on",
          "[io][failures]") {
  auto const workers = some_workers();
  auto const seed = GENERATE(1U, 2U, 3U, 4U);
  weft::test::watchdog dog{"random failures", std::chrono::seconds{30}};
  run_on(workers, [&] {
    io_faults faults;
    {
      auto listener = listen();
      auto const at = listener.local_endpoint();
      std::stop_source stop;
      // None of them means that the listener is broken.
      constexpr std::array passing{std::errc::interrupted,
                                   std::errc::connection_aborted,
                                   std::errc::too_many_files_open,
                                   std::errc::not_enough_memory,
                                   std::errc::no_buffer_space,
                                   std::errc::resource_unavailable_try_again,
                                   std::errc::operation_not_permitted};
      auto server = weft::spawn([&] {
        return serve(listener, echo, {.stop = stop.get_token(), .on_exception = [](std::exception_ptr const&) {}});
      });
      faults.fail_at_random(seed, 8, passing);
      std::atomic<int> answered{0};
      std::vector<weft::task<void>> clients;
      for (int c = 0; c < 4; ++c) {
        clients.push_back(weft::spawn([&] {
          for (int i = 0; i < 25; ++i) {
            if (succeeds([&] { ask(at); })) ++answered;
            dog.feed();
          }
        }));
      }
      for (auto& c : clients) c.get();
      CHECK(faults.fail_no_more() > 20);
      CHECK_NOTHROW(ask(at));
      stop.request_stop();
      CHECK(server.get().drained);
      CHECK(answered > 0);
    }
    CHECK(faults.open_descriptors() == 0);
  });
}
