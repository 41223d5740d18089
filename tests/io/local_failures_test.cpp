/// @file
/// System calls of Unix sockets and pipes that fail, each with what the kernel may say of it; and at random, while
/// bytes go from one end to the other.

#include "io/failing_calls.hpp"
#include "io/failing_streams.hpp"
#include "io/pairs.hpp"
#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/scratch.hpp"
#include "support/verify.hpp"
#include "support/watchdog.hpp"

#include <weft/io/pipe.hpp>
#include <weft/io/testing.hpp>
#include <weft/io/unix_listener.hpp>
#include <weft/io/unix_stream.hpp>
#include <weft/runtime/spawn.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace weft::io;
using namespace weft::test;
using weft::testing::io_call;
using weft::testing::io_faults;

struct unix_connection {
  unix_connection() : ends(unix_stream::pair()), here(ends.first), there(ends.second) { there.write_all(two_lines); }
  stream& in() { return here; }
  stream& out() { return here; }
  std::pair<unix_stream, unix_stream> ends;
  unix_stream& here;
  unix_stream& there;
};

struct pipe_connection {
  pipe_connection() { ends.writer.write_all(two_lines); }
  stream& in() { return ends.reader; }
  stream& out() { return ends.writer; }
  pipe_ends ends = weft::io::pipe();
};

std::vector<entry_point> of_unix() {
  using c = unix_connection;
  using code = std::error_code;
  auto table = of_streams<unix_connection>();
  auto const where = std::make_shared<scratch>();
  unix_endpoint const at{(*where / "socket").string()};
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };

  add("unix_listener::bind", [where, at](stage& s) {
    bool const made = s.inject([&] { (void)unix_listener::bind(at); });
    verify(where->names().empty() == !made);
    ::unlink(at.name().c_str());
    auto const listener = unix_listener::bind(at);
    verify(unix_stream::connect(at).is_open());
    ::unlink(at.name().c_str());
  });
  add("unix_listener::bind, ec", [](stage& s) {
    auto const name = some_name();
    s.inject_ec([&](code& ec) {
      auto const made = unix_listener::bind(name, {}, ec);
      verify(made.is_open() == !ec);
    });
    auto const listener = unix_listener::bind(name);
    verify(unix_stream::connect(name).is_open());
  });
  add("unix_listener::bind in place of a stale socket", [where, at](stage& s) {
    unix_listen_options const replacing{.remove_stale = true};
    (void)unix_listener::bind(at);
    s.may_tell(std::errc::address_in_use);  // of a socket that may be in use
    s.inject_ec([&](code& ec) {
      auto const made = unix_listener::bind(at, replacing, ec);
      verify(made.is_open() == !ec);
    });
    auto const listener = unix_listener::bind(at, replacing);
    verify(unix_stream::connect(at).is_open());
    ::unlink(at.name().c_str());
  });
  add("unix_listener::accept", [](stage& s) {
    auto listener = unix_listener::bind(some_name());
    auto const one = unix_stream::connect(listener.local_endpoint());
    auto const two = unix_stream::connect(listener.local_endpoint());
    s.inject([&] { (void)listener.accept(); });
    verify(listener.accept().is_open());
  });
  add("unix_listener::accept, ec", [](stage& s) {
    auto listener = unix_listener::bind(some_name());
    auto one = unix_stream::connect(listener.local_endpoint());
    one.write_all("x");
    unix_stream accepted;
    s.inject_ec([&](code& ec) {
      accepted = listener.accept(ec);
      verify(accepted.is_open() == !ec);
    });
    if (!accepted.is_open()) accepted = listener.accept();  // a failure leaves it waiting
    verify(accepted.read_exactly(1) == "x");
  });
  add("unix_stream::connect", [](stage& s) {
    auto const listener = unix_listener::bind(some_name());
    s.inject([&] { (void)unix_stream::connect(listener.local_endpoint()); });
    auto again = unix_stream::connect(listener.local_endpoint());
    again.write_all("x");
  });
  add("unix_stream::connect, ec", [](stage& s) {
    auto const listener = unix_listener::bind(some_name());
    s.inject_ec([&](code& ec) {
      auto const made = unix_stream::connect(listener.local_endpoint(), ec);
      verify(made.is_open() == !ec);
    });
    verify(unix_stream::connect(listener.local_endpoint()).is_open());
  });
  add("unix_stream::pair", [](stage& s) {
    s.inject([] { (void)unix_stream::pair(); });
    (void)unix_connection{};
  });
  add("unix_stream::pair, ec", [](stage& s) {
    s.inject_ec([](code& ec) {
      auto const made = unix_stream::pair(ec);
      verify(made.first.is_open() == !ec && made.second.is_open() == !ec);
    });
    (void)unix_connection{};
  });
  add("unix_stream::shutdown", twice_on<c>([](c& of) { of.here.shutdown(direction::send); }));
  add("unix_stream::shutdown, ec", twice_on_ec<c>([](c& of, code& ec) { of.here.shutdown(direction::both, ec); }));
  add("unix_stream::peer_credentials",
      twice_on<c>([](c& of) { verify(of.here.peer_credentials().process == ::getpid()); }));
  add("unix_stream::peer_credentials, ec",
      twice_on_ec<c>([](c& of, code& ec) { verify((of.here.peer_credentials(ec).process == ::getpid()) == !ec); }));
  return table;
}

