/// @file
/// How serve() goes on when accept() fails, with a listener that does as it is told, in virtual time.

#include "support/catch.hpp"
#include "support/run_on.hpp"

#include <weft/io/serve.hpp>
#include <weft/io/testing.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/testing.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using weft::io::serve;
using weft::testing::io_call;
using weft::testing::io_faults;

namespace {

struct no_stream {};

/// Gives the results of a list, one after another, and then is closed; notes when it was asked.
class told_listener {
public:
  static constexpr int good = 0;
  static constexpr int no_memory = -1;  // throws std::bad_alloc

  explicit told_listener(std::vector<int> results, std::error_category const& of = std::generic_category())
      : results_(std::move(results)), category_(&of) {}

  no_stream accept(std::error_code& ec) {
    asked_.push_back(weft::testing::now());
    ec.clear();
    if (asked_.size() > results_.size()) close();
    if (!open_) {
      ec = std::make_error_code(std::errc::bad_file_descriptor);
      return {};
    }
    int const result = results_[asked_.size() - 1];
    if (result == no_memory) throw std::bad_alloc{};
    if (result != good) ec = {result, *category_};
    return {};
  }
  [[nodiscard]] bool is_open() const { return open_; }
  void close() { open_ = false; }

  /// How long it took from each accept() to the next, in milliseconds.
  [[nodiscard]] std::vector<long> pauses() const {
    std::vector<long> result;
    for (std::size_t i = 1; i < asked_.size(); ++i) {
      result.push_back(static_cast<long>((asked_[i] - asked_[i - 1]) / 1ms));
    }
    return result;
  }

private:
  std::vector<int> results_;
  std::error_category const* category_;
  std::vector<weft::time_point> asked_;
  bool open_ = true;
};

template <class F>
void in_virtual_time(F&& f) {
  weft::test::run_with(weft::testing::in_virtual_time(), std::forward<F>(f));
}

constexpr auto ignore = [](no_stream) {};
constexpr int good = told_listener::good;

}  // namespace

TEST_CASE("H24: out of descriptors the reserve is used at once; without one, pauses grow from 5 ms and stay below 1 s",
          "[io][serve][hazard][H24]") {
  in_virtual_time([] {
    told_listener listener{{EMFILE, EMFILE, EMFILE, ENFILE, EMFILE, EMFILE, EMFILE, EMFILE, EMFILE, EMFILE, EMFILE,
                            good, EMFILE, EMFILE, EMFILE, good}};
    auto const summary = serve(listener, ignore);
    CHECK(summary.served == 2);
    CHECK(listener.pauses() == std::vector<long>{0, 5, 10, 20, 40, 80, 160, 320, 640, 640, 640, 0, 0, 5, 10, 0});
  });
}

TEST_CASE("H24: what is accepted in place of the reserve is refused, with a pause after each 16", "[io][serve][H24]") {
  in_virtual_time([] {
    io_faults faults;
    std::vector<int> results(101, good);
    results.front() = EMFILE;
    told_listener listener{results};
    faults.fail(io_call::socket, std::errc::too_many_files_open, 2, 80);
    auto const summary = serve(listener, ignore);
    CHECK(summary.refused == 80);
    CHECK(summary.served == 20);
    std::vector<long> expected(101, 0);
    for (std::size_t i = 16; i <= 80; i += 16) expected[i] = 5;
    CHECK(listener.pauses() == expected);
    CHECK(faults.open_descriptors() == 0);
  });
}

TEST_CASE("without memory it tries again after a pause; a connection that was lost is counted", "[io][serve]") {
  in_virtual_time([] {
    told_listener listener{{ENOMEM, ENOBUFS, told_listener::no_memory, good, told_listener::no_memory, good}};
    auto const summary = serve(listener, ignore);
    CHECK(summary.served == 2);
    CHECK(summary.refused == 2);
    CHECK(listener.pauses() == std::vector<long>{5, 10, 20, 0, 5, 0});
  });
}

TEST_CASE("errors of one connection are passed over, without a spin if there is no end of them", "[io][serve]") {
  in_virtual_time([] {
    std::vector<int> results{ECONNABORTED, EPROTO,       EPERM,      ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                             ENONET,       EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT,   ECONNRESET};
    told_listener listener{results};
    CHECK(serve(listener, ignore).served == 0);
    CHECK(listener.pauses() == std::vector<long>(results.size(), 0));
    told_listener endless{std::vector<int>(40, EPROTO)};
    CHECK(serve(endless, ignore).served == 0);
    std::vector<long> expected(40, 0);
    expected[15] = expected[31] = 5;
    CHECK(endless.pauses() == expected);
  });
}

TEST_CASE("errors of a listener's own kind are those of one connection, whatever their number", "[io][serve]") {
  struct handshakes : std::error_category {
    [[nodiscard]] char const* name() const noexcept override { return "handshakes"; }
    [[nodiscard]] std::string message(int) const override { return "the client speaks something else"; }
  };
  static handshakes const failed;
  in_virtual_time([] {
    told_listener listener{{EMFILE, good, EINVAL, good, 0x0A000086}, failed};
    CHECK(serve(listener, ignore).served == 2);
    CHECK(listener.pauses() == std::vector<long>(5, 0));
  });
}

TEST_CASE("a listener that is broken ends the server, when its handlers have ended", "[io][serve]") {
  in_virtual_time([] {
    told_listener listener{{good, EINVAL}};
    bool ended = false;
    auto const handler = [&](no_stream) {
      weft::sleep_for(1s);
      ended = true;
    };
    CHECK_THROWS_WITH(serve(listener, handler), Catch::Matchers::Contains("accepting connections"));
    CHECK(ended);
    CHECK_FALSE(listener.is_open());
  });
}

TEST_CASE("a pause ends at once when the server is stopped or cancelled", "[io][serve]") {
  in_virtual_time([] {
    bool const cancel = GENERATE(false, true);
    told_listener listener{std::vector<int>(1000, ENOMEM)};
    std::stop_source stop;
    auto server = weft::spawn([&] { return serve(listener, ignore, {.stop = stop.get_token()}); });
    weft::sleep_for(1s);
    auto const now = weft::testing::now();
    if (cancel) {
      server.cancel();
      CHECK_THROWS_AS(server.get(), weft::cancelled);
    } else {
      stop.request_stop();
      CHECK(server.get().served == 0);
    }
    CHECK(weft::testing::now() == now);
  });
}
