/// @file
/// serve(): connections in, handlers beside each other, and the ways in which it ends.

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/serve.hpp>
#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using weft::test::run_on;
using weft::test::some_workers;
using weft::test::throws;
using weft::test::verify;

tcp_listener listen() { return tcp_listener::bind({ip_address::loopback_v4(), 0}); }

void echo(tcp_stream s) {
  std::array<std::byte, 256> buffer{};
  while (auto const n = s.read_some(buffer)) s.write_all(std::span{buffer}.first(n));
}

/// One message there and back.
void ask(tcp_stream& s, std::string const& text) {
  s.write_all(text);
  std::string answer(text.size(), ' ');
  s.read_exactly(std::as_writable_bytes(std::span{answer}));
  verify(answer == text);
}

bool is_at_end(tcp_stream& s) {
  std::array<std::byte, 1> one{};
  std::error_code ec;
  return s.read_some(one, ec) == 0;
}

void wait_until(auto&& holds) {
  while (!holds()) weft::yield();
}

}  // namespace

TEST_CASE("all connections are served, and serve returns when the last has ended", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    auto const at = listener.local_endpoint();
    std::stop_source stop;
    auto server = weft::spawn([&] { return serve(listener, echo, {.stop = stop.get_token()}); });
    std::vector<weft::task<void>> clients;
    for (int i = 0; i < 60; ++i) {
      clients.push_back(weft::spawn([&, i] {
        auto s = tcp_stream::connect(at);
        for (int round = 0; round < 5; ++round) ask(s, "message " + std::to_string(i));
      }));
    }
    for (auto& c : clients) c.get();
    stop.request_stop();
    auto const summary = server.get();
    CHECK(summary.served == 60);
    CHECK(summary.refused == 0);
    CHECK(summary.drained);
    CHECK_FALSE(listener.is_open());
  });
}

TEST_CASE("at max_connections others wait until a handler ends", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    auto const at = listener.local_endpoint();
    std::stop_source stop;
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    auto const handler = [&](tcp_stream s) {
      int const here = now.fetch_add(1) + 1;
      for (int seen = most; seen < here && !most.compare_exchange_weak(seen, here);) {
      }
      echo(std::move(s));
      now.fetch_sub(1);
    };
    auto server = weft::spawn(
        [&] { return serve(listener, handler, {.max_connections = 3, .stop = stop.get_token()}); });
    std::vector<tcp_stream> held;
    for (int i = 0; i < 3; ++i) {
      held.push_back(tcp_stream::connect(at));
      ask(held.back(), "in");
    }
    std::atomic<bool> answered{false};
    auto fourth = weft::spawn([&] {
      auto s = tcp_stream::connect(at);
      ask(s, "in at last");
      answered = true;
    });
    for (int i = 0; i < 100; ++i) weft::yield();
    ask(held[0], "still there");
    CHECK_FALSE(answered);
    held[1].close();
    fourth.get();
    held.clear();
    stop.request_stop();
    auto const summary = server.get();
    CHECK(summary.served == 4);
    CHECK(most == 3);
    CHECK(now == 0);
  });
}

TEST_CASE("at max_connections the end is begun at once", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    std::stop_source stop;
    auto server = weft::spawn(
        [&] { return serve(listener, echo, {.max_connections = 1, .stop = stop.get_token(), .drain_limit = 0ms}); });
    auto one = tcp_stream::connect(listener.local_endpoint());
    ask(one, "in");
    auto const other = tcp_stream::connect(listener.local_endpoint());
    stop.request_stop();
    CHECK_FALSE(server.get().drained);
    CHECK(is_at_end(one));
  });
}

TEST_CASE("handlers may go on after the stop; nobody else gets in", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    auto const at = listener.local_endpoint();
    std::stop_source stop;
    auto server = weft::spawn([&] {
      return serve(listener, echo, {.stop = stop.get_token(), .drain_limit = std::chrono::nanoseconds::max()});
    });
    auto s = tcp_stream::connect(at);
    ask(s, "before");
    std::thread{[&] { stop.request_stop(); }}.join();
    wait_until([&] { return !listener.is_open(); });
    // It counts as closed a moment before the system has closed it.
    wait_until([&] {
      std::error_code ec;
      (void)tcp_stream::connect(at, ec);
      return ec == std::errc::connection_refused;
    });
    ask(s, "after");
    CHECK_FALSE(server.ready());
    s.close();
    auto const summary = server.get();
    CHECK(summary.served == 1);
    CHECK(summary.drained);
  });
}

TEST_CASE("handlers that have not ended by the limit are cancelled", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    std::stop_source stop;
    std::atomic<int> reasons{0};
    auto const handler = [&](tcp_stream s) {
      try {
        echo(std::move(s));
      } catch (weft::cancelled const& c) {
        if (c.reason() == weft::cancel_reason::deadline) ++reasons;
        throw;
      }
    };
    auto const limit = GENERATE(0ms, 1ms, 20ms);
    auto server = weft::spawn(
        [&] { return serve(listener, handler, {.stop = stop.get_token(), .drain_limit = limit}); });
    std::vector<tcp_stream> clients;
    for (int i = 0; i < 5; ++i) {
      clients.push_back(tcp_stream::connect(listener.local_endpoint()));
      ask(clients.back(), "in");
    }
    stop.request_stop();
    auto const summary = server.get();
    CHECK_FALSE(summary.drained);
    CHECK(reasons == 5);
    for (auto& s : clients) CHECK(is_at_end(s));
  });
}