std::vector<entry_point> of_pipes() {
  auto table = of_streams<pipe_connection>();
  table.push_back({"pipe", [](stage& s) {
                     s.inject([] { (void)weft::io::pipe(); });
                     (void)pipe_connection{};
                   }});
  table.push_back({"pipe, ec", [](stage& s) {
                     s.inject_ec([](std::error_code& ec) {
                       auto const made = weft::io::pipe(ec);
                       verify(made.reader.is_open() == !ec && made.writer.is_open() == !ec);
                     });
                     (void)pipe_connection{};
                   }});
  return table;
}

/// Writes all of `text`, whatever fails meanwhile.
void write_through(stream& to, std::string_view text) {
  for (std::size_t i = 0; !text.empty(); ++i) {
    std::error_code ec;
    auto const front = text.substr(0, 97);
    std::array const halves{front.substr(0, front.size() / 2), front.substr(front.size() / 2)};
    auto const done = i % 2 == 0 ? to.write_some(bytes_of(front), ec) : to.write_all(halves, ec);
    verify(ec || done > 0);
    text.remove_prefix(done);
  }
}

/// Reads up to the end, whatever fails meanwhile.
std::string read_through(stream& from) {
  std::string all;
  for (std::size_t i = 0;; ++i) {
    std::error_code ec;
    std::array<std::byte, 61> buffer{};
    std::size_t done = 0;
    if (i % 3 == 0) {
      done = from.read_some(buffer, ec);
    } else if (i % 3 == 1) {
      done = from.read_some(std::array{std::span{buffer}.first(20), std::span{buffer}.last(41)}, ec);
    } else {
      done = from.read_exactly(buffer, ec);
    }
    all.append(reinterpret_cast<char const*>(buffer.data()), done);
    if (done == 0 && !ec) return all;
  }
}

