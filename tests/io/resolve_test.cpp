/// @file
/// Names: what is asked, of whom and where; how a look-up ends; what is kept.

#include <weft/io/resolve.hpp>

#include "support/catch.hpp"
#include "support/fake_names.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <pthread.h>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;

namespace {

/// Finds one address, and then the ones of localhost, for any name.
std::shared_ptr<fake_names> names_that_know_all(bool blocks = true) {
  auto names = std::make_shared<fake_names>(blocks);
  names->answer = [](weft::detail::name_query const& query, std::vector<endpoint>& found) {
    std::uint16_t const port = query.service.empty() ? 0 : 80;
    found = {{"192.0.2.1", port}, {"::1", port}};
    return std::error_code{};
  };
  return names;
}

/// Names whose look-ups do not end before the gate opens. Owned by the look-ups that were left, too.
struct slow_names {
  weft::event started;
  weft::event gate;
  std::atomic<int> running{0};
  std::atomic<int> most{0};
};
std::shared_ptr<fake_names> names_behind(std::shared_ptr<slow_names> const& slow) {
  auto names = std::make_shared<fake_names>();
  names->answer = [slow](weft::detail::name_query const& query, std::vector<endpoint>& found) {
    int const now = ++slow->running;
    for (int seen = slow->most; seen < now && !slow->most.compare_exchange_weak(seen, now);) {
    }
    slow->started.set();
    slow->gate.wait();
    --slow->running;
    if (query.host != "some.name") return make_error_code(name_error::server_failed);
    found = {{"192.0.2.1", 0}};
    return std::error_code{};
  };
  return names;
}

}  // namespace

TEST_CASE("an address needs no look-up", "[io][resolve]") {
  auto const names = std::make_shared<fake_names>();
  calls_with_names const calls{names};
  run_on(some_workers(), [] {
    verify(resolve("127.0.0.1", 80) == std::vector{endpoint{"127.0.0.1", 80}});
    verify(resolve("::1", "443") == std::vector{endpoint{"::1", 443}});
    verify(resolve("::1", 0, {.family = ip_address::family::v6}) == std::vector{endpoint{"::1", 0}});
    std::error_code ec;
    verify(resolve("::1", 0, {.family = ip_address::family::v4}, ec).empty());
    verify(ec == name_error::none_of_family && ec == std::errc::address_family_not_supported);
  });
  CHECK(resolve("127.0.0.1", 80).size() == 1);
  CHECK(names->asked == 0);
}

TEST_CASE("a name is looked up on a thread for names, and its addresses get the port", "[io][resolve]") {
  auto const names = names_that_know_all();
  auto const answers = names->answer;
  std::atomic<int> elsewhere{0};
  names->answer = [&](weft::detail::name_query const& query, std::vector<endpoint>& found) {
    std::array<char, 32> name{};
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    if (std::string_view{name.data()}.starts_with("names")) ++elsewhere;
    return answers(query, found);
  };
  calls_with_names const calls{names};
  run_on(some_workers(), [] {
    forget_resolved();
    verify(resolve("some.name", 7) == std::vector{endpoint{"192.0.2.1", 7}, endpoint{"::1", 7}});
    verify(resolve("some.name", "http") == std::vector{endpoint{"192.0.2.1", 80}, endpoint{"::1", 80}});
  });
  CHECK(elsewhere == 2);
  CHECK(resolve("another.name", 7).size() == 2);  // of a plain thread
  CHECK(elsewhere == 3);
}

TEST_CASE("the system's names: what it finds, and what it says of a service that is none", "[io][resolve]") {
  run_on(1, [] {
    std::error_code ec;
    auto const found = resolve("localhost", 80, {}, ec);
    verify(found.empty() == static_cast<bool>(ec));  // not every machine has that name
    for (auto const& one : found) verify(one.address().is_loopback() && one.port() == 80);
    verify(resolve("127.0.0.1", "no-such-service", {}, ec).empty());
    verify(ec == name_error::no_such_service && ec == std::errc::invalid_argument);
    auto const names = reverse({"127.0.0.1", 0}, {}, ec);
    verify(names.host.empty() == static_cast<bool>(ec));
  });
}

