/// @file
/// The downloader on a simulated network and a simulated disk, with faults, for many seeds. With -DWEFT_SOAK=ON once
/// more with 10,000.

#include "download.hpp"
#include "examples/web_world.hpp"
#include "support/catch.hpp"
#include "support/scale.hpp"

#include <weft/runtime/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <set>
#include <string>

namespace {

using namespace std::chrono_literals;
using namespace weft::test;
using weft::testing::file_options;
using weft::testing::network_options;

constexpr std::uint64_t seeds = full_length ? 10'000 : scaled(200);

std::string expected(std::size_t size) {
  std::string all;
  while (all.size() < size) all += stand_in::bytes(all.size(), std::min<std::size_t>(65'536, size - all.size()));
  return all;
}

struct outcome {
  bool returned = false;
  bool late = false;
  std::string why{};
};

outcome try_to_download(std::string const& url) {
  try {
    (void)weft::with_timeout(100s, [&] { return download(url, "/data/file"); });
    return {.returned = true};
  } catch (weft::timeout_error const&) {
    return {.late = true};
  } catch (std::exception const& e) {
    return {.why = e.what()};
  }
}

}  // namespace

TEST_CASE("with faults of network and disk the file is there whole, or as before, for every seed",
          "[examples][simulation][soak]") {
  constexpr std::array<std::size_t, 4> sizes{0, 1, 70'000, 300'000};
  constexpr std::array<char const*, 5> ways{"?", "?chunked=1", "?", "?cut=50000", "?stall=50000"};
  std::set<std::uint64_t> hashes;
  std::size_t whole = 0;
  std::size_t broken = 0;
  std::size_t late = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    INFO("seed " << seed);
    auto const size = sizes[seed % sizes.size()];
    auto const way = seed % ways.size();
    bool const incomplete = way >= 3 && size > 50'000;
    std::optional<std::string> before;
    web_world world{seed, network_options::with_faults(), file_options::with_faults()};
    if (seed % 3 == 0) world.files().add_file("/data/file", before.emplace("what was there"));
    outcome had;
    auto const run = [&] {
      return world.run([&] { had = try_to_download("http://127.0.0.1/bytes/" + std::to_string(size) + ways[way]); });
    };
    std::uint64_t hash = 0;
    REQUIRE_NOTHROW(hash = run());
    hashes.insert(hash);

    auto const now = world.files().contents_of("/data/file");
    bool const is_whole = now && *now == expected(size);
    INFO("size " << size << ", " << ways[way] << ": " << had.why);
    if (had.returned) REQUIRE(is_whole);
    if (incomplete) REQUIRE_FALSE(had.returned);
    // A failure to bring the new name to the disk comes when the file is there.
    if (!is_whole) REQUIRE(now == before);
    for (auto const& path : world.files().paths()) {
      REQUIRE((path == "/data" || path == "/tmp" || (path == "/data/file" && now)));
    }
    whole += had.returned ? 1U : 0U;
    late += had.late ? 1U : 0U;
    broken += had.why.empty() ? 0U : 1U;
    if (seed % 64 == 0) REQUIRE(run() == hash);
  }
  CHECK(hashes.size() > seeds / 2);
  if (seeds < 100) return;  // too few to meet all
  CHECK(whole > seeds / 10);
  CHECK(broken > seeds / 10);
  CHECK(late > 0);
}

TEST_CASE("without faults it is whole, and what the service cuts off leaves nothing", "[examples][simulation]") {
  for (std::uint64_t seed = 0; seed < scaled(20); ++seed) {
    INFO("seed " << seed);
    web_world world{seed, {}, {}};
    world.run([&] {
      for (std::size_t const size : {0U, 1U, 262'144U, 262'145U, 1'000'000U}) {
        auto const url = "http://127.0.0.1/bytes/" + std::to_string(size);
        for (char const* const how : {"", "?chunked=1"}) {
          verify(download(url + how, "/data/file") == size);
          verify(world.files().contents_of("/data/file") == expected(size));
        }
        if (size == 0) continue;
        verify(!try_to_download(url + "?cut=" + std::to_string(size - 1)).why.empty());
        verify(try_to_download(url + "?stall=" + std::to_string(size - 1)).late);
        verify(world.files().contents_of("/data/file") == expected(size));
      }
      verify(!try_to_download("http://127.0.0.1/nowhere").why.empty());
      verify(!try_to_download("http://127.0.0.1:81/").why.empty());
    });
    CHECK(world.files().paths() == std::vector<std::string>{"/data", "/data/file", "/tmp"});
  }
}
