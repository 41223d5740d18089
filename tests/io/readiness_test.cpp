/// @file
/// Waiting until a descriptor is ready, alone and in a select.

#include <weft/io/readiness.hpp>

#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/socket_pair.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/io/tcp_listener.hpp>
#include <weft/io/tcp_stream.hpp>
#include <weft/io/udp_socket.hpp>
#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/simulation.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/select.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <optional>
#include <span>
#include <sys/resource.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace weft::io;
using namespace weft::test;

namespace {

/// Which block, as those of other libraries may.
struct two_ends : socket_pair {
  two_ends() : socket_pair(0) {}
};

constexpr weft::spawn_options eagerly{.start = weft::start::eager};

struct connection {
  tcp_stream here;
  tcp_stream there;
};
connection connected_pair() {
  auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
  auto here = tcp_stream::connect(listener.local_endpoint());
  return {std::move(here), listener.accept()};
}

/// While it lives no descriptor can be opened.
class no_descriptor_left {
public:
  no_descriptor_left() {
    verify(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    int const lowest_free = ::dup(0);
    ::close(lowest_free);
    rlimit const none_left{static_cast<rlim_t>(lowest_free), before_.rlim_max};
    verify(::setrlimit(RLIMIT_NOFILE, &none_left) == 0);
  }
  no_descriptor_left(no_descriptor_left const&) = delete;
  ~no_descriptor_left() { (void)::setrlimit(RLIMIT_NOFILE, &before_); }

private:
  rlimit before_{};
};

/// What a select that waits for `of` throws.
std::error_code code_of_select(tcp_stream const& of) {
  try {
    (void)weft::select(weft::on_readable(of), weft::on_timeout(1h));
  } catch (std::system_error const& e) {
    return e.code();
  }
  return {};
}

}  // namespace

TEST_CASE("a fiber waits until another library's descriptor can be read, and written", "[io][readiness]") {
  run_on(some_workers(), [] {
    two_ends ends;
    for (int i = 0; i < 50; ++i) {
      auto reader = weft::spawn(eagerly, [&] {
        wait_readable(ends.end(0));
        verify(ends.take(0));
      });
      verify(!reader.ready());
      ends.send(1);
      reader.get();
    }
    ends.fill(0);
    auto writer = weft::spawn(eagerly, [&] { wait_writable(ends.end(0)); });
    verify(!wait_writable_for(ends.end(0), 0s));
    ends.drain(1);
    writer.get();
    verify(wait_writable_for(ends.end(0), 1h));
    verify((::fcntl(ends.end(0), F_GETFL) & O_NONBLOCK) == 0);  // as it was
  });
}

TEST_CASE("a descriptor that blocks still does, though two runtimes wait for it at once", "[io][readiness][stress]") {
  two_ends ends;
  auto const begins_to_wait = [&] {
    for (std::size_t i = 0; i < scaled(20'000); ++i) verify(!wait_readable_for(ends.end(0), 1us));
  };
  {
    weft::runtime one{{.workers = 1}};
    weft::runtime another{{.workers = 1}};
    auto beside = one.spawn(begins_to_wait);
    another.spawn(begins_to_wait).get();
    beside.get();
  }
  CHECK((::fcntl(ends.end(0), F_GETFL) & O_NONBLOCK) == 0);  // once it is lost, nobody sets it again
}

TEST_CASE("without a descriptor left a read says so, and waits when there is one again", "[io][readiness][bad-input]") {
  run_with({.workers = 1}, [] {
    auto c = connected_pair();
    auto beside = weft::spawn(eagerly, [&] { wait_readable(c.there.native_handle()); });  // whom the loop watches first
    std::optional<no_descriptor_left> none_left{std::in_place};
    std::array<char, 8> bytes{};
    std::error_code ec;
    (void)c.there.read_some(std::as_writable_bytes(std::span{bytes}), ec);
    verify(ec == std::errc::too_many_files_open);
    none_left.reset();
    auto reader = weft::spawn(eagerly, [&] { return c.there.read_some(std::as_writable_bytes(std::span{bytes})); });
    verify(!reader.ready());
    c.here.write_all("x");
    verify(reader.get() == 1);
    c.here.close();  // which can be read, too
    beside.get();
  });
}

TEST_CASE("without a descriptor left a wait for a number that is waited for already says so",
          "[io][readiness][bad-input]") {
  run_with({.workers = 1}, [] {
    two_ends ends;
    auto beside = weft::spawn(eagerly, [&] { wait_readable(ends.end(0)); });  // whom the loop watches first
    std::optional<no_descriptor_left> none_left{std::in_place};
    std::error_code ec;
    (void)wait_readable(ends.end(0), ec);
    verify(ec == std::errc::too_many_files_open);
    bool selected = false;
    try {
      (void)weft::select(weft::on_readable(ends.end(0), [&] { selected = true; }));
    } catch (std::system_error const& e) {
      ec = e.code();
    }
    verify(!selected && ec == std::errc::too_many_files_open);
    none_left.reset();
    ends.send(1);
    wait_readable(ends.end(0));
    beside.get();
  });
}

TEST_CASE("what is ready needs no waiting, and is so again until it is read", "[io][readiness]") {
  run_on(some_workers(), [] {
    two_ends ends;
    ends.send(1);
    for (int i = 0; i < 3; ++i) wait_readable(ends.end(0));
    verify(wait_readable_for(ends.end(0), 0s));
    verify(ends.take(0));
    verify(!wait_readable_for(ends.end(0), 0s));
    verify(!wait_readable_for(ends.end(0), -1s));
    ::shutdown(ends.end(1), SHUT_WR);  // the end of the stream can be read
    wait_readable(ends.end(0));
  });
}

TEST_CASE("a wait for readiness ends with its time", "[io][readiness]") {
  run_with(weft::testing::in_virtual_time(), [] {
    two_ends ends;
    auto const began = weft::testing::now();
    CHECK_FALSE(wait_readable_for(ends.end(0), 1h));
    CHECK(weft::testing::now() - began == 1h);
    CHECK_FALSE(wait_readable_until(ends.end(0), began));
    CHECK_THROWS_AS(weft::with_timeout(1h, [&] { wait_readable(ends.end(0)); }), weft::timeout_error);
    CHECK(weft::select(weft::on_readable(ends.end(0)), weft::on_timeout(1h)) == 1);
    CHECK(weft::testing::now() - began == 3h);
    std::error_code ec;
    CHECK_FALSE(wait_readable_for(ends.end(0), 1h, ec));
    CHECK_FALSE(ec);
  });
}

TEST_CASE("closed descriptors, numbers that are none, regular files", "[io][readiness]") {
  run_on(some_workers(), [] {
    int const closed = ::dup(0);
    ::close(closed);
    for (int const none : {closed, -1, 1'000'000'000}) {
      std::error_code ec;
      wait_readable(none, ec);
      verify(ec == std::errc::bad_file_descriptor);
      verify(!wait_writable_for(none, 1h, ec));
      verify(ec == std::errc::bad_file_descriptor);
      verify(throws<std::system_error>([&] { wait_readable(none); }));
      verify(throws<std::system_error>([&] { (void)weft::select(weft::on_readable(none), weft::on_timeout(1h)); }));
    }
    tcp_stream const never_open;
    verify(throws<std::system_error>([&] { wait_readable(never_open); }));
    int const file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    verify(file >= 0);
    wait_readable(file);
    verify(weft::select(weft::on_timeout(1h), weft::on_readable(file)) == 1);
    ::close(file);
  });
}

TEST_CASE("on a plain thread: asks, but does not wait", "[io][readiness]") {
  two_ends ends;
  CHECK_THROWS_AS(wait_readable(ends.end(0)), weft::no_runtime);
  CHECK_FALSE(wait_readable_for(ends.end(0), 0s));
  CHECK_THROWS_AS(weft::select(weft::on_readable(ends.end(0)), weft::on_timeout(1h)), weft::no_runtime);
  CHECK(weft::select(weft::on_readable(ends.end(0)), weft::otherwise()) == 1);
  ends.send(1);
  wait_readable(ends.end(0));
  CHECK(weft::select(weft::on_readable(ends.end(0)), weft::on_timeout(1h)) == 0);
}

TEST_CASE("in a simulation real descriptors are refused", "[io][readiness]") {
  two_ends ends;
  weft::testing::simulation simulated{1, {.report_failure = false}};
  simulated.run([&] {
    verify(throws<weft::error>([&] { wait_readable(ends.end(0)); }));
    verify(throws<weft::error>([&] { (void)weft::select(weft::on_readable(ends.end(0)), weft::on_timeout(1h)); }));
  });
}

TEST_CASE("select: a descriptor beside a channel", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    two_ends ends;
    weft::channel<int> ch{1};
    for (int i = 0; i < 100; ++i) {
      std::optional<int> got;
      bool read = false;
      auto selecting = weft::spawn(eagerly, [&] {
        return weft::select(weft::on_readable(ends.end(0), [&] { read = ends.take(0); }),
                            weft::on_receive(ch, [&](std::optional<int> value) { got = value; }));
      });
      if (i % 2 == 0) {
        ends.send(1);
        verify(selecting.get() == 0);
        verify(read && !got);
      } else {
        ch.send(i);
        verify(selecting.get() == 1);
        verify(!read && got == i);
      }
    }
  });
}

TEST_CASE("select: two descriptors, and both directions of one", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    two_ends one;
    two_ends other;
    for (int i = 0; i < 100; ++i) {
      auto const& ready = i % 2 == 0 ? one : other;
      auto selecting = weft::spawn(
          eagerly, [&] { return weft::select(weft::on_readable(one.end(0)), weft::on_readable(other.end(0))); });
      ready.send(1);
      verify(selecting.get() == static_cast<std::size_t>(i % 2));
      verify(ready.take(0));
    }
    one.fill(0);
    auto selecting = weft::spawn(
        eagerly, [&] { return weft::select(weft::on_readable(one.end(0)), weft::on_writable(one.end(0))); });
    one.drain(1);
    verify(selecting.get() == 1);
  });
}