TEST_CASE("bad input: hosts and ports that are none", "[io][resolve]") {
  auto const names = std::make_shared<fake_names>();
  calls_with_names const calls{names};
  run_on(1, [] {
    std::error_code ec;
    std::string const with_nul("a\0b", 3);
    for (std::string const& host : {std::string{}, with_nul, std::string(100'000, 'a'), std::string(256, 'a')}) {
      verify(resolve(host, 80, {}, ec).empty());
      verify(ec == std::errc::invalid_argument);
    }
    for (service const at : {service{65536}, service{-1}, service{"65536"}, service{""},
                             service{"99999999999999999999"}, service{with_nul}, service{~std::uint64_t{0}}}) {
      verify(resolve("some.name", at, {}, ec).empty());
      verify(ec == std::errc::invalid_argument);
    }
    verify(resolve("some.name", 65535, {}, ec).empty());
    verify(ec == name_error::no_such_name && ec == std::errc::host_unreachable);
  });
  CHECK(names->asked == 1);
}

TEST_CASE("a failed look-up says for what, and why", "[io][resolve]") {
  using Catch::Matchers::Contains;
  auto const names = std::make_shared<fake_names>();
  calls_with_names const calls{names};
  CHECK_THROWS_WITH(resolve("no.such.name", "http"), Contains("`no.such.name`") && Contains("`http`"));
  CHECK_THROWS_WITH(resolve(std::string(100'000, 'a'), 65536), Contains("`" + std::string(80, 'a') + "...`"));
  CHECK_THROWS_WITH(reverse({"192.0.2.1", 5}), Contains("192.0.2.1:5"));
  names->answer = [](auto&, auto&) -> std::error_code { throw std::bad_alloc{}; };
  std::error_code ec;
  CHECK(resolve("some.name", 1, {}, ec).empty());
  CHECK(ec == std::errc::not_enough_memory);
  names->answer = [](auto&, auto&) { return std::error_code{}; };
  CHECK(resolve("some.name", 1, {}, ec).empty());
  CHECK(ec == name_error::no_address);
}

TEST_CASE("name_error compares equal to what the system calls it", "[io][resolve]") {
  CHECK(make_error_code(name_error::no_such_name) == std::errc::host_unreachable);
  CHECK(make_error_code(name_error::no_address) == std::errc::host_unreachable);
  CHECK(make_error_code(name_error::try_again) == std::errc::resource_unavailable_try_again);
  CHECK(make_error_code(name_error::server_failed) == std::errc::io_error);
  CHECK(make_error_code(name_error::no_such_family) == std::errc::address_family_not_supported);
  CHECK(make_error_code(name_error::name_too_long) == std::errc::value_too_large);
  CHECK(make_error_code(name_error::bad_options) == std::errc::invalid_argument);
  CHECK_FALSE(make_error_code(name_error::no_such_name).message().empty());
  CHECK(std::error_code{-77, name_error_category()} != std::errc::invalid_argument);
}

TEST_CASE("who is cancelled leaves a look-up that hangs, which harms nobody", "[io][resolve]") {
  auto const slow = std::make_shared<slow_names>();
  calls_with_names const calls{names_behind(slow)};
  run_on(some_workers(), [&] {
    auto asking = weft::spawn([] {
      std::string const host = "some.name";  // gone before the look-up ends
      (void)resolve(host, 80);
    });
    slow->started.wait();
    asking.cancel();
    verify(throws<weft::cancelled>([&] { asking.get(); }));
    verify(slow->running == 1);
    slow->gate.set();
  });
  CHECK(slow->running == 0);  // the end of the runtime has waited for it
}

TEST_CASE("a look-up ends at its deadline, at that of a scope, and on plain threads, too", "[io][resolve]") {
  auto const slow = std::make_shared<slow_names>();
  calls_with_names const calls{names_behind(slow)};
  std::error_code ec;
  CHECK(resolve("some.name", 80, {.timeout = 1ms}, ec).empty());
  CHECK(ec == std::errc::timed_out);
  run_on(some_workers(), [&] {
    verify(resolve("some.name", 80, {.timeout = 1ms}, ec).empty());
    verify(ec == std::errc::timed_out);
    verify(resolve("some.name", 80, {.timeout = 0ms}, ec).empty());
    verify(ec == std::errc::timed_out);
    verify(throws<weft::timeout_error>([] { weft::with_timeout(1ms, [] { (void)resolve("some.name", 80); }); }));
    verify(resolve("127.0.0.1", 80, {.timeout = 0ms}, ec).size() == 1);
    slow->gate.set();  // the end of the runtime waits for what was left
    verify(resolve("some.name", 80).size() == 1);
  });
  while (slow->running != 0) std::this_thread::yield();
}

TEST_CASE("cancellation: resolve is a cancellation point even for an address", "[io][resolve]") {
  run_on(1, [] {
    weft::cancel_scope scope;
    scope.cancel();
    verify(!scope.run([] { (void)resolve("127.0.0.1", 80); }));
  });
}

TEST_CASE("no more than sixteen look-ups run at once; the others wait in turn", "[io][resolve]") {
  auto const slow = std::make_shared<slow_names>();
  auto const names = names_behind(slow);
  calls_with_names const calls{names};
  run_on(some_workers(), [&] {
    std::vector<weft::task<void>> asking;
    for (int i = 0; i < 39; ++i) {
      asking.push_back(weft::spawn([] { verify(resolve("some.name", 80, {.max_age = 0s}).size() == 1); }));
    }
    while (slow->running < 16) weft::yield();
    // One that has to wait is cancelled before it began.
    auto late = weft::spawn(weft::spawn_options{.start = weft::start::eager}, [] { (void)resolve("some.name", 80); });
    late.cancel();
    verify(throws<weft::cancelled>([&] { late.get(); }));
    slow->gate.set();
    for (auto& t : asking) t.get();
  });
  CHECK(slow->most == 16);
  CHECK(names->asked == 39);
}

TEST_CASE("an answer is kept for who asks the same, as long as that says", "[io][resolve]") {
  auto const names = names_that_know_all();
  calls_with_names const calls{names};
  run_with(weft::testing::in_virtual_time(), [&] {
    auto const asks = [&](auto&&... question) {
      int const before = names->asked;
      (void)resolve(question...);
      return names->asked != before;
    };
    CHECK(asks("some.name", 80));
    CHECK_FALSE(asks("some.name", 80));
    CHECK_FALSE(asks("some.name", 81));  // the port is not part of the question
    CHECK(asks("some.name", "http"));
    CHECK(asks("some.name", 80, resolve_options{.family = ip_address::family::v4}));
    CHECK(asks("other.name", 80));
    weft::sleep_for(9s);
    CHECK_FALSE(asks("some.name", 80));
    CHECK(asks("some.name", 80, resolve_options{.max_age = 0s}));  // and is kept anew
    weft::sleep_for(9s);
    CHECK_FALSE(asks("some.name", 80));
    weft::sleep_for(1s);
    CHECK(asks("some.name", 80));
    weft::sleep_for(4min);
    CHECK_FALSE(asks("some.name", 80, resolve_options{.max_age = 1h}));
    weft::sleep_for(1min);
    CHECK(asks("some.name", 80, resolve_options{.max_age = 1h}));
    forget_resolved();
    CHECK(asks("some.name", 80));
  });
}

TEST_CASE("an answer to a question asked before all were forgotten is not kept", "[io][resolve]") {
  auto const slow = std::make_shared<slow_names>();
  auto const names = names_behind(slow);
  calls_with_names const calls{names};
  run_on(some_workers(), [&] {
    auto early = weft::spawn([] { return resolve("some.name", 80); });
    slow->started.wait();
    forget_resolved();
    slow->gate.set();
    verify(early.get().size() == 1);
    verify(names->asked == 1);
    (void)resolve("some.name", 80);
    verify(names->asked == 2);
  });
}

TEST_CASE("that there was no answer is not kept, nor one that says nothing", "[io][resolve]") {
  auto const names = std::make_shared<fake_names>();
  calls_with_names const calls{names};
  std::error_code ec;
  for (int i = 1; i <= 3; ++i) {
    (void)resolve("no.such.name", 80, {}, ec);
    CHECK(names->asked == i);
  }
  names->answer = [](auto&, auto&) { return std::error_code{}; };
  names->name_of = [](auto&, auto&) { return std::error_code{}; };
  for (int i = 4; i <= 6; i += 2) {
    (void)resolve("some.name", 80, {}, ec);
    CHECK(ec == name_error::no_address);
    (void)reverse({"192.0.2.1", 80}, {}, ec);
    CHECK(ec == name_error::no_such_name);
    CHECK(names->asked == i + 1);
  }
}

TEST_CASE("so many answers are kept, and no more", "[io][resolve]") {
  auto const names = names_that_know_all();
  calls_with_names const calls{names};
  run_with(weft::testing::in_virtual_time(), [&] {
    for (int i = 0; i < 300; ++i) {
      (void)resolve("name" + std::to_string(i), 80);
      weft::sleep_for(1us);
    }
    int const asked = names->asked;
    (void)resolve("name299", 80);
    (void)resolve("name44", 80);
    CHECK(names->asked == asked);
    (void)resolve("name43", 80);  // older than 256 others
    CHECK(names->asked == asked + 1);
  });
}

TEST_CASE("an address has a name, or that is an error", "[io][resolve]") {
  auto const names = std::make_shared<fake_names>();
  names->name_of = [](endpoint const& of, weft::detail::found_name& found) {
    if (of.port() == 0) return make_error_code(name_error::no_such_name);
    found = {"some.name", "http"};
    return std::error_code{};
  };
  calls_with_names const calls{names};
  run_on(some_workers(), [] {
    auto const found = reverse({"192.0.2.1", 80});
    verify(found.host == "some.name" && found.service == "http");
    std::error_code ec;
    verify(reverse({"192.0.2.1", 0}, {}, ec).host.empty());
    verify(ec == name_error::no_such_name);
    verify(reverse({"192.0.2.1", 80}, {.timeout = 0ns, .max_age = 0ns}, ec).host.empty());
    verify(ec == std::errc::timed_out);
  });
}

TEST_CASE("a name is kept for who asks of the same address and port; that there was none is not", "[io][resolve]") {
  auto const names = std::make_shared<fake_names>();
  names->name_of = [](endpoint const& of, weft::detail::found_name& found) {
    if (of.port() == 0) return make_error_code(name_error::no_such_name);
    found = {"host" + std::to_string(of.port()), "some"};
    return std::error_code{};
  };
  calls_with_names const calls{names};
  run_with(weft::testing::in_virtual_time(), [&] {
    auto const asks = [&](std::uint16_t port, reverse_options const& options = {}) {
      int const before = names->asked;
      std::error_code ec;
      auto const found = reverse({"192.0.2.1", port}, options, ec);
      CHECK(found.host == (port == 0 ? "" : "host" + std::to_string(port)));
      return names->asked != before;
    };
    CHECK(asks(80));
    CHECK_FALSE(asks(80));
    CHECK(asks(443));
    CHECK(asks(0));
    CHECK(asks(0));
    weft::sleep_for(9s);
    CHECK_FALSE(asks(80));
    weft::sleep_for(1s);
    CHECK(asks(80));
    CHECK(asks(80, {.max_age = 0s}));
    weft::sleep_for(5min);
    CHECK(asks(80, {.max_age = 1h}));  // none is kept for longer
    forget_resolved();
    CHECK(asks(80));
  });
}

TEST_CASE("a simulation asks its own names, on the fiber and in its own time, and never the system's",
          "[io][resolve]") {
  weft::testing::simulation simulated{1, {.report_failure = false}};
  simulated.run([] {
    verify(resolve("127.0.0.1", 80).size() == 1);
    verify(throws<weft::error>([] { (void)resolve("some.name", 80); }));
    verify(throws<weft::error>([] { (void)reverse({"127.0.0.1", 80}); }));
  });
  auto const names = names_that_know_all(false);
  auto const answers = names->answer;
  names->answer = [&](weft::detail::name_query const& query, std::vector<endpoint>& found) {
    weft::sleep_for(1h);
    return answers(query, found);
  };
  calls_with_names const calls{names};
  simulated.run([&] {
    auto const began = weft::testing::now();
    verify(resolve("some.name", 80).size() == 2);
    verify(weft::testing::now() - began == 1h);
    std::error_code ec;
    verify(resolve("some.name", 80, {.timeout = 1min}, ec).empty());  // nothing has been kept
    verify(ec == std::errc::timed_out);
    verify(weft::testing::now() - began == 1h + 1min);
  });
  CHECK(names->asked == 2);
}
