/// Collects what sensors send as datagrams, such as `kitchen 21.5`, and tells count, range and mean of each sensor: who
/// asks by a datagram `?`, and on the standard output every minute and at the end. Between who receives and who
/// evaluates is a queue. If that is full, readings are dropped and counted: the newest ones, rather than those that the
/// system would throw away uncounted.
///
///     udp_collector [PORT [QUEUE [MILLISECONDS]]]    a free port, a queue of 1024 readings, by default
///
/// To evaluate a reading takes so many milliseconds: none by default, as the work is only simulated. It says where it
/// listens, and ends at SIGINT.

#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

using namespace std::chrono_literals;

namespace {

struct reading {
  std::string sensor;
  double value = 0;
};

/// A name and a number.
std::optional<reading> parse(std::string_view text) {
  auto const blank = text.find(' ');
  if (blank == 0 || blank == text.npos) return {};
  if (text.ends_with('\n')) text.remove_suffix(1);
  reading r{.sensor = std::string{text.substr(0, blank)}};
  auto const* const end = text.data() + text.size();
  auto const parsed = std::from_chars(text.data() + blank + 1, end, r.value);
  if (parsed.ec != std::errc{} || parsed.ptr != end || !std::isfinite(r.value)) return {};
  return r;
}

class collector {
public:
  collector(std::size_t queue, std::chrono::milliseconds work) : queue_(queue), work_(work) {}

  /// Never waits for who evaluates.
  void receive(weft::io::udp_socket& socket) {
    std::array<std::byte, 512> buffer;  // NOLINT: it is filled
    for (;;) {
      auto const got = socket.receive_from(buffer);
      auto const* const begin = reinterpret_cast<char const*>(buffer.data());
      std::string_view const text{begin, got.size};
      if (text == "?") {
        auto const answer = report();
        std::error_code ignored;  // who asks may have gone
        socket.send_to(got.from, std::as_bytes(std::span{answer}), ignored);
        continue;
      }
      ++received_;
      auto r = got.truncated() ? std::nullopt : parse(text);
      if (!r) {
        ++refused_;
      } else if (!queue_.try_send(*r)) {
        ++dropped_;
      }
    }
  }

  void evaluate() {
    for (auto const& r : queue_) {
      if (work_ > 0ms) weft::sleep_for(work_);
      std::lock_guard const alone{guard_};
      if (sensors_.size() < max_sensors || sensors_.contains(r.sensor)) {
        sensors_[r.sensor].add(r.value);
      } else {
        ++refused_;
      }
    }
  }

  /// At most so long that a datagram holds it.
  [[nodiscard]] std::string report() {
    std::array<char, 600> line{};
    std::snprintf(line.data(), line.size(), "received %zu, refused %zu, dropped %zu, queued %zu\n", received_.load(),
                  refused_.load(), dropped_.load(), queue_.size());
    std::string text{line.data()};
    std::lock_guard const alone{guard_};
    for (auto const& [name, s] : sensors_) {
      std::snprintf(line.data(), line.size(), "%s: %zu readings, %.2f to %.2f, mean %.2f\n", name.c_str(), s.count,
                    s.least, s.most, s.sum / static_cast<double>(s.count));
      if (text.size() + line.size() > 60'000) return text.append("...\n");
      text.append(line.data());
    }
    return text;
  }

private:
  static constexpr std::size_t max_sensors = 10'000;  // names come from anybody

  struct statistics {
    std::size_t count = 0;
    double least = std::numeric_limits<double>::max();
    double most = std::numeric_limits<double>::lowest();
    double sum = 0;

    void add(double value) {
      ++count;
      least = std::min(least, value);
      most = std::max(most, value);
      sum += value;
    }
  };

  weft::channel<reading> queue_;
  std::chrono::milliseconds const work_;
  std::atomic<std::size_t> received_{0};
  std::atomic<std::size_t> refused_{0};  // of those: no reading, or of one sensor too many
  std::atomic<std::size_t> dropped_{0};  // of those: the queue was full
  weft::mutex guard_;
  std::map<std::string, statistics> sensors_;  // guarded by guard_
};

void print(std::string const& text) {
  std::printf("%s", text.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  auto const number = [&](int argument, int otherwise) {
    return argc > argument ? std::atoi(argv[argument]) : otherwise;
  };
  weft::io::endpoint const at{"127.0.0.1", static_cast<std::uint16_t>(number(1, 0))};
  collector all{static_cast<std::size_t>(number(2, 1024)), std::chrono::milliseconds{number(3, 0)}};
  try {
    weft::run([&] {
      auto socket = weft::io::udp_socket::bind(at);
      print("listening at " + socket.local_endpoint().to_string() + "\n");
      weft::with_task_group([&](weft::task_group& parts) {
        parts.spawn([&] { all.receive(socket); });
        parts.spawn([&] { all.evaluate(); });
        for (;;) {
          weft::sleep_for(1min);
          print(all.report());
        }
      });
    });
  } catch (weft::cancelled const&) {
    print(all.report());
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
