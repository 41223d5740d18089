#include "stand_in.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace {

constexpr std::size_t block = 64 * 1024;

/// Not by std::stoull(), which uses `errno` here, where the compiler may keep its address over a wait: and after it the
/// fiber may be on another thread.
std::uint64_t number_in(std::string const& text) {
  std::uint64_t number = 0;
  auto const* const end = text.data() + text.size();
  auto const [stopped, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stopped != end) throw std::invalid_argument(text + ": no number");
  return number;
}

std::uint64_t number_in(http::request const& asked, std::string_view name, std::uint64_t otherwise) {
  auto const text = asked.query(name);
  return text ? number_in(*text) : otherwise;
}

void sleep_ms(std::uint64_t ms) {
  if (ms != 0) weft::sleep_for(std::chrono::milliseconds{ms});
}

http::response json(std::string text, unsigned status = 200) {
  http::response answer{.status = status};
  answer.body = std::move(text.append("\n"));
  answer.headers.add("Content-Type", "application/json");
  return answer;
}

http::response not_found() { return {.status = 404, .body = "there is no such thing\n"}; }

http::response user(http::request const&, std::string const& name) {
  std::map<std::string, int> const followers{{"ana", 120}, {"ben", 45}, {"carla", 7}};
  auto const found = followers.find(name);
  if (found == followers.end()) return not_found();
  return json(R"({"login": ")" + name + R"(", "followers": )" + std::to_string(found->second) + "}");
}

http::response fields(http::request const&, std::string const& count) {
  std::string text;
  for (std::uint64_t i = 1; i <= number_in(count); ++i) {
    text.append(text.empty() ? "" : ", ").append("\"field").append(std::to_string(i)).append("\": ");
    text.append(std::to_string(i * i));
  }
  return json("{" + text + "}");
}

http::response page(http::request const&, std::string const& number) {
  auto const k = number_in(number);
  if (k < 1 || k > 5) return not_found();
  std::string text = R"({"items": [)";
  for (auto i = 3 * k - 2; i <= 3 * k; ++i) {
    text.append("\"item ").append(std::to_string(i)).append(i < 3 * k ? "\", " : "\"]");
  }
  text.append(R"(, "next": )");
  return json(k < 5 ? text.append("\"/pages/").append(std::to_string(k + 1)).append("\"}") : text.append("null}"));
}

http::response some_bytes(http::request const& asked, std::string const& count) {
  auto const size = number_in(count);
  auto const cut = number_in(asked, "cut", size);
  auto const stall = number_in(asked, "stall", size);
  http::response answer;
  if (!asked.query("chunked")) answer.length = size;
  answer.pieces.emplace([=](auto& yield) {
    auto const end = std::min({size, cut, stall});
    for (std::uint64_t at = 0; at < end; at += block) {
      auto const piece = stand_in::bytes(at, static_cast<std::size_t>(std::min<std::uint64_t>(block, end - at)));
      yield(std::string_view{piece});
    }
    if (stall < size) weft::sleep_for(std::chrono::hours{1000});
    if (cut < size) throw std::runtime_error("cut off");
  });
  return answer;
}

http::response lines(http::request const& asked, std::string const& count) {
  http::response answer;
  answer.pieces.emplace([all = number_in(count), pause = number_in(asked, "pause", 0)](auto& yield) {
    for (std::uint64_t i = 0; i < all;) {
      sleep_ms(pause);
      std::string hundred;
      for (auto const end = std::min(i + 100, all); i < end; ++i) hundred += stand_in::line(i);
      yield(std::string_view{hundred});
    }
  });
  return answer;
}

}  // namespace

std::string stand_in::bytes(std::uint64_t offset, std::size_t size) {
  static std::string const pattern = [] {
    std::string text(2 * block, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % block % 23);
    return text;
  }();
  std::string text = pattern.substr(offset % block, size);  // at most a block
  if (offset % block == 0) {                                // each block begins with its number
    std::array<char, 17> number{};
    std::snprintf(number.data(), number.size(), "%016llx", static_cast<unsigned long long>(offset / block));
    std::copy_n(number.data(), std::min<std::size_t>(16, size), text.begin());
  }
  return text;
}

std::string stand_in::line(std::uint64_t number) {
  static constexpr std::array names{"ana", "ben", "carla", "dora", "emil"};
  return std::to_string(number)
      .append(",")
      .append(names[number % names.size()])
      .append(",")
      .append(std::to_string(number * 37 % 1000))
      .append("\n");
}

stand_in::stand_in() {
  server_.on("/counts", [this](http::request const&) {
    std::lock_guard const lock{guard_};
    return json(R"({"requests": )" + std::to_string(requests_) + R"(, "most_at_once": )" +
                std::to_string(most_at_once_) + "}");
  });
  on("/hello", [](auto const&, auto const&) { return http::response{.body = "hello"}; });
  on("/status/", [](auto const&, auto const& code) {
    return http::response{.status = static_cast<unsigned>(number_in(code)), .body = "as you like\n"};
  });
  on("/never", [](auto const&, auto const&) -> http::response {
    for (;;) weft::sleep_for(std::chrono::hours{1000});
  });
  on("/meet/", [this](auto const&, auto const& count) {
    meet(static_cast<std::ptrdiff_t>(number_in(count)));
    return http::response{.body = "all are here\n"};
  });
  on("/users/", user);
  on("/fields/", fields);
  on("/pages/", page);
  on("/jobs", [this](auto const& asked, auto const&) { return new_job(asked); });
  on("/jobs/", [this](auto const&, auto const& number) { return job(number); });
  on("/lines/", lines);
  on("/bytes/", some_bytes);
}

void stand_in::on(std::string path, handler answer) {
  auto const below = path.size();
  server_.on(std::move(path), [this, below, answer = std::move(answer)](http::request const& asked) {
    bool again = false;
    {
      std::lock_guard const lock{guard_};
      ++requests_;
      most_at_once_ = std::max(most_at_once_, ++at_once_);
      again = !known_.insert(asked.path + "?" + asked.query_text).second;
    }
    weft::defer const gone{[this] {
      std::lock_guard const lock{guard_};
      --at_once_;
    }};
    auto const number = number_in(asked, "again", 0);
    if (again && number != 0) meet(static_cast<std::ptrdiff_t>(number));
    sleep_ms(number_in(asked, "delay", 0));
    return answer(asked, asked.path.substr(below));
  });
}

void stand_in::meet(std::ptrdiff_t number) {
  weft::barrier* where = nullptr;
  {
    std::lock_guard const lock{guard_};
    auto& there = meetings_[number];
    if (!there) there = std::make_unique<weft::barrier>(number);
    where = there.get();
  }
  where->arrive_and_wait();
}

http::response stand_in::new_job(http::request const& asked) {
  if (asked.method != "POST") return {.status = 405, .body = "jobs are posted\n"};
  std::lock_guard const lock{guard_};
  auto const number = std::to_string(jobs_.size() + 1);
  jobs_.emplace(number, 0);
  return json(R"({"job": )" + number + "}", 202);
}

http::response stand_in::job(std::string const& number) {
  std::lock_guard const lock{guard_};
  auto const found = jobs_.find(number);
  if (found == jobs_.end()) return not_found();
  bool const done = ++found->second >= 3;
  return json(R"({"job": )" + number + R"(, "state": ")" + (done ? "done" : "running") + "\"}");
}
