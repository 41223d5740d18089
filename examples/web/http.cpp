/// All of Boost.Beast that the examples use, in one place: it takes long to compile.

#include <boost/version.hpp>
#if BOOST_VERSION < 108600
// Beast's parser is right, and one of its assertions wrong, about an empty body in chunks that comes in small pieces:
// whoever sends it would end the program (boostorg/beast#2861).
#define BOOST_DISABLE_ASSERTS
#endif

#include "http.hpp"

#include <weft/io/asio.hpp>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <system_error>

namespace http {
namespace {

namespace beast = boost::beast;
namespace bh = boost::beast::http;

constexpr std::size_t read_ahead = 64 * 1024;
constexpr std::uint32_t max_header = 16 * 1024;
constexpr std::uint64_t max_request_body = 8 << 20;
constexpr std::chrono::seconds max_idle{60};

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view beast_of(std::string_view text) { return {text.data(), text.size()}; }

template <class Fields>
fields copy_of(Fields const& from) {
  fields all;
  for (auto const& each : from) all.add(text_of(each.name_string()), text_of(each.value()));
  return all;
}

template <class Message>
void set_fields(Message& message, fields const& from) {
  for (auto const& [name, value] : from) message.insert(beast_of(name), beast_of(value));
}

/// Parts of a URL.
struct address {
  std::string authority;  // host and port, as they stand there
  std::string host;
  std::uint16_t port = 80;
  std::string target;  // path and query
};

address parse_url(std::string_view url) {
  auto const refuse = [url](char const* why) { throw error(std::string(url).append(": ").append(why)); };
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) refuse("only http:// is known here");
  auto const rest = url.substr(scheme.size());
  auto host = rest.substr(0, rest.find('/'));
  address to{.authority = std::string(host), .host = {}, .target = std::string(rest.substr(host.size()))};
  if (to.target.empty()) to.target = "/";
  auto const colon = host.rfind(':');
  if (colon != host.npos && host.find(']', colon) == host.npos) {  // else it is within an IPv6 address
    auto const* const end = host.data() + host.size();
    auto const [stopped, failure] = std::from_chars(host.data() + colon + 1, end, to.port);
    if (failure != std::errc{} || stopped != end) refuse("no such port");
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) refuse("no host");
  to.host = host;
  return to;
}

}  // namespace

std::string_view fields::operator[](std::string_view name) const {
  for (auto const& [known, value] : all_) {
    if (beast::iequals(beast_of(known), beast_of(name))) return value;
  }
  return {};
}

