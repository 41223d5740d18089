/// Starts jobs at a service, and asks after each until it is done, or has taken too long.
///
///     polling SERVICE JOBS INTERVAL_MS LIMIT_MS    posts to SERVICE/jobs, and asks for SERVICE/jobs/NUMBER

#include "http.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

boost::json::value checked(http::response const& answer) {
  if (!answer.ok()) throw std::runtime_error(http::status_text(answer.status));
  return boost::json::parse(answer.body);
}

struct service {
  std::string url;
  std::chrono::milliseconds interval;
  std::chrono::milliseconds limit;

  [[nodiscard]] std::string start() const {
    return std::to_string(checked(http::post(url + "/jobs", "{}", "application/json")).at("job").as_int64());
  }

  /// @returns how often it had to ask
  [[nodiscard]] int wait_for(std::string const& job) const {
    return weft::with_timeout(limit, [&] {
      for (int polls = 1;; ++polls) {
        if (checked(http::get(url + "/jobs/" + job)).at("state").as_string() == "done") return polls;
        weft::sleep_for(interval);
      }
    });
  }

  [[nodiscard]] std::string run_one() const {
    std::string job;
    try {
      job = start();
      return "job " + job + ": done, after " + std::to_string(wait_for(job)) + " polls";
    } catch (weft::timeout_error const&) {
      return "job " + job + ": not done after " + std::to_string(limit.count()) + " ms";
    } catch (std::exception const& e) {
      return "job " + job + ": " + e.what();
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: polling SERVICE JOBS INTERVAL_MS LIMIT_MS\n");
    return 2;
  }
  service const jobs{argv[1], std::chrono::milliseconds{std::atoi(argv[3])},
                     std::chrono::milliseconds{std::atoi(argv[4])}};
  return http::run([&, count = std::atoi(argv[2])] {
    std::vector<weft::task<std::string>> all;
    for (int i = 0; i < count; ++i) all.push_back(weft::spawn([&] { return jobs.run_one(); }));
    for (auto& each : weft::as_completed(all)) std::printf("%s\n", each.get().c_str());
  });
}
