#include <weft/io/testing.hpp>

#include "cut_message.hpp"

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

/// Numbers of open descriptors. Those beyond its size, such as a simulated network may have, it does not know.
class open_numbers {
public:
  void insert(int number) noexcept { change(number, true); }
  void erase(int number) noexcept { change(number, false); }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
  void change(int number, bool open) noexcept {
    if (number < 0 || static_cast<std::size_t>(number) >= open_.size()) return;
    // relaxed: whoever opens and closes a number does so in order.
    bool const was = open_[static_cast<std::size_t>(number)].exchange(open, std::memory_order_relaxed);
    if (was != open)
      open ? size_.fetch_add(1, std::memory_order_relaxed) : size_.fetch_sub(1, std::memory_order_relaxed);
  }

  std::array<std::atomic<bool>, 65536> open_{};
  std::atomic<std::size_t> size_{0};
};

/// Which calls fail, counted from when it was made.
struct fault_plan {
  bool all_kinds = true;
  io_call which{};
  std::uint64_t first = 0;  // 0: none
  std::uint64_t last = 0;
  std::uint64_t seed = 0;
  std::uint32_t one_in = 0;  // 0: not at random
  std::vector<int> errors{};
  std::uint64_t seen = 0;

  /// @returns an error number, or 0
  [[nodiscard]] int next(io_call kind) noexcept {
    if (!all_kinds && kind != which) return 0;
    if (one_in != 0 && kind == io_call::close) return 0;
    auto const number = ++seen;
    if (one_in == 0) return number >= first && number <= last ? errors.front() : 0;
    auto const drawn = mixed(seed + number * 0x9E3779B97F4A7C15U);
    return drawn % one_in == 0 ? errors[(drawn >> 32U) % errors.size()] : 0;
  }

private:
  /// SplitMix64's last step (Vigna).
  [[nodiscard]] static constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31U);
  }
};

/// Stands in front of `next`.
class io_faults::calls final : public detail::system_calls {
public:
  calls() : next_(detail::current_calls()) { before_ = detail::set_calls(this); }
  ~calls() override { detail::set_calls(before_); }

  open_numbers open;
  std::array<std::atomic<std::uint64_t>, io_calls> counts{};
  std::atomic<std::size_t> limit{0};
  std::atomic<std::uint64_t> failed{0};

  void set_plan(fault_plan to) noexcept {
    std::lock_guard const lock{mutex_};
    failed.store(0, std::memory_order_relaxed);
    plan_ = std::move(to);
    // release: pairs with strike(), though the lock says it all: it is only so that no plan costs no lock.
    planned_.store(!plan_.errors.empty(), std::memory_order_release);
  }

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
    open.erase(fd);  // before somebody else gets the number
    int const status = next_.close(fd);
    return error != 0 ? -error : status;
  }

  int start_process(detail::child_plan& plan, int& pidfd) noexcept override {
    int const number = made(io_call::start_process, [&] { return next_.start_process(plan, pidfd); });
    if (number >= 0) open.insert(pidfd);
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
    open.insert(of.number());
    next_.watched(of);
  }
  [[nodiscard]] system_calls& beneath() noexcept override { return next_.beneath(); }

private:
  /// Counts a call.  @returns what it fails with, or 0
  int strike(io_call which) noexcept {
    counts[static_cast<std::size_t>(which)].fetch_add(1, std::memory_order_relaxed);
    if (!planned_.load(std::memory_order_acquire)) return 0;
    std::lock_guard const lock{mutex_};
    int const error = plan_.errors.empty() ? 0 : plan_.next(which);
    if (error != 0) failed.fetch_add(1, std::memory_order_relaxed);
    return error;
  }

  template <class Call>
  auto made(io_call which, Call&& call) noexcept -> decltype(call()) {
    int const error = strike(which);
    return error != 0 ? -error : call();
  }

  int opened(int number) noexcept {
    open.insert(number);
    return number;
  }
  int opened_both(int status, int const (&numbers)[2]) noexcept {
    if (status == 0) {
      for (int const n : numbers) open.insert(n);
    }
    return status;
  }

  /// How much a transfer may move at a time.
  std::size_t limit_of(int fd) noexcept {
    constexpr auto none = ~std::size_t{0};
    auto const bytes = limit.load(std::memory_order_relaxed);
    if (bytes == 0) return none;
    int type = SOCK_STREAM;  // of what is no socket
    unsigned size = sizeof type;
    (void)next_.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return type == SOCK_STREAM ? bytes : none;
  }
  std::size_t cut(int fd, std::size_t size) noexcept { return std::min(size, limit_of(fd)); }

  detail::system_calls& next_;
  detail::system_calls* before_;
  std::atomic<bool> planned_{false};
  std::mutex mutex_;
  fault_plan plan_;  // guarded by mutex_
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

std::uint64_t io_faults::fail_no_more() noexcept {
  auto const so_far = failed();
  calls_->set_plan({});
  return so_far;
}

std::uint64_t io_faults::failed() const noexcept { return calls_->failed.load(std::memory_order_relaxed); }

void io_faults::limit_transfers(std::size_t bytes) noexcept { calls_->limit.store(bytes, std::memory_order_relaxed); }

}  // namespace weft::inline v0::testing
