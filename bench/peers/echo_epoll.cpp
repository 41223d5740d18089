/// @file
/// Echo by a bare epoll loop: what bounds all servers from below. Each thread has a loop and a listener of its own.

#include "../counted_calls.hpp"
#include "../echo.hpp"

#include <memory>
#include <thread>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace {

class echo_loop {
public:
  echo_loop(std::uint16_t& port, int stop) : listener_{bench::shared_listener(port)}, stop_{stop} {
    watch(listener_);
    watch(stop_);
  }

  void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      int const ready = ::epoll_wait(epoll_, events.data(), events.size(), -1);
      if (ready < 0 && errno != EINTR) bench::fail("epoll_wait");
      for (int i = 0; i < ready; ++i) {
        int const fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == stop_) return;
        if (fd == listener_) {
          accept();
        } else {
          echo(fd);
        }
      }
    }
  }

private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    bench::checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void accept() {
    int const fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    bench::no_delay(fd);
    watch(fd);
  }

  void echo(int fd) {
    auto const size = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size > 0) {
      bench::count_echo();
      // An echo always fits the socket's buffer, because its sender waits for it before it sends more.
      if (::send(fd, buffer_.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size) return;
    }
    ::close(fd);
  }

  int epoll_ = bench::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int listener_;
  int stop_;
  std::array<char, bench::echo_buffer> buffer_{};
};

}  // namespace

int main(int argc, char** argv) {
  auto args = bench::parse_echo(argc, argv);
  bench::raise_descriptor_limit();
  auto const signals = bench::block_sigterm();
  int const stop = bench::checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
  std::vector<std::unique_ptr<echo_loop>> loops;
  for (unsigned i = 0; i < args.threads; ++i) loops.push_back(std::make_unique<echo_loop>(args.port, stop));
  std::vector<std::thread> threads;
  for (auto& loop : loops) {
    threads.emplace_back([&loop = *loop] { loop.run(); });
  }
  bench::announce(args.port);
  bench::wait_for_signal(signals);
  ::eventfd_write(stop, 1);
  for (auto& thread : threads) thread.join();
  bench::report_calls();
}
