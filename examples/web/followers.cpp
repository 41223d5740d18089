/// How many follow each of several users: asked for one after the other, and all at once. One who is not there spoils
/// nothing for the others.
///
///     followers SERVICE USER...    asks for SERVICE/users/USER

#include "http.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::int64_t followers(std::string const& service, std::string const& user) {
  auto const answer = http::get(service + "/users/" + user);
  if (!answer.ok()) throw std::runtime_error(http::status_text(answer.status));
  return boost::json::parse(answer.body).at("followers").as_int64();
}

void print(std::vector<std::string> const& users, std::vector<weft::outcome<std::int64_t>> const& counts) {
  for (std::size_t i = 0; i < users.size(); ++i) {
    try {
      std::printf("  %s: %lld\n", users[i].c_str(), static_cast<long long>(counts[i].value()));
    } catch (std::exception const& e) {
      std::printf("  %s: %s\n", users[i].c_str(), e.what());
    }
  }
}

double seconds_since(weft::clock::time_point start) {
  return std::chrono::duration<double>(weft::clock::now() - start).count();
}

void program(std::string const& service, std::vector<std::string> const& users) {
  std::vector<weft::task<std::int64_t>> tasks;
  auto start = weft::clock::now();
  std::vector<weft::outcome<std::int64_t>> counts;
  for (auto const& user : users) {
    auto [count] = weft::gather_settled([&] { return followers(service, user); });
    counts.push_back(count);
  }
  std::printf("one by one: %.2f s\n", seconds_since(start));
  print(users, counts);

  start = weft::clock::now();
  for (auto const& user : users) tasks.push_back(weft::spawn([&] { return followers(service, user); }));
  counts = weft::gather_settled(tasks);
  std::printf("together: %.2f s\n", seconds_since(start));
  print(users, counts);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: followers SERVICE USER...\n");
    return 2;
  }
  return http::run([=] { program(argv[1], {argv + 2, argv + argc}); });
}
