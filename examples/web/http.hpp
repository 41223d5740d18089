#pragma once
/// HTTP/1.1 for the example programs: calls that read as blocking ones, on Boost.Beast's synchronous operations, for
/// which only the calling fiber waits. No TLS, no redirects, and one connection for each request of a client.
///
///     auto page = http::get("http://127.0.0.1:8080/pages/1");
///     if (page.ok()) std::puts(page.body.c_str());
///
/// There are no limits of time here: `weft::with_timeout(2s, [&] { return http::get(url); })`.

#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace http {

/// An exchange that failed; of a connection that cannot be had, std::system_error tells. `what()` has the URL.
class error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// Names and values, in order. Names match in any case.
class fields {
public:
  void add(std::string name, std::string value) { all_.emplace_back(std::move(name), std::move(value)); }
  /// The first value of that name; empty: there is none.
  [[nodiscard]] std::string_view operator[](std::string_view name) const;
  [[nodiscard]] auto begin() const { return all_.begin(); }
  [[nodiscard]] auto end() const { return all_.end(); }

private:
  std::vector<std::pair<std::string, std::string>> all_;
};

struct request {
  std::string method = "GET";
  std::string path;        ///< as it came, without the query
  std::string query_text;  ///< what follows the `?`
  fields headers{};
  std::string body{};

  /// The value of `name=value` in the query, as it came.
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const;
};

struct response {
  unsigned status = 200;
  std::string body{};
  fields headers{};
  /// What a server sends in place of `body`: piece by piece, as they are made. If that throws, or there are more or
  /// fewer bytes than `length` says, the connection ends in the middle, which the client notices.
  std::optional<weft::generator<std::string_view>> pieces{};
  std::optional<std::uint64_t> length{};  ///< of all pieces; without it they go as chunks

  [[nodiscard]] bool ok() const noexcept { return status >= 200 && status < 300; }
  [[nodiscard]] std::string_view header(std::string_view name) const { return headers[name]; }
};

/// "404 Not Found"
[[nodiscard]] std::string status_text(unsigned status);

// --- clients ---

/// A response whose body has yet to be read.
class open_response {
public:
  open_response(open_response&&) noexcept;
  open_response& operator=(open_response&&) noexcept;
  ~open_response();

  [[nodiscard]] unsigned status() const;
  [[nodiscard]] fields const& headers() const;
  /// Bytes of the body, if the server says so.
  [[nodiscard]] std::optional<std::uint64_t> length() const;

  /// The next bytes of the body; waits until there is one.
  /// @returns how many; 0 only at the end of the body  @throws error  if the connection ends before that
  std::size_t read_some(std::span<std::byte> buffer);
  /// The rest of it.  @throws error  also where there is more than `limit` bytes
  [[nodiscard]] std::string read_all(std::size_t limit);

private:
  struct exchange;
  friend open_response open(std::string_view url, request asked);
  explicit open_response(std::unique_ptr<exchange> of) noexcept;
  std::unique_ptr<exchange> exchange_;
};

/// Sends `asked` to `url`, which names host, port, path and query, and waits for the head of the response.
/// @throws error; std::system_error  if there is no connection
[[nodiscard]] open_response open(std::string_view url, request asked = {});

inline constexpr std::size_t default_body_limit = 64 << 20;  ///< bytes

[[nodiscard]] response get(std::string_view url, std::size_t limit = default_body_limit);
[[nodiscard]] response post(std::string_view url, std::string body, std::string type = "text/plain");

// --- servers ---

/// Answers requests, on any number of connections at once.
class server {
public:
  using handler = std::function<response(request const&)>;
  /// For requests of that very path; if it ends with `/`, of all below it, too, but for `/` itself. The longest counts.
  /// Many connections call it at once. What it throws is answered with 500. All are added before the server runs.
  void on(std::string path, handler answer) { handlers_.insert_or_assign(std::move(path), std::move(answer)); }

  /// One connection, to its end.
  /// @param stop  ends it before the next request
  void talk(weft::io::tcp_stream client, std::stop_token const& stop = {}) const;

  /// Until the calling fiber is cancelled, as SIGINT does to what weft::run() runs. Nothing more is accepted then, and
  /// requests that have come are answered, as far as `drain_limit` allows. Returns with the fiber cancelled.
  weft::io::serve_summary serve(weft::io::tcp_listener& listener,
                                std::chrono::nanoseconds drain_limit = std::chrono::seconds{30}) const;

private:
  [[nodiscard]] response answer(request const& asked) const;
  std::map<std::string, handler, std::less<>> handlers_;
};

/// Listens on 127.0.0.1, at a free port if `port` is 0, and says where.
[[nodiscard]] weft::io::tcp_listener listen(std::uint16_t port);

/// Calls `program` in a runtime, where SIGINT and SIGTERM cancel it.
/// @param workers  0: as many as there are processors  @returns the exit status; what is thrown is said on stderr
int run(std::function<void()> const& program, std::size_t workers = 0);

}  // namespace http
