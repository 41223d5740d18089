/// @file
/// Look-ups of names that fail: with each error that getaddrinfo() and getnameinfo() have, at each call of them, and at
/// random. And connecting by a name, whose system calls fail.

#include <weft/io/resolve.hpp>

#include "io/failing_calls.hpp"
#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/fake_names.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/spawn.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <random>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;
using weft::testing::io_call;
using weft::testing::io_faults;

/// What the C library may say, and what that becomes.
struct name_failure {
  int status;
  int error;  // with EAI_SYSTEM
  std::error_condition expected;
};

std::vector<name_failure> const& name_failures() {
  using enum std::errc;
  static std::vector<name_failure> const all{
      {EAI_AGAIN, 0, make_error_condition(resource_unavailable_try_again)},
      {EAI_FAIL, 0, make_error_condition(io_error)},
      {EAI_NONAME, 0, make_error_condition(host_unreachable)},
      {EAI_NODATA, 0, make_error_condition(host_unreachable)},
      {EAI_FAMILY, 0, make_error_condition(address_family_not_supported)},
      {EAI_ADDRFAMILY, 0, make_error_condition(address_family_not_supported)},
      {EAI_SERVICE, 0, make_error_condition(invalid_argument)},
      {EAI_BADFLAGS, 0, make_error_condition(invalid_argument)},
      {EAI_OVERFLOW, 0, make_error_condition(value_too_large)},
      {EAI_MEMORY, 0, make_error_condition(not_enough_memory)},
      {EAI_SOCKTYPE, 0, std::error_condition{EAI_SOCKTYPE, name_error_category()}},  // weft has no name for it
      {EAI_SYSTEM, EMFILE, make_error_condition(too_many_files_open)},
      {EAI_SYSTEM, ENFILE, make_error_condition(too_many_files_open_in_system)},
      {EAI_SYSTEM, ENOMEM, make_error_condition(not_enough_memory)},
      {EAI_SYSTEM, ECONNREFUSED, make_error_condition(connection_refused)},
      {EAI_SYSTEM, EINTR, make_error_condition(interrupted)},
      {EAI_SYSTEM, 0, make_error_condition(io_error)},  // no reason given
  };
  return all;
}

/// While it lives, `some.name` is 127.0.0.1, and the other way round, unless the call is one of those that fail.
class scripted_names {
public:
  scripted_names();
  scripted_names(scripted_names const&) = delete;
  ~scripted_names();

  void fail(name_failure const& with, std::uint64_t nth, std::uint64_t times) {
    std::lock_guard const lock{mutex_};
    failures_ = {with};
    seen_ = failed_ = one_in_ = 0;
    first_ = nth;
    last_ = nth + times - 1;
  }
  /// One in `one_in`.
  void fail_at_random(std::uint64_t seed, std::uint64_t one_in) {
    std::lock_guard const lock{mutex_};
    failures_ = name_failures();
    random_.seed(seed);
    failed_ = 0;
    one_in_ = one_in;
  }
  std::uint64_t fail_no_more() {
    std::lock_guard const lock{mutex_};
    failures_.clear();
    return failed_;
  }

  /// @returns what the call is to return; 0: what it does otherwise
  int next() {
    std::lock_guard const lock{mutex_};
    if (failures_.empty()) return 0;
    ++seen_;
    if (one_in_ == 0 ? seen_ < first_ || seen_ > last_ : random_() % one_in_ != 0) return 0;
    auto const& with = failures_[random_() % failures_.size()];
    ++failed_;
    errno = with.error;
    return with.status;
  }

  std::atomic<std::int64_t> lists{0};  // of addresses, that have not been freed

private:
  std::mutex mutex_;
  std::vector<name_failure> failures_;
  std::mt19937_64 random_;
  std::uint64_t seen_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t one_in_ = 0;  // 0: not at random
  std::uint64_t failed_ = 0;
};

std::atomic<scripted_names*> script{nullptr};

scripted_names::scripted_names() { script.store(this); }
scripted_names::~scripted_names() { script.store(nullptr); }

