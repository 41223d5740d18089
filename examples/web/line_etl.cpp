/// Takes lines `NUMBER,NAME,AMOUNT` from a URL and makes a file of JSON lines of them, each with a seal that takes a
/// while to compute. Reading, computing and writing go on at the same time.
///
///     line_etl URL FILE [ROUNDS]    of the seal's computation, for each line: 1000

#include "etl.hpp"
#include "http.hpp"

#include <boost/json.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace {

std::uint64_t seal_of(std::string_view line, int rounds) {
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a, again and again
  for (int i = 0; i < rounds; ++i) {
    for (char const c : line) hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211U;
  }
  return hash;
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  auto const [stopped, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || stopped != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> record(std::string_view line, int rounds) {
  auto const first = line.find(',');
  auto const second = first == line.npos ? first : line.find(',', first + 1);
  if (second == line.npos) return std::nullopt;
  auto const which = number(line.substr(0, first));
  auto const amount = number(line.substr(second + 1));
  if (!which || !amount) return std::nullopt;
  auto const name = line.substr(first + 1, second - first - 1);
  return boost::json::serialize(boost::json::object{{"number", *which},
                                                    {"name", boost::json::string_view(name.data(), name.size())},
                                                    {"amount", *amount},
                                                    {"seal", seal_of(line, rounds)}});
}

double seconds(std::chrono::nanoseconds d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: line_etl URL FILE [ROUNDS]\n");
    return 2;
  }
  auto const rounds = argc > 3 ? std::atoi(argv[3]) : 1000;
  return http::run([=] {
    auto const had = etl::run(argv[1], argv[2], [rounds](std::string_view line) { return record(line, rounds); });
    std::printf("%llu lines, %llu refused\n", static_cast<unsigned long long>(had.lines),
                static_cast<unsigned long long>(had.refused));
    std::printf("reading %.2f s, changing %.2f s, writing %.2f s; all in %.2f s\n", seconds(had.reading),
                seconds(had.changing), seconds(had.writing), seconds(had.all));
  });
}
