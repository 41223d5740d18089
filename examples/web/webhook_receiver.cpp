/// Receives webhooks: says at once whether a message is taken, and works on what was taken one after the other. Who
/// sends a message again, because our answer was lost, is told that it is known. What was taken is done, also when the
/// program is told to end.
///
///     webhook_receiver TOKEN [ROOM]    how many messages may wait: 1000
///
/// POST /hooks, with headers X-Token and X-Delivery, and JSON `{"event": ..., "from": ...}`. It says where it listens,
/// and ends at SIGINT.

#include "http.hpp"

#include <boost/json.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace {

struct message {
  std::string event;
  std::string from;
};

/// Takes as long wherever they differ, so that nobody learns the token from our haste.
bool same(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i) difference |= static_cast<unsigned>(one[i] ^ other[i]);
  return difference == 0;
}

class receiver {
public:
  receiver(std::string token, std::size_t room) : token_(std::move(token)), waiting_(room) {}

  http::response take(http::request const& asked) {
    if (asked.method != "POST") return {.status = 405, .body = "webhooks are posted\n"};
    if (!same(asked.headers["X-Token"], token_)) return {.status = 401, .body = "who are you?\n"};
    std::string const delivery{asked.headers["X-Delivery"]};
    boost::json::error_code ec;
    auto const content = boost::json::parse(asked.body, ec);
    auto const* const event = ec ? nullptr : text_in(content, "event");
    auto const* const from = ec ? nullptr : text_in(content, "from");
    if (delivery.empty() || event == nullptr || from == nullptr) return {.status = 400, .body = "not understood\n"};

    std::lock_guard const lock{guard_};
    if (known_.contains(delivery)) return {.body = "known\n"};
    if (!waiting_.try_put({std::string(*event), std::string(*from)})) {
      http::response full{.status = 503, .body = "later\n"};
      full.headers.add("Retry-After", "1");
      return full;
    }
    known_.insert(delivery);
    return {.status = 202, .body = "taken\n"};
  }

  /// Until close(), and until nothing waits.
  /// @returns how many there were
  std::size_t work() {
    std::size_t done = 0;
    try {
      for (;; ++done) {
        auto const next = waiting_.get();
        std::printf("%s by %s\n", next.event.c_str(), next.from.c_str());
        std::fflush(stdout);
      }
    } catch (weft::queue_shutdown const&) {
      return done;
    }
  }
  void close() { waiting_.shutdown(); }

private:
  /// Null: there is none.
  static boost::json::string const* text_in(boost::json::value const& content, char const* name) {
    auto const* const object = content.if_object();
    auto const* const value = object != nullptr ? object->if_contains(name) : nullptr;
    return value != nullptr ? value->if_string() : nullptr;
  }

  std::string const token_;
  weft::queue<message> waiting_;
  weft::mutex guard_;
  std::set<std::string> known_;  // guarded by guard_; a service that runs for years forgets old ones
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: webhook_receiver TOKEN [ROOM]\n");
    return 2;
  }
  receiver hooks{argv[1], argc > 2 ? static_cast<std::size_t>(std::atoi(argv[2])) : 1000};
  http::server server;
  server.on("/hooks", [&](http::request const& asked) { return hooks.take(asked); });
  return http::run([&] {
    auto listener = http::listen(0);
    auto worker = weft::spawn([&] { return hooks.work(); });
    server.serve(listener);  // returns cancelled, so from here on nothing would wait
    weft::shield([&] {
      hooks.close();
      std::printf("%zu messages\n", worker.get());
    });
  });
}