void move_bytes(stream& from, stream& to) {
  std::string text;
  for (int i = 0; text.size() < scaled_bytes(20'000); ++i) text.append(std::to_string(i)).append(" ");
  auto writer = weft::spawn([&] {
    write_through(to, text);
    to.close();
  });
  auto const got = read_through(from);
  writer.get();
  verify(got == text);
}

}  // namespace

TEST_CASE(
    "each kind of call of Unix sockets fails, with each error that it has: told or tried again, and nothing is left",
    "[io][failures][unix]") {
  using enum std::errc;
  auto const workers = some_workers();
  auto const failures = fail_each(
      workers, of_unix(),
      {{{io_call::socket, io_call::socketpair},
        fate::told,
        {too_many_files_open, too_many_files_open_in_system, not_enough_memory, no_buffer_space, permission_denied}},
       {{io_call::bind},
        fate::told,
        {address_in_use, permission_denied, no_such_file_or_directory, no_space_on_device, read_only_file_system,
         not_enough_memory}},
       {{io_call::listen}, fate::told, {address_in_use, not_enough_memory, permission_denied}},
       {{io_call::accept},
        fate::told,
        {too_many_files_open, too_many_files_open_in_system, not_enough_memory, no_buffer_space, connection_aborted,
         operation_not_permitted}},
       {{io_call::connect},
        fate::told,
        {connection_refused, no_such_file_or_directory, permission_denied, wrong_protocol_type, not_enough_memory,
         no_buffer_space}},
       {{io_call::connect}, fate::hidden, {resource_unavailable_try_again}},
       {{io_call::shutdown, io_call::getsockopt}, fate::told, {not_connected, no_buffer_space, not_enough_memory}},
       {{io_call::recv, io_call::recvmsg}, fate::told, {connection_reset, not_enough_memory, io_error}},
       {{io_call::send, io_call::sendmsg},
        fate::told,
        {broken_pipe, connection_reset, no_buffer_space, not_enough_memory, not_connected}},
       {{io_call::accept, io_call::recv, io_call::recvmsg, io_call::send, io_call::sendmsg},
        fate::hidden,
        {interrupted, resource_unavailable_try_again}},
       {{io_call::close}, fate::hidden, {interrupted, io_error}}});
  CHECK(failures >= 500);
}

TEST_CASE("each kind of call of pipes fails, with each error that it has: told or tried again, and nothing is left",
          "[io][failures][pipe]") {
  using enum std::errc;
  auto const workers = some_workers();
  auto const failures = fail_each(
      workers, of_pipes(),
      {{{io_call::pipe}, fate::told, {too_many_files_open, too_many_files_open_in_system, not_enough_memory}},
       {{io_call::read, io_call::readv}, fate::told, {io_error, not_enough_memory, connection_reset}},
       {{io_call::write, io_call::writev}, fate::told, {broken_pipe, io_error, not_enough_memory}},
       {{io_call::read, io_call::readv, io_call::write, io_call::writev},
        fate::hidden,
        {interrupted, resource_unavailable_try_again}},
       {{io_call::close}, fate::hidden, {interrupted, io_error}}});
  CHECK(failures >= 200);
}

TEST_CASE("calls that fail at random: what streams say to have moved has been, once and in order",
          "[io][failures][tcp][unix][pipe]") {
  auto const workers = some_workers();
  auto const seed = GENERATE(1U, 2U, 3U, 4U);
  CAPTURE(seed);
  constexpr std::array often{std::errc::interrupted,      std::errc::resource_unavailable_try_again,
                             std::errc::no_buffer_space,  std::errc::not_enough_memory,
                             std::errc::connection_reset, std::errc::connection_refused,
                             std::errc::message_size,     std::errc::operation_not_permitted};
  with_faults(workers, [&](io_faults& faults, watchdog& dog) {
    auto tcp = tcp_pair();
    auto local = unix_stream::pair();
    auto ends = weft::io::pipe();
    faults.fail_at_random(seed, 8, often);
    std::vector<weft::task<void>> moving;
    moving.push_back(weft::spawn([&] { move_bytes(tcp.first, tcp.second); }));
    moving.push_back(weft::spawn([&] { move_bytes(local.first, local.second); }));
    moving.push_back(weft::spawn([&] { move_bytes(ends.reader, ends.writer); }));
    for (auto& m : moving) {
      m.get();
      dog.feed();
    }
    CHECK(faults.fail_no_more() > 100);
  });
}
