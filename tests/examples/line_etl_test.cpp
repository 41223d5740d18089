/// @file
/// The three stages of etl::run() on a simulated network and a simulated disk, with and without faults, for many seeds.
/// With -DWEFT_SOAK=ON once more with 10,000.

#include "etl.hpp"
#include "examples/web_world.hpp"
#include "support/catch.hpp"
#include "support/scale.hpp"

#include <weft/runtime/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::file_options;
using weft::testing::network_options;

constexpr std::uint64_t seeds = full_length ? 10'000 : scaled(200);

/// Takes time, and refuses what Ben has to do with.
std::optional<std::string> change(std::string_view line) {
  weft::testing::spend(20us);
  if (line.find(",ben,") != line.npos) return std::nullopt;
  return std::string(line).append(";");
}

std::string expected(std::uint64_t lines) {
  std::string all;
  for (std::uint64_t i = 0; i < lines; ++i) {
    auto line = stand_in::line(i);
    line.pop_back();
    if (line.find(",ben,") == line.npos) all.append(line).append(";\n");
  }
  return all;
}

}  // namespace

TEST_CASE("with faults of network and disk the file is there whole, or not at all, for every seed",
          "[examples][simulation][soak]") {
  std::set<std::uint64_t> hashes;
  std::size_t whole = 0;
  std::size_t broken = 0;
  std::size_t given_up = 0;
  auto const all = expected(5000);
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    INFO("seed " << seed);
    web_world world{seed, network_options::with_faults(), file_options::with_faults()};
    std::string why;
    bool returned = false;
    auto const run = [&] {
      why.clear();
      returned = false;
      return world.run([&] {
        try {
          // Some are given up in the middle.
          auto const limit = seed % 4 == 0 ? std::chrono::milliseconds{seed % 97} : 1000s;
          auto const had = weft::with_timeout(
              limit, [] { return etl::run("http://127.0.0.1/lines/5000", "/data/out", change); });
          verify(had.lines == 5000 && had.refused == 1000);
          returned = true;
        } catch (std::exception const& e) {
          why = e.what();
        }
      });
    };
    std::uint64_t hash = 0;
    REQUIRE_NOTHROW(hash = run());
    hashes.insert(hash);

    INFO(why);
    auto const now = world.files().contents_of("/data/out");
    if (now) REQUIRE(*now == all);
    if (returned) REQUIRE(now);
    REQUIRE(world.files().paths() ==
            (now ? std::vector<std::string>{"/data", "/data/out", "/tmp"} : std::vector<std::string>{"/data", "/tmp"}));
    whole += returned ? 1U : 0U;
    broken += seed % 4 != 0 && !returned ? 1U : 0U;
    given_up += seed % 4 == 0 && !returned ? 1U : 0U;
    if (seed % 64 == 0) REQUIRE(run() == hash);
  }
  CHECK(hashes.size() > seeds / 2);
  if (seeds < 100) return;  // too few to meet all
  CHECK(whole > seeds / 10);
  CHECK(broken > seeds / 10);
  CHECK(given_up > seeds / 20);
}

TEST_CASE("it takes less time than its stages one after the other", "[examples][simulation]") {
  for (std::uint64_t seed = 0; seed < scaled(20); ++seed) {
    INFO("seed " << seed);
    web_world world{seed, {}, {.min_latency = 5ms, .max_latency = 15ms}};  // each write takes that long
    etl::summary had;
    world.run([&] { had = etl::run("http://127.0.0.1/lines/20000?pause=1", "/data/out", change); });
    CHECK(world.files().contents_of("/data/out") == expected(20'000));
    CHECK(had.reading > 20ms);
    CHECK(had.changing >= 400ms);
    CHECK(had.writing > 50ms);
    CHECK(had.all < (had.reading + had.changing + had.writing) * 9 / 10);
    CHECK(had.all >= had.changing);
  }
}
