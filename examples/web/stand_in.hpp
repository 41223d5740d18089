#pragma once
/// Stands in for the services that the programs beside it talk to, so that they can be tried without a network. It says
/// on request how many requests there were, and how many at once.
///
///     /hello                      "hello"
///     /status/CODE                that status
///     /never                      no answer
///     /meet/N                     answers when N requests have come to it that wait for each other
///     /users/NAME                 of ana, ben and carla, as JSON: how many follow them
///     /fields/N                   a JSON object with N fields
///     /pages/K                    of five pages with three items each, as JSON: items, and where the next page is
///     /jobs                       POST: a job's number; /jobs/NUMBER is "running", and "done" from the third time on
///     /lines/N                    N lines `NUMBER,NAME,AMOUNT`; with ?pause=MS that long before each hundred of them
///     /bytes/N                    N bytes; with ?chunked as chunks of unknown number; with ?cut=K the connection ends
///                                 after K of them, with ?stall=K nothing more comes
///     /counts                     JSON: how many requests there were, and how many at once at most. Does not count
///
/// With ?delay=MS an answer takes that long. With ?again=N a path that is asked for again is as /meet/N: so who asks
/// for N such paths one by one, and then for all at once, gets all answers.

#include "http.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

class stand_in {
public:
  stand_in();
  stand_in(stand_in const&) = delete;
  [[nodiscard]] http::server const& server() const noexcept { return server_; }

  /// `size` bytes of /bytes, from `offset` on: no piece is as the one before.
  [[nodiscard]] static std::string bytes(std::uint64_t offset, std::size_t size);
  /// Line `number` of /lines.
  [[nodiscard]] static std::string line(std::uint64_t number);

private:
  /// Gets what follows the path that it is known by.
  using handler = std::function<http::response(http::request const&, std::string const& rest)>;
  void on(std::string path, handler answer);
  void meet(std::ptrdiff_t number);
  http::response new_job(http::request const& asked);
  http::response job(std::string const& number);

  http::server server_;
  weft::mutex guard_;  // of all that follows
  std::map<std::ptrdiff_t, std::unique_ptr<weft::barrier>> meetings_;
  std::set<std::string> known_;
  std::map<std::string, int, std::less<>> jobs_;  // how often each was asked for
  std::size_t requests_ = 0;
  std::size_t at_once_ = 0;
  std::size_t most_at_once_ = 0;
};
