#pragma once
/// @file
/// A program for the simulated network: servers that echo what they are sent, and clients that go on with another
/// server when a connection is lost, until each of their messages has come back whole.

#include "support/shared_count.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task_group.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::test {

struct echo_counts {
  shared_count messages;     ///< that came back
  shared_count connections;  ///< made by clients
  shared_count lost;         ///< connections that failed before the client was done with them, or while being made
};

class echo_cluster {
public:
  echo_counts run() {
    using namespace std::chrono_literals;
    for (std::uint8_t i = 0; i < servers; ++i) {
      listeners_.push_back(io::tcp_listener::bind({io::ip_address{io::ip_address::v4_bytes{10, 0, 0, i}}, 7}));
    }
    weft::task_group serving;
    for (auto& listener : listeners_) serving.spawn([this, &listener] { serve(listener); });
    {
      weft::task_group clients;
      for (std::size_t i = 0; i < clients_; ++i) clients.spawn([this, i] { be_client(i); });
      clients.wait();
    }
    for (auto& listener : listeners_) listener.close();
    serving.wait();
    return counts_;
  }

private:
  static constexpr std::uint8_t servers = 3;
  static constexpr std::size_t clients_ = 4;
  static constexpr std::size_t messages_each = 3;

  void serve(io::tcp_listener& listener) {
    using namespace std::chrono_literals;
    weft::task_group connections;
    while (listener.is_open()) {
      std::error_code ec;
      auto accepted = listener.accept(ec);
      if (!ec) {
        connections.spawn([s = std::move(accepted)]() mutable { echo(s); });
      } else if (ec == std::errc::too_many_files_open) {
        weft::sleep_for(100us);
      } else {
        verify(ec == std::errc::bad_file_descriptor);  // closed: the clients are done
      }
    }
    connections.wait();
  }

  static void echo(io::tcp_stream& s) {
    std::array<std::byte, 512> buffer{};
    std::error_code ec;
    while (!ec) {
      auto const n = s.read_some(buffer, ec);
      if (n == 0) break;
      s.write_all(std::span{buffer}.first(n), ec);
    }
  }

  static std::string message(std::size_t client, std::size_t number) {
    std::string text(1 + (client * 977 + number * 3571) % 6000, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + (i * 31 + client + number) % 26);
    return text;
  }

  void be_client(std::size_t self) {
    using namespace std::chrono_literals;
    std::size_t next = 0;
    for (std::size_t attempt = self; next < messages_each; ++attempt) {
      std::error_code ec;
      auto s = io::tcp_stream::connect(listeners_[attempt % servers].local_endpoint(), ec);
      while (!ec && next < messages_each) {
        if (exchange(s, message(self, next), ec)) ++next;
      }
      ++counts_.connections;
      if (ec) {
        ++counts_.lost;
        weft::sleep_for(50us);
      }
    }
  }

  /// Sends and receives at once, for neither end has room for all.  @returns whether it came back, and whole
  bool exchange(io::tcp_stream& s, std::string const& text, std::error_code& ec) {
    std::error_code sending;
    auto sender = weft::spawn([&] { s.write_all(text, sending); });
    std::string echoed(text.size(), '?');
    auto const got = s.read_exactly(std::as_writable_bytes(std::span{echoed}), ec);
    if (got < text.size()) s.close();  // the sender may wait
    sender.get();
    verify(echoed.compare(0, got, text, 0, got) == 0);
    if (!ec && got < text.size()) ec = std::make_error_code(std::errc::connection_reset);
    if (ec) return false;
    verify(!sending);
    ++counts_.messages;
    return true;
  }

  std::vector<io::tcp_listener> listeners_;
  echo_counts counts_;
};

}  // namespace weft::test
