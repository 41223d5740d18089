/// @file
/// A cluster of echo servers and their clients on the simulated network, with faults, for many seeds; and a planted
/// lost wake-up, which has to be found. With -DWEFT_SOAK=ON once more with 10,000 seeds.

#include "io/echo_cluster.hpp"
#include "support/catch.hpp"
#include "support/scale.hpp"

#include <weft/io/detail/system_calls.hpp>
#include <weft/io/testing/simulated_network.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace weft::test;
using weft::testing::network_options;
using weft::testing::simulated_network;
using weft::testing::simulation;

constexpr std::uint64_t seeds = full_length ? 10'000 : scaled(300);
constexpr int repetitions = full_length ? 1000 : static_cast<int>(scaled(50));
constexpr std::uint64_t seeds_to_find_a_flaw = 2000;

/// The whole program from one seed.
echo_counts run_cluster(simulation& sim, simulated_network& net) {
  auto const counts = sim.run([] {
    auto const at_the_end = echo_cluster{}.run();
    weft::testing::expect_no_leaks();
    return at_the_end;
  });
  verify(counts.messages == 12);
  verify(net.open_descriptors() == 0);
  return counts;
}

/// Passes all on to the simulated network, but for one report: the n-th fiber that is about to wait for what is ready
/// by now is not told.
class loses_a_report final : public weft::detail::system_calls, public weft::detail::readiness_source {
public:
  loses_a_report(simulated_network& net, unsigned which) noexcept
      : inner_(net.calls()), reports_(net.reports()), which_(which) {}

  void wanted(weft::detail::polled_descriptor& of, weft::detail::readiness what) noexcept override {
    if (++count_ != which_) reports_.wanted(of, what);
  }
  void watched(weft::detail::polled_descriptor& of) noexcept override {
    inner_.watched(of);
    of.reported_by(*this);
  }

  int socket(int d, int t, int p) noexcept override { return inner_.socket(d, t, p); }
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override { return inner_.bind(fd, to, size); }
  int listen(int fd, int backlog) noexcept override { return inner_.listen(fd, backlog); }
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override { return inner_.accept(fd, from, size); }
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override { return inner_.connect(fd, to, size); }
  int shutdown(int fd, int how) noexcept override { return inner_.shutdown(fd, how); }
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override {
    return inner_.getsockname(fd, name, size);
  }
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override {
    return inner_.getpeername(fd, name, size);
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override {
    return inner_.getsockopt(fd, level, name, value, size);
  }
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override {
    return inner_.setsockopt(fd, level, name, value, size);
  }
  int socketpair(int d, int t, int p, int (&fds)[2]) noexcept override { return inner_.socketpair(d, t, p, fds); }
  int pipe(int (&fds)[2]) noexcept override { return inner_.pipe(fds); }
  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override {
    return inner_.recv(fd, to, size, flags);
  }
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override {
    return inner_.send(fd, from, size, flags);
  }
  ssize_t recvmsg(int fd, msghdr* m, int flags) noexcept override { return inner_.recvmsg(fd, m, flags); }
  ssize_t sendmsg(int fd, msghdr const* m, int flags) noexcept override { return inner_.sendmsg(fd, m, flags); }
  ssize_t read(int fd, void* to, std::size_t size) noexcept override { return inner_.read(fd, to, size); }
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override { return inner_.write(fd, from, size); }
  ssize_t readv(int fd, iovec const* to, int count) noexcept override { return inner_.readv(fd, to, count); }
  ssize_t writev(int fd, iovec const* from, int count) noexcept override { return inner_.writev(fd, from, count); }
  int close(int fd) noexcept override { return inner_.close(fd); }
  [[nodiscard]] weft::detail::descriptor_kind kind() const noexcept override { return inner_.kind(); }

private:
  weft::detail::system_calls& inner_;
  weft::detail::readiness_source& reports_;
  unsigned const which_;
  std::atomic<unsigned> count_{0};
};

struct failure {
  std::uint64_t hash = 0;
  std::string what;
};

/// What goes wrong where the `which`-th report is lost (0: none), if anything does.
std::optional<failure> run_with_flaw(std::uint64_t seed, unsigned which) {
  weft::testing::simulation_options quiet{.report_failure = false};
  quiet.runtime.on_unhandled_exception = [](std::exception_ptr const&, std::string_view) {};
  simulation sim{seed, std::move(quiet)};
  auto faults = network_options::with_faults();
  faults.partial = 0.5;
  simulated_network net{sim, faults};
  loses_a_report flawed{net, which};
  net.wrap_calls(&flawed);
  try {
    (void)run_cluster(sim, net);
  } catch (std::exception const& e) {
    return failure{sim.trace_hash(), e.what()};
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("echo cluster: with faults every message comes back, for every seed", "[io][simulation][soak]") {
  std::set<std::uint64_t> hashes;
  echo_counts all;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    simulation sim{seed};
    simulated_network net{sim, network_options::with_faults()};
    INFO("seed " << seed);
    echo_counts counts;
    REQUIRE_NOTHROW(counts = run_cluster(sim, net));
    all.connections += counts.connections;
    all.lost += counts.lost;
    hashes.insert(sim.trace_hash());
  }
  CHECK(hashes.size() == seeds);
  CHECK(all.lost > seeds);            // the faults were there,
  CHECK(all.lost < all.connections);  // and did not end all
}

TEST_CASE("echo cluster: one seed has one trace, whatever ran before", "[io][simulation][soak]") {
  std::optional<std::uint64_t> first;
  for (int i = 0; i < repetitions; ++i) {
    simulation sim{7};
    simulated_network net{sim, network_options::with_faults()};
    (void)run_cluster(sim, net);
    if (!first) first = sim.trace_hash();
    REQUIRE(sim.trace_hash() == *first);
    if (i % 10 == 0) {  // the same objects once more
      (void)run_cluster(sim, net);
      REQUIRE(sim.trace_hash() == *first);
    }
    simulation other{static_cast<std::uint64_t>(i) + 1000};
    simulated_network another{other, network_options::with_faults()};
    (void)run_cluster(other, another);
    REQUIRE(other.trace_hash() != *first);
  }
}

TEST_CASE("echo cluster: a planted lost wake-up is found, and comes again from its seed", "[io][simulation]") {
  constexpr unsigned which = 20;
  std::optional<failure> found;
  std::uint64_t seed = 0;
  for (; !found && seed < seeds_to_find_a_flaw; ++seed) {
    REQUIRE_FALSE(run_with_flaw(seed, 0));
    found = run_with_flaw(seed, which);
  }
  REQUIRE(found);
  CHECK_THAT(found->what, Catch::Matchers::Contains("deadlock") && Catch::Matchers::Contains("descriptor"));
  --seed;
  for (int i = 0; i < 10; ++i) {
    auto const again = run_with_flaw(seed, which);
    REQUIRE(again);
    CHECK(again->hash == found->hash);
    CHECK(again->what == found->what);
  }
}