std::optional<std::string> request::query(std::string_view name) const {
  std::string_view rest = query_text;
  while (!rest.empty()) {
    auto const pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) {
      return std::string(pair.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

std::string status_text(unsigned status) {
  return std::to_string(status).append(" ").append(text_of(bh::obsolete_reason(bh::int_to_status(status))));
}

// --- clients ---

struct open_response::exchange {
  std::string what;  // is asked
  weft::io::tcp_stream stream;
  beast::flat_buffer buffer;
  bh::response_parser<bh::buffer_body> parser;
  fields headers;

  void check(beast::error_code const& ec) const {
    if (ec) throw error(what + ": " + ec.message());
  }
};

open_response::open_response(std::unique_ptr<exchange> of) noexcept : exchange_(std::move(of)) {}
open_response::open_response(open_response&&) noexcept = default;
open_response& open_response::operator=(open_response&&) noexcept = default;
open_response::~open_response() = default;

unsigned open_response::status() const { return exchange_->parser.get().result_int(); }

fields const& open_response::headers() const { return exchange_->headers; }

std::optional<std::uint64_t> open_response::length() const {
  auto const length = exchange_->parser.content_length();
  return length ? std::optional<std::uint64_t>{*length} : std::nullopt;
}

std::size_t open_response::read_some(std::span<std::byte> buffer) {
  auto& parser = exchange_->parser;
  auto& body = parser.get().body();
  while (!parser.is_done() && !buffer.empty()) {
    body.data = buffer.data();
    body.size = buffer.size();
    beast::error_code ec;
    bh::read_some(exchange_->stream, exchange_->buffer, parser, ec);
    if (ec == bh::error::need_buffer) ec = {};  // this one is full
    exchange_->check(ec);
    if (auto const count = buffer.size() - body.size; count != 0) return count;
  }
  return 0;
}

std::string open_response::read_all(std::size_t limit) {
  std::string all;
  std::vector<std::byte> piece(read_ahead);
  while (auto const count = read_some(piece)) {
    if (count > limit - all.size()) {
      throw error(exchange_->what + ": more than " + std::to_string(limit) + " bytes");
    }
    all.append(reinterpret_cast<char const*>(piece.data()), count);
  }
  return all;
}

open_response open(std::string_view url, request asked) {
  auto const to = parse_url(url);
  auto its = std::make_unique<open_response::exchange>();
  its->what.append(asked.method).append(" ").append(url);
  its->stream = weft::io::tcp_stream::connect(to.host, to.port);
  its->stream.nodelay(true);

  bh::request<bh::string_body> message;
  message.method_string(beast_of(asked.method));
  message.target(beast_of(to.target));
  message.version(11);
  message.set(bh::field::host, beast_of(to.authority));
  message.set(bh::field::connection, "close");
  set_fields(message, asked.headers);
  message.body() = std::move(asked.body);
  message.prepare_payload();
  beast::error_code ec;
  bh::write(its->stream, message, ec);
  // A server that does not want to read all of it may have answered already.
  if (ec != boost::asio::error::connection_reset && ec != boost::asio::error::broken_pipe) its->check(ec);

  its->buffer.reserve(read_ahead);
  its->parser.body_limit(boost::none);
  its->parser.header_limit(max_header);
  its->parser.skip(asked.method == "HEAD");  // there is no body, whatever the length says
  bh::read_header(its->stream, its->buffer, its->parser, ec);
  its->check(ec);
  its->headers = copy_of(its->parser.get());
  return open_response{std::move(its)};
}

namespace {

response read_whole(open_response from, std::size_t limit) {
  response whole{.status = from.status()};
  whole.headers = from.headers();
  whole.body = from.read_all(limit);
  return whole;
}

}  // namespace

response get(std::string_view url, std::size_t limit) { return read_whole(open(url), limit); }

response post(std::string_view url, std::string body, std::string type) {
  request asked{.method = "POST", .path = {}, .query_text = {}};
  asked.headers.add("Content-Type", std::move(type));
  asked.body = std::move(body);
  return read_whole(open(url, std::move(asked)), default_body_limit);
}

// --- servers ---

namespace {

request copy_of_request(bh::request<bh::string_body>& from) {
  auto const target = text_of(from.target());
  auto const question = std::min(target.find('?'), target.size());
  request asked{.method = text_of(from.method_string()),
                .path = target.substr(0, question),
                .query_text = target.substr(std::min(question + 1, target.size()))};
  asked.headers = copy_of(from);
  asked.body = std::move(from.body());
  return asked;
}

/// The head of what is sent.
template <class Body>
bh::response<Body> head_of(response const& from, bool keep_alive) {
  bh::response<Body> message;
  message.result(from.status);
  message.version(11);
  message.set(bh::field::content_type, "text/plain");
  for (auto const& [name, value] : from.headers) message.set(beast_of(name), beast_of(value));
  message.keep_alive(keep_alive);
  return message;
}

/// @returns whether the connection may be used again
bool send_pieces(weft::io::tcp_stream& client, response& from, bool keep_alive) {
  auto message = head_of<bh::buffer_body>(from, keep_alive);
  if (from.length) {
    message.content_length(*from.length);
  } else {
    message.chunked(true);
  }
  message.body().data = nullptr;
  message.body().more = true;
  bh::response_serializer<bh::buffer_body> serializer{message};
  beast::error_code ec;
  bh::write_header(client, serializer, ec);
  std::uint64_t sent = 0;
  try {
    for (std::string_view const piece : *from.pieces) {
      sent += piece.size();
      if (ec || (from.length && sent > *from.length)) return false;
      // Beast takes a pointer to what may be changed, and changes nothing.
      message.body().data = const_cast<char*>(piece.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
      message.body().size = piece.size();
      bh::write(client, serializer, ec);
      if (ec == bh::error::need_buffer) ec = {};
    }
  } catch (std::exception const&) {
    return false;
  }
  if (ec || (from.length && sent != *from.length)) return false;
  message.body().data = nullptr;
  message.body().more = false;
  bh::write(client, serializer, ec);
  return !ec && keep_alive;
}

bool send(weft::io::tcp_stream& client, response&& from, bool keep_alive, bool head_only) {
  beast::error_code ec;
  if (head_only) {
    auto message = head_of<bh::empty_body>(from, keep_alive);
    message.content_length(from.length.value_or(from.body.size()));
    bh::write(client, message, ec);
  } else if (from.pieces) {
    return send_pieces(client, from, keep_alive);
  } else {
    auto message = head_of<bh::string_body>(from, keep_alive);
    message.body() = std::move(from.body);
    message.prepare_payload();
    bh::write(client, message, ec);
  }
  return !ec && keep_alive;
}

/// What is said to one who sends something that is no request, or too large; 0: nothing, since it is gone.
unsigned status_of(beast::error_code const& ec) {
  if (ec == bh::error::end_of_stream || ec == bh::error::partial_message) return 0;
  if (ec == bh::error::body_limit) return 413;
  if (ec == bh::error::header_limit) return 431;
  return ec.category() == bh::make_error_code(bh::error::bad_method).category() ? 400 : 0;
}

}  // namespace

response server::answer(request const& asked) const {
  std::string_view below = asked.path;
  auto found = handlers_.find(below);
  while (found == handlers_.end() && below.size() > 1) {  // the longest that ends with a slash
    below.remove_suffix(1);
    if (below.size() > 1 && below.ends_with('/')) found = handlers_.find(below);
  }
  if (found == handlers_.end()) return {.status = 404, .body = status_text(404) + "\n"};
  try {
    return found->second(asked);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s: %s\n", asked.path.c_str(), e.what());
    return {.status = 500, .body = status_text(500) + "\n"};
  }
}

void server::talk(weft::io::tcp_stream client, std::stop_token const& stop) const {
  beast::error_code ec;
  std::error_code ignored;  // of a client that is gone, which the next read tells
  client.nodelay(true, ignored);
  beast::flat_buffer buffer;
  for (bool goes_on = true; goes_on;) {
    bh::request_parser<bh::string_body> parser;
    parser.header_limit(max_header);
    parser.body_limit(max_request_body);
    bool there = false;
    bool const in_time = weft::move_on_after(
        max_idle, [&] { there = weft::cancel_scope{stop}.run([&] { bh::read_header(client, buffer, parser, ec); }); });
    if (!in_time || !there) break;
    if (!ec && beast::iequals(parser.get()[bh::field::expect], "100-continue")) {
      bh::write(client, bh::response<bh::empty_body>{bh::status::continue_, 11}, ec);
    }
    if (!ec && !weft::move_on_after(max_idle, [&] { bh::read(client, buffer, parser, ec); })) break;
    if (ec) {
      if (auto const status = status_of(ec); status != 0) {
        send(client, {.status = status, .body = status_text(status) + "\n"}, false, false);
      }
      break;
    }
    auto& message = parser.get();
    bool const head_only = message.method() == bh::verb::head;
    bool const keep_alive = message.keep_alive() && !stop.stop_requested();
    goes_on = send(client, answer(copy_of_request(message)), keep_alive, head_only);
  }
  client.shutdown(weft::io::direction::send, ignored);
}

weft::io::serve_summary server::serve(weft::io::tcp_listener& listener, std::chrono::nanoseconds drain_limit) const {
  std::stop_source stop;
  weft::io::serve_options options;
  options.stop = stop.get_token();
  options.drain_limit = drain_limit;
  options.name = "http";
  auto serving = weft::spawn([&] {
    return weft::io::serve(
        listener, [&](weft::io::tcp_stream client) { talk(std::move(client), options.stop); }, options);
  });
  try {
    serving.wait();
  } catch (weft::cancelled const&) {
    stop.request_stop();
  }
  return weft::shield([&] { return serving.get(); });
}

weft::io::tcp_listener listen(std::uint16_t port) {
  auto listener = weft::io::tcp_listener::bind({"127.0.0.1", port});
  std::printf("listening at %s\n", listener.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  return listener;
}

int run(std::function<void()> const& program, std::size_t workers) {
  std::signal(SIGTERM, [](int) { std::raise(SIGINT); });  // and that is a cancellation of what weft::run() runs
  try {
    weft::run(program, {.workers = workers});
    return 0;
  } catch (weft::cancelled const&) {
    return 130;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

}  // namespace http
