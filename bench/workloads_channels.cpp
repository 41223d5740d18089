/// @file
/// W4, W5 and W6 on weft.

#include "workload.hpp"
#include "workloads.hpp"

#include <weft/weft.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

using number_channel = weft::channel<std::uint64_t>;

void skynet(number_channel& to, std::uint64_t num, std::uint64_t size, weft::spawn_options const& how) {
  if (size == 1) return to.send(num);
  number_channel from{bench::w4_children};
  std::array<weft::task<void>, bench::w4_children> children;
  size /= bench::w4_children;
  for (std::uint64_t i = 0; i < children.size(); ++i) {
    children[i] = weft::spawn(how, [&from, &how, num, size, i] { skynet(from, num + i * size, size, how); });
  }
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < children.size(); ++i) sum += *from.receive();
  to.send(sum);
}

}  // namespace

void skynet(weft::start start) {
  auto const leaves = bench::size("W4_N", 1'000'000);
  weft::spawn_options const how{.start = start};
  number_channel answer{bench::w4_children};
  bench::stopwatch const watch;
  auto root = weft::spawn(how, [&] { skynet(answer, 0, leaves, how); });
  auto const sum = *answer.receive();
  double const ms = watch.milliseconds();
  root.get();
  bench::check(sum == bench::w4_sum(leaves), "sum of the leaves");
  bench::metric("wall_ms", ms, "ms");
  bench::metric("peak_rss_mib", static_cast<double>(bench::memory_bytes("VmHWM")) / (1 << 20), "MiB");
}

void pingpong() {
  auto const rounds = bench::size("W5_N", 1'000'000);
  number_channel ping;
  number_channel pong;
  std::uint64_t sum = 0;
  bench::stopwatch const watch;
  auto b = weft::spawn([&] {
    for (std::size_t i = 0; i < rounds; ++i) pong.send(*ping.receive() + 1);
  });
  auto a = weft::spawn([&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      ping.send(i);
      sum += *pong.receive();
    }
  });
  a.get();
  b.get();
  double const ns = watch.nanoseconds_per(rounds);
  bench::check(sum == bench::w5_sum(rounds), "sum of the answers");
  bench::metric("ns_per_round_trip", ns, "ns");
}

void mpmc_channel() {
  auto const messages = bench::size("W6_N", 4'000'000);
  number_channel channel{bench::w6_capacity};
  std::vector<weft::task<void>> producers;
  std::vector<weft::task<std::uint64_t>> consumers;
  bench::stopwatch const watch;
  for (std::size_t p = 0; p < bench::w6_tasks; ++p) {
    producers.push_back(weft::spawn([&channel, p, messages] {
      for (std::size_t i = p; i < messages; i += bench::w6_tasks) channel.send(i);
    }));
  }
  for (std::size_t c = 0; c < bench::w6_tasks; ++c) {
    consumers.push_back(weft::spawn([&channel] {
      std::uint64_t sum = 0;
      while (auto const value = channel.receive()) sum += *value;
      return sum;
    }));
  }
  for (auto& task : producers) task.get();
  channel.close();
  std::uint64_t sum = 0;
  for (auto& task : consumers) sum += task.get();
  double const ns = watch.nanoseconds_per(messages);
  bench::check(sum == bench::w6_sum(messages), "sum of the messages");
  bench::metric("ns_per_message", ns, "ns");
}
