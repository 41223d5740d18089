#include <weft/io/testing.hpp>

#include "cut_message.hpp"
#include "fault_state.hpp"
#include "file_faults.hpp"

#include <weft/io/detail/system_calls.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace weft::inline v0::testing {

/// Stands in front of `next`.
class socket_faults final : public detail::system_calls {
public:
  explicit socket_faults(fault_state& state) : state_(state), next_(detail::current_calls()) {
    before_ = detail::set_calls(this);
  }
  ~socket_faults() override { detail::set_calls(before_); }

  int socket(int domain, int type, int protocol) noexcept override {
    return opened(made(io_call::socket, [&] { return next_.socket(domain, type, protocol); }));
  }
  int bind(int fd, sockaddr const* to, unsigned size) noexcept override {
    return made(io_call::bind, [&] { return next_.bind(fd, to, size); });
  }
  int listen(int fd, int backlog) noexcept override {
    return made(io_call::listen, [&] { return next_.listen(fd, backlog); });
  }
  int accept(int fd, sockaddr* from, unsigned* size) noexcept override {
    return opened(made(io_call::accept, [&] { return next_.accept(fd, from, size); }));
  }
  int connect(int fd, sockaddr const* to, unsigned size) noexcept override {
    int const error = strike(io_call::connect);
    if (error != 0 && error != EINTR) return -error;
    int const status = next_.connect(fd, to, size);
    return error == EINTR && status == -EINPROGRESS ? -EINTR : status;
  }
  int shutdown(int fd, int how) noexcept override {
    return made(io_call::shutdown, [&] { return next_.shutdown(fd, how); });
  }
  int getsockname(int fd, sockaddr* name, unsigned* size) noexcept override {
    return made(io_call::getsockname, [&] { return next_.getsockname(fd, name, size); });
  }
  int getpeername(int fd, sockaddr* name, unsigned* size) noexcept override {
    return made(io_call::getpeername, [&] { return next_.getpeername(fd, name, size); });
  }
  int getsockopt(int fd, int level, int name, void* value, unsigned* size) noexcept override {
    return made(io_call::getsockopt, [&] { return next_.getsockopt(fd, level, name, value, size); });
  }
  int setsockopt(int fd, int level, int name, void const* value, unsigned size) noexcept override {
    return made(io_call::setsockopt, [&] { return next_.setsockopt(fd, level, name, value, size); });
  }
  int socketpair(int domain, int type, int protocol, int (&fds)[2]) noexcept override {
    return opened_both(made(io_call::socketpair, [&] { return next_.socketpair(domain, type, protocol, fds); }), fds);
  }
  int pipe(int (&fds)[2]) noexcept override {
    return opened_both(made(io_call::pipe, [&] { return next_.pipe(fds); }), fds);
  }

  ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept override {
    return made(io_call::recv, [&] { return next_.recv(fd, to, cut(fd, size), flags); });
  }
  ssize_t send(int fd, void const* from, std::size_t size, int flags) noexcept override {
    return made(io_call::send, [&] { return next_.send(fd, from, cut(fd, size), flags); });
  }
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override {
    return made(io_call::recvmsg, [&] {
      cut_message part{*message, limit_of(fd)};
      auto const result = next_.recvmsg(fd, &part.message(), flags);
      part.give_back(*message);
      return result;
    });
  }
  ssize_t sendmsg(int fd, msghdr const* message, int flags) noexcept override {
    return made(io_call::sendmsg, [&] {
      cut_message part{*message, limit_of(fd)};
      return next_.sendmsg(fd, &part.message(), flags);
    });
  }
  ssize_t read(int fd, void* to, std::size_t size) noexcept override {
    return made(io_call::read, [&] { return next_.read(fd, to, cut(fd, size)); });
  }
  ssize_t write(int fd, void const* from, std::size_t size) noexcept override {
    return made(io_call::write, [&] { return next_.write(fd, from, cut(fd, size)); });
  }
  ssize_t readv(int fd, iovec const* to, int count) noexcept override {
    return made(io_call::readv, [&] {
      cut_vector const part{to, static_cast<std::size_t>(count), limit_of(fd)};
      return next_.readv(fd, part.data(), static_cast<int>(part.size()));
    });
  }
  ssize_t writev(int fd, iovec const* from, int count) noexcept override {
    return made(io_call::writev, [&] {
      cut_vector const part{from, static_cast<std::size_t>(count), limit_of(fd)};
      return next_.writev(fd, part.data(), static_cast<int>(part.size()));
    });
  }

  int close(int fd) noexcept override {
    int const error = strike(io_call::close);
    state_.open.erase(fd);  // before somebody else gets the number
    int const status = next_.close(fd);
    return error != 0 ? -error : status;
  }