TEST_CASE("to cancel who serves ends the handlers at once, also while it waits for them", "[io][serve]") {
  run_on(some_workers(), [] {
    bool const stopped = GENERATE(false, true);
    auto listener = listen();
    std::stop_source stop;
    std::atomic<int> ended{0};
    auto const handler = [&](tcp_stream s) {
      try {
        echo(std::move(s));
      } catch (weft::cancelled const& c) {
        if (c.reason() == weft::cancel_reason::user) ++ended;
        throw;
      }
    };
    auto server = weft::spawn([&] { return serve(listener, handler, {.stop = stop.get_token()}); });
    auto one = tcp_stream::connect(listener.local_endpoint());
    auto two = tcp_stream::connect(listener.local_endpoint());
    ask(one, "in");
    ask(two, "in");
    if (stopped) {
      stop.request_stop();
      wait_until([&] { return !listener.is_open(); });
    }
    server.cancel();
    CHECK_THROWS_AS(server.get(), weft::cancelled);
    CHECK(ended == 2);
    CHECK(is_at_end(one));
    CHECK(is_at_end(two));
    CHECK_FALSE(listener.is_open());
  });
}

TEST_CASE("who closes the listener stops the server", "[io][serve]") {
  run_on(some_workers(), [] {
    auto listener = listen();
    auto server = weft::spawn([&] { return serve(listener, echo); });
    auto s = tcp_stream::connect(listener.local_endpoint());
    ask(s, "in");
    listener.close();
    ask(s, "after");
    s.close();
    CHECK(server.get().drained);
  });
}

TEST_CASE("a handler that throws ends its connection alone, and is reported", "[io][serve]") {
  auto const workers = some_workers();
  bool const hooked = GENERATE(false, true);
  weft::test::unhandled_log log;
  std::atomic<int> caught{0};
  weft::runtime_options options;
  options.on_unhandled_exception = log.handler();
  weft::test::run_with(weft::test::on(workers, options), [&] {
    auto listener = listen();
    std::stop_source stop;
    serve_options how{.stop = stop.get_token(), .name = "connection"};
    if (hooked) {
      how.on_exception = [&](std::exception_ptr const& e) {
        ++caught;
        if (caught == 3) std::rethrow_exception(e);
      };
    }
    auto const handler = [](tcp_stream s) {
      std::array<std::byte, 1> one{};
      s.read_exactly(one);
      if (one[0] == std::byte{'c'}) {  // another's cancellation, which is none of this one
        auto sleeper = weft::spawn([] { weft::sleep_for(1h); });
        sleeper.cancel();
        sleeper.get();
      }
      if (one[0] == std::byte{'x'}) throw std::runtime_error("it was an x");
      s.write_all(one);
      echo(std::move(s));
    };
    auto server = weft::spawn([&] { return serve(listener, handler, how); });
    auto good = tcp_stream::connect(listener.local_endpoint());
    ask(good, "g");
    for (char const* what : {"x", "c", "x"}) {
      auto bad = tcp_stream::connect(listener.local_endpoint());
      bad.write_all(what);
      verify(is_at_end(bad));
      ask(good, "still there");
    }
    good.close();
    stop.request_stop();
    auto const summary = server.get();
    verify(summary.served == 4);
    verify(summary.drained);
  });
  auto const lines = log.lines();
  CHECK(caught == (hooked ? 3 : 0));
  REQUIRE(lines.size() == (hooked ? 1 : 3));
  CHECK(lines.back() == "connection: it was an x");
}

TEST_CASE("serve refuses bad arguments, and places without a runtime", "[io][serve][bad-input]") {
  auto listener = listen();
  CHECK_THROWS_AS(serve(listener, echo), weft::no_runtime);
  CHECK_FALSE(listener.is_open());
  run_on(1, [] {
    for (std::ptrdiff_t const most : {std::ptrdiff_t{0}, std::ptrdiff_t{-1}}) {
      auto here = listen();
      CHECK_THROWS_AS(serve(here, echo, {.max_connections = most}), std::invalid_argument);
    }
    auto here = listen();
    std::stop_source stop;
    stop.request_stop();
    CHECK(serve(here, echo, {.stop = stop.get_token()}).served == 0);
  });
}

TEST_CASE("a runtime that stops ends its servers", "[io][serve]") {
  weft::runtime rt{weft::test::on(some_workers())};
  weft::event in;
  auto served = rt.spawn([&] {
    auto listener = listen();
    auto const at = listener.local_endpoint();
    auto client = weft::spawn([&] {
      auto s = tcp_stream::connect(at);
      ask(s, "in");
      in.set();
      verify(is_at_end(s));
    });
    (void)serve(listener, echo);
  });
  in.wait();
  CHECK(rt.shutdown(std::chrono::seconds{60}));
  CHECK_THROWS_AS(served.get(), weft::cancelled);
}
