#pragma once
/// @file
/// A program for the simulated network: a chat server with rooms, each line goes to all others in its room; who reads
/// too slowly is put out. And its clients, some of them slow, who come back when their connection is lost.
///
/// Lines are `ROOM NAME` first, and then text. The clients' text is `NAME TURN NUMBER`, where TURN counts a client's
/// connections; so who reads knows what may come next.

#include "support/shared_count.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task_group.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/channel.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::test {

struct chat_counts {
  shared_count said;     ///< lines that the server has got
  shared_count heard;    ///< lines that clients have got
  shared_count put_out;  ///< connections that were too slow
  shared_count lost;     ///< connections that failed
};

/// Lines of a stream.
class line_reader {
public:
  explicit line_reader(io::tcp_stream& from) noexcept : from_(from) {}
  /// Nothing at the end of the stream, or with an error.
  std::optional<std::string> next(std::error_code& ec) {
    for (;;) {
      if (auto const end = text_.find('\n'); end != std::string::npos) {
        auto line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      std::array<std::byte, 256> buffer{};
      auto const n = from_.read_some(buffer, ec);
      if (n == 0) return std::nullopt;
      text_.append(reinterpret_cast<char const*>(buffer.data()), n);
    }
  }

private:
  io::tcp_stream& from_;
  std::string text_;
};

class chat_server {
public:
  /// @param patience  lines that may wait for one who reads slowly
  chat_server(chat_counts& counts, std::size_t patience) : counts_(counts), patience_(patience) {}

  [[nodiscard]] io::endpoint endpoint() const { return listener_.local_endpoint(); }
  void close() { listener_.close(); }

  /// Until close(), and until all have left.
  void run() {
    using namespace std::chrono_literals;
    weft::task_group connections;
    while (listener_.is_open()) {
      std::error_code ec;
      auto accepted = listener_.accept(ec);
      if (!ec) {
        connections.spawn([this, s = std::move(accepted)]() mutable { serve(s); });
      } else if (ec == std::errc::too_many_files_open) {
        weft::sleep_for(100us);
      } else {
        verify(ec == std::errc::bad_file_descriptor);
      }
    }
    connections.wait();
    for (auto const& [name, room] : rooms_) verify(room.empty());
  }

private:
  using line = std::shared_ptr<std::string const>;
  struct member {
    member(io::tcp_stream& of, std::size_t patience) : stream(of), waiting(patience) {}
    io::tcp_stream& stream;
    weft::channel<line> waiting;  // what is to be written
  };

  void serve(io::tcp_stream& s) {
    std::error_code ec;
    line_reader lines{s};
    auto const hello = lines.next(ec);
    if (!hello) return;
    auto& room = rooms_[hello->substr(0, hello->find(' '))];
    auto const self = room.emplace(room.end(), s, patience_);
    auto writer = weft::spawn([&member = *self] { write_what_waits(member); });
    while (auto const text = lines.next(ec)) {
      ++counts_.said;
      broadcast(room, *self, std::make_shared<std::string const>(*text + "\n"));
    }
    self->waiting.close();
    writer.get();
    room.erase(self);
  }

  static void write_what_waits(member& to) {
    std::error_code ec;
    while (auto const next = to.waiting.receive()) {
      if (!ec) to.stream.write_all(**next, ec);
    }
    if (!ec) to.stream.shutdown(io::direction::send, ec);
  }

  void broadcast(std::list<member>& room, member const& from, line const& text) {
    for (auto& to : room) {
      if (&to == &from || to.waiting.closed()) continue;
      auto copy = text;
      if (to.waiting.try_send(copy)) continue;
      ++counts_.put_out;
      to.waiting.close();
      to.stream.close();
    }
  }

  chat_counts& counts_;
  std::size_t const patience_;
  io::tcp_listener listener_ = io::tcp_listener::bind({io::ip_address::any_v4(), 5222});
  std::map<std::string, std::list<member>> rooms_;
};

class chat_client {
public:
  chat_client(chat_counts& counts, io::endpoint const& server, std::string room, std::string name, bool slow)
      : counts_(counts), server_(server), room_(std::move(room)), name_(std::move(name)), slow_(slow) {}

  /// Says all that it has to say, on as many connections as it takes.
  void run() {
    using namespace std::chrono_literals;
    for (unsigned turn = 0; said_ < lines_each; ++turn) {
      std::error_code ec;
      auto s = io::tcp_stream::connect(server_, ec);
      if (!ec) be_there(s, turn, ec);
      if (!ec) continue;
      ++counts_.lost;
      weft::sleep_for(50us);
    }
  }

  static constexpr unsigned lines_each = 6;

private:
  void be_there(io::tcp_stream& s, unsigned turn, std::error_code& ec) {
    using namespace std::chrono_literals;
    auto listening = weft::spawn([&] { listen(s); });
    s.write_all(room_ + " " + name_ + "\n", ec);
    for (unsigned number = 0; !ec && said_ < lines_each; ++number) {
      s.write_all(name_ + " " + std::to_string(turn) + " " + std::to_string(number) + filler(), ec);
      if (!ec) ++said_;
      weft::sleep_for(20us);
    }
    if (!ec) {
      s.shutdown(io::direction::send, ec);
    } else {
      s.close();
    }
    listening.get();
  }

  /// Long lines, so that buffers fill up.
  static std::string filler() { return " " + std::string(300, '.') + "\n"; }

  void listen(io::tcp_stream& s) {
    using namespace std::chrono_literals;
    std::error_code ec;
    line_reader lines{s};
    std::map<std::string, std::pair<unsigned, unsigned>> last;
    while (auto const text = lines.next(ec)) {
      ++counts_.heard;
      std::istringstream words{*text};
      std::string who;
      std::pair<unsigned, unsigned> which;
      words >> who >> which.first >> which.second;
      verify(static_cast<bool>(words));
      verify(text->size() > 300);
      verify(who != name_);               // not one's own,
      verify(who.substr(0, 1) == room_);  // only of this room,
      auto const known = last.find(who);  // and in the order in which it was said.
      verify(known == last.end() || known->second < which);
      last[who] = which;
      if (slow_) weft::sleep_for(400us);
    }
  }

  chat_counts& counts_;
  io::endpoint const server_;
  std::string const room_;
  std::string const name_;
  bool const slow_;
  unsigned said_ = 0;
};

/// Two rooms of four, one in each slow.
inline chat_counts run_chat(std::size_t patience) {
  chat_counts counts;
  chat_server server{counts, patience};
  auto serving = weft::spawn([&] { server.run(); });
  {
    std::list<chat_client> clients;
    weft::task_group talking;
    for (std::string const room : {"a", "b"}) {
      for (unsigned i = 0; i < 4; ++i) {
        auto& client = clients.emplace_back(counts, io::endpoint{"127.0.0.1", 5222}, room, room + std::to_string(i),
                                            i == 0);
        talking.spawn([&client] { client.run(); });
      }
    }
    talking.wait();
  }
  server.close();
  serving.get();
  return counts;
}

}  // namespace weft::test
