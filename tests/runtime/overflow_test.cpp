/// @file
/// A fiber that runs off its stack (H12): the process dies by the fault, a line says which fiber it was, and no
/// neighbour's stack has been written to. This file is built with stack-clash protection, as programs should be that
/// put large objects on fibers' stacks: each frame then touches its pages in order, and none steps over the guard.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/scale.hpp"

#include <weft/runtime/generator.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

using namespace weft::test;

namespace {

constexpr std::size_t kib = 1024;
constexpr unsigned char pattern = 0xA5;

/// What the fibers beside the one that overflows have on their stacks.
struct neighbour {
  unsigned char* bytes = nullptr;
  std::size_t size = 0;
};
std::array<neighbour, 8> neighbours;

void say(char const* text) { (void)!::write(STDERR_FILENO, text, std::string_view(text).size()); }

/// Stands for the program's own handler of faults, to which weft passes them on.
void check_neighbours(int) {
  bool const unchanged = std::all_of(neighbours.begin(), neighbours.end(), [](neighbour const& n) {
    return n.bytes != nullptr && std::all_of(n.bytes, n.bytes + n.size, [](unsigned char c) { return c == pattern; });
  });
  say(unchanged ? "neighbours unchanged\n" : "neighbours overwritten\n");
  ::signal(SIGSEGV, SIG_DFL);
}

std::size_t volatile endless = ~std::size_t{0};

template <std::size_t Bytes>
[[gnu::noinline]] std::size_t large_frames(std::size_t depth) {
  unsigned char volatile frame[Bytes];  // NOLINT: std::array's members are not volatile
  frame[depth % Bytes] = 1;
  if (depth == endless) return 0;
  return large_frames<Bytes>(depth + 1) + frame[depth % Bytes];
}

std::size_t (*deepest)(std::size_t) = nullptr;

[[gnu::noinline]] std::size_t small_frames(std::size_t depth) {
  unsigned char volatile frame[200];  // NOLINT: as above
  frame[depth % sizeof(frame)] = 1;
  auto const below = depth == 0 ? deepest(0) : small_frames(depth - 1);
  return below + frame[depth % sizeof(frame)];
}

std::size_t run_off(std::size_t frame_kib, std::size_t depth) {
  deepest = frame_kib == 24   ? &large_frames<24 * kib>
            : frame_kib == 60 ? &large_frames<60 * kib>
                              : &large_frames<200 * kib>;
  return small_frames(depth);
}

/// In a child: parks neighbours, then lets a fiber among them run off its stack.
death overflow(std::size_t frame_kib, std::size_t depth, std::size_t workers) {
  return run_in_child([=] {
    ::signal(SIGSEGV, &check_neighbours);
    (void)weft::run(
        [=] {
          weft::event release;
          weft::event parked;
          std::size_t count = 0;
          std::vector<weft::task<void>> tasks;
          std::size_t result = 0;
          for (std::size_t i = 0; i <= neighbours.size(); ++i) {
            if (i == neighbours.size() / 2) {
              tasks.push_back(weft::spawn(weft::spawn_options{.name = "deep thought"}, [&] {
                parked.wait();
                result = run_off(frame_kib, depth);
              }));
              continue;
            }
            auto& mine = neighbours[i < neighbours.size() / 2 ? i : i - 1];
            tasks.push_back(weft::spawn([&] {
              std::array<unsigned char, 512> bytes{};
              bytes.fill(pattern);
              mine = {bytes.data(), bytes.size()};
              if (++count == neighbours.size()) parked.set();
              release.wait();
            }));
          }
          for (auto& t : tasks) t.wait();
          return result;
        },
        {.workers = workers, .stack_size = 256 * kib});
  });
}

}  // namespace

TEST_CASE("H12: a fiber that runs off its stack is named, and its neighbours keep theirs", "[hazard][H12]") {
  if (under_sanitizer) return;  // whose own handlers and frames come first
  auto const seed = static_cast<unsigned>(std::random_device{}());
  INFO("seed " << seed);
  std::mt19937 random{seed};
  auto const runs = full_length ? std::size_t{334} : std::size_t{8};
  for (std::size_t const frame_kib : {24U, 60U, 200U}) {
    for (std::size_t run = 0; run < runs; ++run) {
      std::size_t const depth = random() % 600;
      auto const d = overflow(frame_kib, depth, 1);
      INFO("frames of " << frame_kib << " KiB at depth " << depth << ": " << d.output);
      CHECK_FALSE(d.exited);
      CHECK(d.status == SIGSEGV);
      CHECK(d.output.find("stack overflow in fiber") != std::string::npos);
      CHECK(d.output.find("'deep thought': its stack of 262144 bytes") != std::string::npos);
      CHECK(d.output.find("stack_size") != std::string::npos);
      CHECK(d.output.find("neighbours unchanged") != std::string::npos);
    }
  }
}

