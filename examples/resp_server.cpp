/// A key-value server that Redis clients can talk to: PING, SET with EX, PX, NX and XX, GET, DEL, INCR, EXPIRE and
/// more. All commands that have come in one piece are done one after the other, and answered in one piece.
///
///     resp_server [PORT [WORKERS]]    port 0, a free one, by default
///
/// It says where it listens, and ends at SIGINT.

#include "resp.hpp"
#include "resp_store.hpp"

#include <weft/weft.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>

using namespace std::chrono_literals;

namespace {

std::int64_t milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(weft::clock::now().time_since_epoch()).count();
}

class server {
public:
  void serve(weft::io::tcp_stream& client) {
    client.nodelay(true);  // what is written is whole
    resp::command_reader commands;
    std::string replies;
    for (bool goes_on = true; goes_on;) {
      auto const read = client.read_some(commands.room());
      if (read == 0) return;
      commands.filled(read);
      for (bool more = true; more;) {
        auto const ended = execute(commands, replies);
        goes_on = ended != end::of_connection;
        more = ended == end::of_room;
        client.write_all(replies);
        replies.clear();
        if (replies.capacity() > 2 * max_replies) replies.shrink_to_fit();
      }
    }
  }

  /// Keys that nobody asks for go, too, when their time has come.
  void sweep() {
    for (;;) {
      weft::sleep_for(100ms);
      std::lock_guard const alone{guard_};
      data_.sweep(milliseconds(), 1000);
    }
  }

private:
  enum class end { of_input, of_room, of_connection };
  static constexpr std::size_t max_replies = 64 * 1024;  // they are sent before there are many more

  /// As many commands as have come: nobody else's come in between. Nothing here waits.
  end execute(resp::command_reader& from, std::string& replies) {
    std::lock_guard const alone{guard_};
    auto const now = milliseconds();
    while (replies.size() < max_replies) {
      switch (from.next()) {
        case resp::command_reader::result::need_more: return end::of_input;
        case resp::command_reader::result::bad:
          resp::append_error(replies, "ERR Protocol error: " + from.error());
          return end::of_connection;
        case resp::command_reader::result::command:
          if (!from.arguments().empty() && !data_.execute(from.arguments(), now, replies)) return end::of_connection;
      }
    }
    return end::of_room;
  }

  weft::mutex guard_;
  resp::store data_;  // guarded by guard_
};

}  // namespace

int main(int argc, char** argv) {
  auto const port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  auto const workers = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 0);
  try {
    weft::run(
        [port] {
          auto listener = weft::io::tcp_listener::bind({"127.0.0.1", port});
          std::printf("listening at %s\n", listener.local_endpoint().to_string().c_str());
          std::fflush(stdout);
          server s;
          auto const sweeper = weft::spawn([&] { s.sweep(); });
          weft::io::serve(
              listener, [&](weft::io::tcp_stream client) { s.serve(client); },
              {.max_connections = 10'000, .on_exception = [](std::exception_ptr) {}});  // a client has broken off
        },
        {.workers = workers});
  } catch (weft::cancelled const&) {
    std::printf("stopped\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
