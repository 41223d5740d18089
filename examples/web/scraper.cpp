/// Loads many pages, a few at a time, none for longer than a limit. A page that fails is told of, and the others go on.
///
///     scraper AT_ONCE LIMIT_MS URL...

#include "http.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

class scraper {
public:
  struct options {
    std::ptrdiff_t at_once = 10;
    std::chrono::milliseconds limit{10'000};  ///< for each page
    std::function<void(std::string const& url, std::string const& why)> on_failure{};
  };

  explicit scraper(options how) : options_(std::move(how)), free_(options_.at_once) {}

  /// Calls `use(url, page)` for each that could be loaded, in order of arrival.
  template <class F>
  void scrape(std::vector<std::string> const& urls, F use) {
    weft::with_task_group([&](weft::task_group& group) {
      for (auto const& url : urls) {
        group.spawn([&] {
          auto const permit = free_.acquire_scoped();
          try {
            use(url, load(url));
          } catch (weft::timeout_error const&) {
            failed(url, "no answer within " + std::to_string(options_.limit.count()) + " ms");
          } catch (std::exception const& e) {
            failed(url, e.what());
          }
        });
      }
    });
  }
  [[nodiscard]] std::size_t failures() const noexcept { return failures_; }

private:
  [[nodiscard]] std::string load(std::string const& url) const {
    auto page = weft::with_timeout(options_.limit, [&] { return http::get(url); });
    if (!page.ok()) throw std::runtime_error(http::status_text(page.status));
    return std::move(page.body);
  }
  void failed(std::string const& url, std::string const& why) {
    ++failures_;
    if (options_.on_failure) options_.on_failure(url, why);
  }

  options const options_;
  weft::semaphore free_;
  std::atomic<std::size_t> failures_{0};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || std::atoi(argv[1]) < 1) {
    std::fprintf(stderr, "usage: scraper AT_ONCE LIMIT_MS URL...\n");
    return 2;
  }
  return http::run([=] {
    scraper pages{
        {.at_once = std::atoi(argv[1]),
         .limit = std::chrono::milliseconds{std::atoi(argv[2])},
         .on_failure = [](auto const& url, auto const& why) { std::printf("%s: %s\n", url.c_str(), why.c_str()); }}};
    std::atomic<std::size_t> loaded = 0;
    std::atomic<std::size_t> bytes = 0;
    pages.scrape({argv + 3, argv + argc}, [&](std::string const&, std::string const& page) {
      ++loaded;
      bytes += page.size();
    });
    std::printf("%zu pages, %zu bytes, %zu failed\n", loaded.load(), bytes.load(), pages.failures());
  });
}