/// The C library's, which the ones below stand in front of.
template <class F>
F* librarys(char const* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int getaddrinfo(char const* host, char const* service, addrinfo const* hints, addrinfo** found) {
  auto* const of = script.load();
  if (of != nullptr) {
    if (int const status = of->next(); status != 0) return status;
    host = "127.0.0.1";
  }
  int const status = librarys<decltype(::getaddrinfo)>("getaddrinfo")(host, service, hints, found);
  if (of != nullptr && status == 0) ++of->lists;
  return status;
}

extern "C" void freeaddrinfo(addrinfo* list) noexcept {
  if (auto* const of = script.load(); of != nullptr) --of->lists;
  librarys<void(addrinfo*)>("freeaddrinfo")(list);
}

extern "C" int getnameinfo(sockaddr const* of, socklen_t size, char* host, socklen_t host_size, char* service,
                           socklen_t service_size, int flags) {
  auto* const by = script.load();
  if (by == nullptr) {
    return librarys<decltype(::getnameinfo)>("getnameinfo")(of, size, host, host_size, service, service_size, flags);
  }
  if (int const status = by->next(); status != 0) return status;
  std::strncpy(host, "some.name", host_size);
  std::strncpy(service, "http", service_size);
  return 0;
}

namespace {

constexpr resolve_options anew{.max_age = 0s};
constexpr reverse_options name_anew{.max_age = 0s};

bool is_right(std::vector<endpoint> const& found) { return found == std::vector{endpoint{"127.0.0.1", 80}}; }

/// Ask for names, and do nothing else that could fail.
std::vector<entry_point> of_names() {
  using code = std::error_code;
  std::vector<entry_point> table;
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };

  add("resolve", [](stage& s) {
    s.inject([] { verify(is_right(resolve("some.name", 80, anew))); });
    verify(is_right(resolve("some.name", 80, anew)));
  });
  add("resolve, ec", [](stage& s) {
    s.inject_ec([](code& ec) {
      auto const found = resolve("some.name", 80, anew, ec);
      verify(ec ? found.empty() : is_right(found));
    });
    verify(is_right(resolve("some.name", 80, anew)));
  });
  add("resolve, a failure is not kept", [](stage& s) {
    forget_resolved();
    s.inject([] { verify(is_right(resolve("some.name", 80, {.max_age = 5min}))); });
    verify(is_right(resolve("some.name", 80, {.max_age = 5min})));
  });
  add("reverse", [](stage& s) {
    s.inject([] { verify(reverse({"127.0.0.1", 80}, name_anew).host == "some.name"); });
    verify(reverse({"127.0.0.1", 80}, name_anew).service == "http");
  });
  add("reverse, ec", [](stage& s) {
    s.inject_ec([](code& ec) { verify((reverse({"127.0.0.1", 80}, name_anew, ec).host == "some.name") == !ec); });
    verify(reverse({"127.0.0.1", 80}, name_anew).service == "http");
  });
  add("reverse, a failure is not kept", [](stage& s) {
    forget_resolved();
    s.inject([] { verify(reverse({"127.0.0.1", 80}).host == "some.name"); });
    verify(reverse({"127.0.0.1", 80}).host == "some.name");
  });
  add("tcp_stream::connect by name", [](stage& s) {
    auto listener = tcp_listener::bind(anywhere());
    auto const port = listener.local_endpoint().port();
    s.inject([&] { (void)tcp_stream::connect("some.name", port, {.names = anew}); });
    verify(tcp_stream::connect("some.name", port, {.names = anew}).is_open());
  });
  return table;
}

/// Connect to one of the two addresses of a name.
std::vector<entry_point> of_connecting(std::uint16_t port) {
  std::vector<entry_point> table;
  table.push_back({"tcp_stream::connect by name", [port](stage& s) {
                     s.inject([&] { (void)tcp_stream::connect("some.name", port); });
                     verify(tcp_stream::connect("some.name", port).is_open());
                   }});
  table.push_back({"tcp_stream::connect by name, ec", [port](stage& s) {
                     s.inject_ec([&](std::error_code& ec) {
                       auto const made = tcp_stream::connect("some.name", port, {}, ec);
                       verify(made.is_open() == !ec);
                     });
                     verify(tcp_stream::connect("some.name", port).is_open());
                   }});
  return table;
}

}  // namespace