TEST_CASE("select: a stream and a listener of weft's, without reading or accepting", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    auto listener = tcp_listener::bind({ip_address::loopback_v4(), 0});
    auto selecting = weft::spawn(eagerly, [&] { return weft::select(weft::on_readable(listener)); });
    auto here = tcp_stream::connect(listener.local_endpoint());
    verify(selecting.get() == 0);
    auto there = listener.accept();
    for (int i = 0; i < 50; ++i) {
      auto waits = weft::spawn(eagerly, [&] { return weft::select(weft::on_readable(here)); });
      verify(!waits.ready());
      there.write_all("x");
      verify(waits.get() == 0);
      std::byte one{};
      verify(here.read_some(std::span{&one, 1}) == 1);
      verify(!wait_readable_for(here, 0s));
    }
    wait_writable(here);
  });
}

TEST_CASE("H9: who selects a stream that is closed meanwhile is told so", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    for (int i = 0; i < 50; ++i) {
      auto both = connected_pair();
      std::error_code waited;
      auto selecting = weft::spawn(eagerly, [&] { return code_of_select(both.here); });
      auto waiting = weft::spawn(eagerly, [&] { wait_readable(both.here, waited); });
      both.here.close();
      verify(selecting.get() == std::errc::bad_file_descriptor);
      waiting.get();
      verify(waited == std::errc::bad_file_descriptor);
    }
  });
}

