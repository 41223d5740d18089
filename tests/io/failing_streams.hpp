#pragma once
/// @file
/// What all streams do, while calls fail.

#include "io/failing_calls.hpp"
#include "support/verify.hpp"

#include <weft/io/stream.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::test {

/// What there is to read on each connection.
inline constexpr std::string_view two_lines = "0123\n4567\n";

/// @tparam Connection  has in(), a stream on which there are two lines to read, and out(), one to write to
template <class Connection>
std::vector<entry_point> of_streams() {
  using c = Connection;
  using code = std::error_code;
  using buffer = std::array<std::byte, 4>;
  using buffers = std::array<std::span<std::byte>, 2>;
  constexpr std::array<std::string_view, 2> pieces{"ab", "cd"};
  std::vector<entry_point> table;
  auto const add = [&](char const* name, auto call) { table.push_back({name, std::move(call)}); };

  add("read_some", twice_on<c>([](c& of) {
        buffer b{};
        verify(of.in().read_some(b) > 0);
      }));
  add("read_some, ec", twice_on_ec<c>([](c& of, code& ec) {
        buffer b{};
        verify((of.in().read_some(b, ec) > 0) == !ec);
      }));
  add("read_some of buffers", twice_on<c>([](c& of) {
        buffer b{};
        verify(of.in().read_some(buffers{std::span{b}.first(1), std::span{b}.last(3)}) > 0);
      }));
  add("read_some of buffers, ec", twice_on_ec<c>([](c& of, code& ec) {
        buffer b{};
        verify((of.in().read_some(buffers{std::span{b}.first(1), std::span{b}.last(3)}, ec) > 0) == !ec);
      }));
  // What came before a failure is not lost, if the caller has not got it.
  add("read_exactly", [](stage& s) {
    c of;
    bool const read = s.inject([&] {
      buffer b{};
      of.in().read_exactly(b);
    });
    verify(of.in().read_exactly(4) == (read ? "\n456" : "0123"));
  });
  add("read_exactly, ec", [](stage& s) {
    c of;
    buffer b{};
    std::size_t done = 0;
    s.inject_ec([&](code& ec) {
      done = of.in().read_exactly(b, ec);
      verify((done == b.size()) == !ec);
    });
    verify(of.in().read_exactly(4) == two_lines.substr(done, 4));
  });
  add("read_line", [](stage& s) {
    c of;
    bool const read = s.inject([&] { verify(of.in().read_line() == "0123"); });
    verify(of.in().read_line() == (read ? "4567" : "0123"));
  });
  add("read_line, ec", [](stage& s) {
    c of;
    bool const read = s.inject_ec([&](code& ec) {
      auto const line = of.in().read_line(ec);
      verify(ec || line == "0123");
    });
    if (read) verify(of.in().read_line() == "4567");
  });
  add("write_some", twice_on<c>([](c& of) { verify(of.out().write_some(bytes_of("abc")) > 0); }));
  add("write_some, ec",
      twice_on_ec<c>([](c& of, code& ec) { verify((of.out().write_some(bytes_of("abc"), ec) > 0) == !ec); }));
  add("write_all", twice_on<c>([](c& of) { of.out().write_all("abcdef"); }));
  add("write_all, ec", twice_on_ec<c>([](c& of, code& ec) { verify((of.out().write_all("abcdef", ec) == 6) == !ec); }));
  add("write_all of buffers", twice_on<c>([=](c& of) { of.out().write_all(pieces); }));
  add("write_all of buffers, ec",
      twice_on_ec<c>([=](c& of, code& ec) { verify((of.out().write_all(pieces, ec) == 4) == !ec); }));
  add("close", [](stage& s) {
    c of;
    s.inject([&] {
      of.in().close();
      of.out().close();
    });
    verify(!of.in().is_open() && !of.out().is_open());
    verify(s.struck <= (&of.in() == &of.out() ? 1 : 2));  // to close again would close another's
  });
  return table;
}

}  // namespace weft::test