TEST_CASE("H12: a generator's body that runs off its stack is named as such, with the fiber for which it ran",
          "[hazard][H12][generator]") {
  if (under_sanitizer) return;
  auto const overflow_in_body = [] {
    weft::generator<std::size_t> outer([](auto& yield_outer) {
      weft::generator<std::size_t> inner({.stack_size = 64 * kib}, [](auto& yield) {
        yield(std::size_t{1});
        yield(run_off(24, 100));
      });
      for (auto const v : inner) yield_outer(v);
    });
    for (auto const v : outer) (void)v;
  };
  auto const on_fiber = run_in_child(
      [&] { weft::run([&] { weft::spawn({.name = "reader"}, overflow_in_body).get(); }, {.workers = 1}); });
  CHECK_FALSE(on_fiber.exited);
  CHECK(on_fiber.status == SIGSEGV);
  CHECK(on_fiber.output.find("weft: stack overflow in a generator's body, which ran for fiber ") != std::string::npos);
  CHECK(on_fiber.output.find("'reader': its stack of 65536 bytes") != std::string::npos);
  CHECK(on_fiber.output.find("generator_options::stack_size") != std::string::npos);
  // The fiber itself is named by its own stack again when the body does not run.
  auto const outside = run_in_child([] {
    weft::run(
        [] {
          weft::generator<int> g([](auto& yield) { yield(1); });
          (void)g.begin();
          return run_off(24, 100);
        },
        {.workers = 1});
  });
  CHECK_FALSE(outside.exited);
  CHECK(outside.output.find("weft: stack overflow in fiber ") != std::string::npos);
}

TEST_CASE("H12: a fault that is no overflow goes to whoever handled it before", "[hazard][H12]") {
  if (under_sanitizer) return;
  auto const d = run_in_child([] {
    ::signal(SIGSEGV, [](int) {
      say("theirs\n");
      ::_exit(7);
    });
    weft::run([] {
      int volatile* volatile nowhere = nullptr;
      *nowhere = 1;
    });
  });
  CHECK(d.exited);
  CHECK(d.status == 7);
  CHECK(d.output == "theirs\n");
}

TEST_CASE("H12: without another handler a fault ends the process, and so does a signal sent", "[hazard][H12]") {
  if (under_sanitizer) return;
  auto const fault = run_in_child([] {
    weft::run([] {
      int volatile* volatile nowhere = nullptr;
      *nowhere = 1;
    });
  });
  CHECK_FALSE(fault.exited);
  CHECK(fault.status == SIGSEGV);
  CHECK(fault.output.empty());
  auto const sent = run_in_child([] { weft::run([] { ::raise(SIGSEGV); }); });
  CHECK_FALSE(sent.exited);
  CHECK(sent.status == SIGSEGV);
}

TEST_CASE("H12: the program's handlers are back when no runtime is left", "[hazard][H12]") {
  struct sigaction before{};
  struct sigaction during{};
  struct sigaction after{};
  ::sigaction(SIGSEGV, nullptr, &before);
  {
    weft::runtime const a{{.workers = 1}};
    weft::runtime const b{{.workers = 1}};
    ::sigaction(SIGSEGV, nullptr, &during);
  }
  ::sigaction(SIGSEGV, nullptr, &after);
  CHECK(during.sa_sigaction != before.sa_sigaction);
  CHECK(after.sa_sigaction == before.sa_sigaction);
}

namespace {

struct sigaction behind{};  // the handler that the program found when it put in its own
int volatile calls = 0;     // NOLINT: for a signal's handler

void call_behind(int signal, siginfo_t* info, void* context) {
  calls = calls + 1;
  if (calls > 1) ::_exit(9);
  behind.sa_sigaction(signal, info, context);
}

void put_in_front() {
  struct sigaction ours{};
  ours.sa_sigaction = &call_behind;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGSEGV, &ours, &behind);
}

}  // namespace

TEST_CASE("H12: a program's handler in front of weft's is called once for a fault, whatever runtimes come and go",
          "[hazard][H12]") {
  if (under_sanitizer) return;
  auto const fault = [] {
    weft::run([] { weft::spawn({.name = "deep thought"}, [] { return run_off(24, 10); }).get(); }, {.workers = 1});
  };
  auto const d = run_in_child([&] {
    {
      weft::runtime const first{{.workers = 1}};
      put_in_front();
    }
    fault();
  });
  INFO(d.output);
  CHECK_FALSE(d.exited);
  CHECK(d.status == SIGSEGV);
  CHECK(d.output.find("stack overflow in fiber") != std::string::npos);
  // And a program that takes its own away again finds things as they were.
  auto const taken_away = run_in_child([&] {
    {
      weft::runtime const first{{.workers = 1}};
      put_in_front();
    }
    weft::run([] {}, {.workers = 1});
    ::signal(SIGSEGV, SIG_DFL);
    fault();
  });
  INFO(taken_away.output);
  CHECK_FALSE(taken_away.exited);
  CHECK(taken_away.status == SIGSEGV);
  CHECK(taken_away.output.find("stack overflow in fiber") != std::string::npos);
  auto const put_back = run_in_child([&] {
    {
      weft::runtime const first{{.workers = 1}};
      put_in_front();
      ::sigaction(SIGSEGV, &behind, nullptr);
    }
    struct sigaction after{};
    ::sigaction(SIGSEGV, nullptr, &after);
    ::_exit(after.sa_handler == SIG_DFL ? 7 : 8);
  });
  CHECK(put_back.status == 7);
}