TEST_CASE("H9: a stream may be gone as soon as its end has woken who selects it", "[io][readiness][select]") {
  run_with(weft::testing::fifo(), [] {
    for (int i = 0; i < 50; ++i) {
      auto both = connected_pair();
      std::optional<tcp_stream> here{std::move(both.here)};
      std::error_code waited;
      auto selecting = weft::spawn([&] { return code_of_select(*here); });
      auto waiting = weft::spawn([&] { wait_readable(*here, waited); });
      weft::testing::run_until_blocked();
      here.reset();
      verify(selecting.get() == std::errc::bad_file_descriptor);
      waiting.get();
      verify(waited == std::errc::bad_file_descriptor);
    }
  });
}

TEST_CASE("rule 3: a readiness and a cancellation at once: one of them", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    two_ends ends;
    for (int i = 0; i < 200; ++i) {
      auto selecting = weft::spawn(eagerly,
                                   [&] { return weft::select(weft::on_readable(ends.end(0)), weft::on_timeout(1h)); });
      if (i % 2 == 0) {
        ends.send(1);
        selecting.cancel();
      } else {
        selecting.cancel();
        ends.send(1);
      }
      try {
        verify(selecting.get() == 0);
      } catch (weft::cancelled const&) {
      }
      verify(wait_readable_for(ends.end(0), 0s));  // it stays so
      verify(ends.take(0));
    }
  });
}

