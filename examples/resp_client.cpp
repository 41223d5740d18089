/// Sends commands to a Redis server, or resp_server, and prints what it answers.
///
///     resp_client PORT COMMAND [ARGUMENT]...
///     resp_client PORT                          commands from the standard input, one a line
///
/// Of many lines all are sent without a wait for an answer in between, so that a round trip is paid once.

#include "resp.hpp"

#include <weft/weft.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace {

struct reply {
  enum class kind : unsigned char { simple, error, integer, bulk, null, array };
  kind is = kind::null;
  std::string text{};
  std::vector<reply> elements{};
};

/// The next reply, whenever it comes.
reply read_reply(weft::io::tcp_stream& from, int depth = 0) {
  auto line = from.read_line(resp::max_line);
  if (!line || line->empty() || depth > 32) throw std::runtime_error(line ? "no reply of RESP" : "the server is gone");
  std::string text = line->substr(1);
  switch (line->front()) {
    case '+': return {.is = reply::kind::simple, .text = std::move(text)};
    case '-': return {.is = reply::kind::error, .text = std::move(text)};
    case ':': return {.is = reply::kind::integer, .text = std::move(text)};
    default: break;
  }
  auto const size = resp::to_integer(text);
  if (!size || *size < -1 || *size > resp::max_bulk) throw std::runtime_error("no reply of RESP");
  if (*size == -1) return {};
  if (line->front() == '$') {
    text = from.read_exactly(static_cast<std::size_t>(*size) + 2);
    text.resize(text.size() - 2);
    return {.is = reply::kind::bulk, .text = std::move(text)};
  }
  if (line->front() != '*') throw std::runtime_error("no reply of RESP");
  reply all{.is = reply::kind::array};
  for (auto i = *size; i > 0; --i) all.elements.push_back(read_reply(from, depth + 1));
  return all;
}

/// As redis-cli shows them.
void print(reply const& r, std::string const& indent = {}) {
  switch (r.is) {
    case reply::kind::simple: std::printf("%s\n", r.text.c_str()); break;
    case reply::kind::error: std::printf("(error) %s\n", r.text.c_str()); break;
    case reply::kind::integer: std::printf("(integer) %s\n", r.text.c_str()); break;
    case reply::kind::null: std::printf("(nil)\n"); break;
    case reply::kind::bulk:
      std::printf("\"");
      for (char const c : r.text) {
        if (c == '"' || c == '\\') {
          std::printf("\\%c", c);
        } else if (c >= ' ' && c <= '~') {
          std::printf("%c", c);
        } else {
          std::printf("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
      }
      std::printf("\"\n");
      break;
    case reply::kind::array:
      if (r.elements.empty()) std::printf("(empty array)\n");
      for (std::size_t i = 0; i < r.elements.size(); ++i) {
        auto const number = std::to_string(i + 1).append(") ");
        std::printf("%s%s", i == 0 ? "" : indent.c_str(), number.c_str());
        print(r.elements[i], std::string(indent).append(number.size(), ' '));
      }
  }
}

void ask(weft::io::tcp_stream& server, std::vector<std::string_view> const& words) {
  std::string command;
  resp::append_command(command, words);
  server.write_all(command);
  print(read_reply(server));
}

/// Commands go out as fast as they can be read; answers come in beside.
void ask_all(weft::io::tcp_stream& server) {
  weft::channel<std::monostate> asked{10'000};  // commands that have not been answered
  auto const send = [&] {
    std::string commands;
    auto& input = weft::io::stdin_stream();
    auto const flush = [&] {
      server.write_all(commands);
      commands.clear();
    };
    while (auto const line = input.read_line(static_cast<std::size_t>(resp::max_bulk))) {
      auto const words = resp::split_words(*line);
      if (!words) throw std::runtime_error("a quote is not closed: " + *line);
      if (words->empty()) continue;
      resp::append_command(commands, std::vector<std::string_view>(words->begin(), words->end()));
      // What has been asked must be on its way before anybody waits, be it here for a place, or for the next line.
      if (input.buffered().empty() || commands.size() > resp::usual_buffer) flush();
      std::monostate one;
      if (!asked.try_send(one)) {
        flush();
        asked.send(one);
      }
    }
    flush();
    asked.close();
  };
  auto const receive = [&] {
    while (asked.receive()) print(read_reply(server));
  };
  weft::gather(send, receive);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: resp_client PORT [COMMAND [ARGUMENT]...]\n");
    return 2;
  }
  try {
    weft::run([&] {
      auto server = weft::io::tcp_stream::connect({"127.0.0.1", static_cast<std::uint16_t>(std::atoi(argv[1]))});
      server.nodelay(true);
      argc > 2 ? ask(server, {argv + 2, argv + argc}) : ask_all(server);
    });
  } catch (weft::cancelled const&) {
    return 130;  // SIGINT
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