  int start_process(detail::child_plan& plan, int& pidfd) noexcept override {
    int const number = made(io_call::start_process, [&] { return next_.start_process(plan, pidfd); });
    if (number >= 0) state_.open.insert(pidfd);
    return number;
  }
  int wait_process(int pidfd, siginfo_t& ended) noexcept override {
    return made(io_call::wait_process, [&] { return next_.wait_process(pidfd, ended); });
  }
  int signal_process(int pidfd, int signal) noexcept override {
    return made(io_call::signal_process, [&] { return next_.signal_process(pidfd, signal); });
  }
  int signal_group(int group, int signal) noexcept override {
    return made(io_call::signal_process, [&] { return next_.signal_group(group, signal); });
  }

  int poll(int fd, short events) noexcept override { return next_.poll(fd, events); }
  [[nodiscard]] std::shared_ptr<detail::name_service> names() override { return next_.names(); }
  [[nodiscard]] detail::descriptor_kind kind() const noexcept override { return next_.kind(); }
  void watched(detail::polled_descriptor& of) noexcept override {
    state_.open.insert(of.number());
    next_.watched(of);
  }
  [[nodiscard]] system_calls& beneath() noexcept override { return next_.beneath(); }

private:
  int strike(io_call which) noexcept { return state_.strike(which); }
  template <class Call>
  auto made(io_call which, Call&& call) noexcept -> decltype(call()) {
    return state_.made(which, call);
  }

  int opened(int number) noexcept {
    state_.open.insert(number);
    return number;
  }
  int opened_both(int status, int const (&numbers)[2]) noexcept {
    if (status == 0) {
      for (int const n : numbers) state_.open.insert(n);
    }
    return status;
  }

  /// How much a transfer may move at a time.
  std::size_t limit_of(int fd) noexcept {
    constexpr auto none = ~std::size_t{0};
    auto const bytes = state_.limit.load(std::memory_order_relaxed);
    if (bytes == 0) return none;
    int type = SOCK_STREAM;  // of what is no socket
    unsigned size = sizeof type;
    (void)next_.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return type == SOCK_STREAM ? bytes : none;
  }
  std::size_t cut(int fd, std::size_t size) noexcept { return std::min(size, limit_of(fd)); }

  fault_state& state_;
  detail::system_calls& next_;
  detail::system_calls* before_;
};

struct io_faults::calls : fault_state {
  socket_faults sockets{*this};
  file_faults files{*this};
};

io_faults::io_faults() : calls_(std::make_unique<calls>()) {}

io_faults::~io_faults() {
  if (auto const left = open_descriptors(); left != 0) {
    std::fprintf(
        stderr,
        "weft: io_faults has ended, but %zu descriptors that were opened through it are still open: close them "
        "before\n",
        left);
    std::abort();
  }
}

std::size_t io_faults::open_descriptors() const noexcept { return calls_->open.size(); }

std::uint64_t io_faults::count(io_call which) const noexcept {
  return calls_->counts[static_cast<std::size_t>(which)].load(std::memory_order_relaxed);
}

std::uint64_t io_faults::count() const noexcept {
  std::uint64_t sum = 0;
  for (auto const& n : calls_->counts) sum += n.load(std::memory_order_relaxed);
  return sum;
}

void io_faults::fail(io_call which, std::errc error, std::uint64_t nth, std::uint64_t times) {
  calls_->set_plan(
      {.all_kinds = false, .which = which, .first = nth, .last = nth + times - 1, .errors = {static_cast<int>(error)}});
}

void io_faults::fail(std::errc error, std::uint64_t nth, std::uint64_t times) {
  calls_->set_plan({.first = nth, .last = nth + times - 1, .errors = {static_cast<int>(error)}});
}

void io_faults::fail_at_random(std::uint64_t seed, std::uint32_t one_in, std::span<std::errc const> errors) {
  if (one_in == 0 || errors.empty()) {
    throw std::invalid_argument("weft::testing::io_faults: one_in must be at least 1, and there must be errors");
  }
  fault_plan plan{.seed = seed, .one_in = one_in};
  for (auto const e : errors) plan.errors.push_back(static_cast<int>(e));
  calls_->set_plan(std::move(plan));
}

std::uint64_t io_faults::fail_no_more() noexcept { return calls_->set_plan({}); }

std::uint64_t io_faults::failed() const noexcept { return calls_->failed.load(std::memory_order_relaxed); }

void io_faults::limit_transfers(std::size_t bytes) noexcept { calls_->limit.store(bytes, std::memory_order_relaxed); }

void io_faults::delay_files(std::chrono::nanoseconds each) noexcept {
  calls_->delay.store(each.count(), std::memory_order_relaxed);
}

}  // namespace weft::inline v0::testing