TEST_CASE("each look-up of a name fails, with each error that there is: it is told, and the next one works",
          "[io][failures][resolve]") {
  auto const workers = some_workers();
  std::uint64_t failures = 0;
  scripted_names names;
  with_faults(workers, [&](io_faults& faults, watchdog& dog) {
    auto const table = of_names();
    for (auto const& with : name_failures()) {
      CAPTURE(with.error);
      for (auto const times : {std::uint64_t{1}, std::uint64_t{3}}) {
        for (auto const& e : table) {
          failures += exhaust(faults, dog, e.name, with.status, times, [&](std::uint64_t n) {
            stage s{[&] { names.fail(with, n, times); }, [&] { return names.fail_no_more(); }, with.expected,
                    fate::told};
            e.call(s);
            verify(names.lists == 0);
            return s.struck;
          });
        }
      }
    }
  });
  CHECK(failures >= 200);
}

TEST_CASE("an answer that is kept is not lost when look-ups begin to fail", "[io][failures][resolve]") {
  scripted_names names;
  run_on(some_workers(), [&] {
    forget_resolved();
    verify(is_right(resolve("some.name", 80)));
    names.fail(name_failures().front(), 1, 1'000'000);
    std::error_code ec;
    verify(resolve("some.name", 80, anew, ec).empty() && ec == name_error::try_again);
    verify(is_right(resolve("some.name", 80, {.max_age = 5min})));
    verify(resolve("other.name", 80, {}, ec).empty() && ec == name_error::try_again);
    verify(names.fail_no_more() == 2);
    forget_resolved();
  });
}

TEST_CASE("look-ups that fail at random: each ends, with what it asked for or with its error",
          "[io][failures][resolve]") {
  auto const workers = some_workers();
  auto const seed = GENERATE(1U, 2U, 3U, 4U);
  CAPTURE(seed);
  scripted_names names;
  with_faults(workers, [&](io_faults&, watchdog& dog) {
    names.fail_at_random(seed, 3);
    std::atomic<std::uint64_t> told{0};
    std::vector<weft::task<void>> asking;
    for (int i = 0; i < 8; ++i) {
      asking.push_back(weft::spawn([&] {
        for (int n = 0; n < 25; ++n) {
          std::error_code ec;
          if (n % 2 == 0) {
            auto const found = resolve("some.name", 80, anew, ec);
            verify(ec ? found.empty() : is_right(found));
          } else {
            verify((reverse({"127.0.0.1", 80}, name_anew, ec).host == "some.name") == !ec);
          }
          if (ec) ++told;
          verify(!ec || std::any_of(name_failures().begin(), name_failures().end(),
                                    [&](name_failure const& f) { return ec == f.expected; }));
          dog.feed();
        }
      }));
    }
    for (auto& a : asking) a.get();
    CHECK(names.fail_no_more() == told);
    CHECK(told > 20);
    CHECK(names.lists == 0);
    CHECK(is_right(resolve("some.name", 80, anew)));
  });
}

TEST_CASE("each kind of call fails that connecting by a name makes: the other address is taken, or it is told",
          "[io][failures][resolve]") {
  using enum std::errc;
  auto const workers = some_workers();
  auto const names = std::make_shared<fake_names>();
  names->answer = [](auto&, std::vector<endpoint>& found) {
    found = {{"127.0.0.1", 0}, {"127.0.0.1", 0}};
    return std::error_code{};
  };
  calls_with_names const calls{names};
  auto const listener = tcp_listener::bind(anywhere());  // its backlog takes all
  auto const failures = fail_each(
      workers, of_connecting(listener.local_endpoint().port()),
      {{{io_call::socket}, fate::either, {too_many_files_open, not_enough_memory, permission_denied}},
       {{io_call::connect}, fate::either, {connection_refused, network_unreachable, timed_out, host_unreachable}},
       {{io_call::connect}, fate::hidden, {interrupted}},
       {{io_call::getsockopt}, fate::either, {no_buffer_space}},
       {{io_call::close}, fate::hidden, {interrupted, io_error}}});
  CHECK(failures >= 50);
}
