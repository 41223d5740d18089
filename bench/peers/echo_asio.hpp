#pragma once
/// @file
/// What both Asio servers share: an io_context for each thread, and the end.

#include "../counted_calls.hpp"
#include "../echo.hpp"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;

class contexts {
public:
  explicit contexts(unsigned count) {
    for (unsigned i = 0; i < count; ++i) all_.push_back(std::make_unique<asio::io_context>(1));
  }
  asio::io_context& first() { return *all_.front(); }
  asio::io_context& next() { return *all_[turn_++ % all_.size()]; }

  /// Each on a thread, until stop().
  void run() {
    std::vector<std::thread> threads;
    for (auto& context : all_) {
      threads.emplace_back([&context = *context] {
        auto const work = asio::make_work_guard(context);
        context.run();
      });
    }
    for (auto& thread : threads) thread.join();
  }
  void stop() {
    for (auto& context : all_) context->stop();
  }

private:
  std::vector<std::unique_ptr<asio::io_context>> all_;
  std::size_t turn_ = 0;
};

/// Has `accept(acceptor, all)` start to accept, and runs until SIGTERM.
template <class Accept>
void serve(bench::echo_arguments const& args, Accept accept) {
  bench::raise_descriptor_limit();
  contexts all{args.threads};
  asio::signal_set signals{all.first(), SIGTERM};
  signals.async_wait([&](auto, int) { all.stop(); });
  tcp::acceptor acceptor{all.first(), tcp::endpoint{asio::ip::address_v4::loopback(), args.port}};
  acceptor.listen(bench::echo_backlog);
  accept(acceptor, all);
  bench::announce(acceptor.local_endpoint().port());
  all.run();
  bench::report_calls();
}