TEST_CASE("soak: selects over descriptors and a channel miss nothing, whoever else reads", "[io][readiness][select]") {
  run_on(some_workers(), [] {
    constexpr int readers = 4;
    auto const each = static_cast<int>(scaled(2000));
    std::array<two_ends, 3> ends;
    weft::channel<int> ch{2};
    weft::event stop;
    std::atomic<int> taken{0};
    std::vector<weft::task<void>> reading;
    for (int r = 0; r < readers; ++r) {
      reading.push_back(weft::spawn([&] {
        auto const take = [&taken](two_ends const& from) {
          if (from.take(0)) ++taken;
        };
        bool stopped = false;
        while (!stopped) {
          (void)weft::select(weft::on_readable(ends[0].end(0), [&] { take(ends[0]); }),
                             weft::on_readable(ends[1].end(0), [&] { take(ends[1]); }),
                             weft::on_readable(ends[2].end(0), [&] { take(ends[2]); }),
                             weft::on_receive(ch, [&](std::optional<int>) { ++taken; }),
                             weft::on_event(stop, [&] { stopped = true; }));
        }
      }));
    }
    std::vector<weft::task<void>> writing;
    for (int w = 0; w < 4; ++w) {
      writing.push_back(weft::spawn([&, w] {
        for (int i = 0; i < each; ++i) {
          if (w == 3) {
            ch.send(i);
          } else {
            wait_writable(ends[static_cast<std::size_t>(w)].end(1));
            ends[static_cast<std::size_t>(w)].send(1);
          }
          if (i % 7 == 0) weft::yield();
        }
      }));
    }
    for (auto& t : writing) t.get();
    while (taken < 4 * each) weft::yield();
    stop.set();
    for (auto& t : reading) t.get();
    verify(taken == 4 * each);
  });
}

TEST_CASE("datagram sockets and listeners of any kind can be waited for, and closed meanwhile", "[io][readiness]") {
  run_on(some_workers(), [] {
    auto udp = udp_socket::bind({ip_address::loopback_v4(), 0});
    auto names = unix_listener::bind(some_name());
    auto const wait_for_both = [&] {
      int ready = 0;
      (void)weft::select(weft::on_readable(udp, [&] { ready = 1; }), weft::on_readable(names, [&] { ready = 2; }));
      return ready;
    };
    auto first = weft::spawn(eagerly, wait_for_both);
    udp.send_to(udp.local_endpoint(), "x");
    verify(first.get() == 1);
    std::array<std::byte, 1> one{};
    (void)udp.receive_from(one);
    auto second = weft::spawn(eagerly, wait_for_both);
    auto const client = unix_stream::connect(names.local_endpoint());
    verify(second.get() == 2);
    (void)names.accept();
    auto third = weft::spawn(eagerly, [&] {
      std::error_code ec;
      wait_readable(udp, ec);
      return ec;
    });
    udp.close();
    verify(third.get() == std::errc::bad_file_descriptor);
  });
}
