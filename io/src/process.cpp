#include <weft/io/process.hpp>

#include "child.hpp"
#include "error_text.hpp"
#include "process_start.hpp"
#include "process_state.hpp"

#include <weft/io/error.hpp>
#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/task_group.hpp>

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <unistd.h>

namespace weft::inline v0::io {

using detail::readiness;
using detail::system_calls;

namespace {

exit_status status_in(siginfo_t const& ended) noexcept {
  if (ended.si_code == CLD_EXITED) return exit_status::exited(ended.si_status);
  return exit_status::signalled(ended.si_status, ended.si_code == CLD_DUMPED);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// What is known of it
// ---------------------------------------------------------------------------------------------------------------------

int process::state::own_number() noexcept { return ::getpid(); }

bool process::state::is_ours() const noexcept { return parent_ == own_number(); }

void process::state::check_ours() const {
  if (!is_ours()) throw runtime_stopped("weft: a forked process has no say over those that the other has started");
}

ssize_t process::state::reap(system_calls& calls, int pidfd) noexcept {
  std::lock_guard const held{lock_};
  if (phase_ == phase::ended) return 1;
  if (phase_ == phase::unknown) return -ECHILD;
  siginfo_t about{};
  int const result = calls.wait_process(pidfd, about);
  if (result == -ECHILD) phase_ = phase::unknown;
  if (result < 0) return result;
  if (about.si_pid == 0) return -EAGAIN;
  status_ = status_in(about);
  phase_ = phase::ended;
  return 1;
}

std::optional<exit_status> process::state::status() const noexcept {
  std::lock_guard const held{lock_};
  return phase_ == phase::ended ? std::optional{status_} : std::nullopt;
}

bool process::state::over() const noexcept {
  std::lock_guard const held{lock_};
  return phase_ != phase::runs;
}

int process::state::send(system_calls& calls, int pidfd, int signal) noexcept {
  std::lock_guard const held{lock_};  // as long as it has not been waited for, its number is a group of its own
  if (phase_ != phase::runs) return -ESRCH;
  return leads_group ? calls.signal_group(number, signal) : calls.signal_process(pidfd, signal);
}

void process::state::reap_blocking(int pidfd) noexcept {
  pollfd asked{pidfd, POLLIN, 0};
  while (reap(detail::kernel_calls(), pidfd) == -EAGAIN) (void)::poll(&asked, 1, -1);
}

// ---------------------------------------------------------------------------------------------------------------------
// Lifetime
// ---------------------------------------------------------------------------------------------------------------------

process::process() noexcept = default;
process::process(process&&) noexcept = default;

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    end();
    descriptor_ = std::move(other.descriptor_);
    state_ = std::move(other.state_);
    in_ = std::move(other.in_);
    out_ = std::move(other.out_);
    err_ = std::move(other.err_);
  }
  return *this;
}

process::~process() { end(); }

process process::spawn(std::vector<std::string> const& argv, process_options const& options, std::error_code& ec) {
  return process_start{argv, options}.run(ec);
}

process process::spawn(std::vector<std::string> const& argv, process_options const& options) {
  std::error_code ec;
  process_start attempt{argv, options};
  auto made = attempt.run(ec);
  if (ec) throw_error(ec, {attempt.what()});
  return made;
}

void process::take(int number, int pidfd, system_calls& calls) {
  state_->number = number;
  try {
    descriptor_ = detail::open_descriptor{pidfd, calls};
  } catch (...) {  // which has closed the descriptor: it is known by its number alone
    (void)::kill(number, SIGKILL);
    detail::reap_child(number);
    state_.reset();
    throw;
  }
  descriptor_.polled()->exhausted(readiness::readable);  // it has only just begun
}

void process::end() noexcept {
  if (state_ == nullptr) return;
  if (state_->number > 0 && state_->is_ours() && !state_->over()) {
    // Past whoever stands in front of the system calls: what fails here would leave it behind.
    (void)state_->send(detail::kernel_calls(), descriptor_.number(), SIGKILL);
    try {
      cancel_shield const shielded;
      std::error_code ec;
      (void)wait(ec);
    } catch (...) {  // nobody can wait here, or there is no memory for it
    }
    if (!state_->over()) state_->reap_blocking(descriptor_.number());
  }
  in_.close();
  out_.close();
  err_.close();
  descriptor_.close();
  state_.reset();
}

int process::id() const noexcept { return state_ != nullptr ? state_->number : -1; }

std::string const& process::program() const noexcept {
  static std::string const none;
  return state_ != nullptr ? state_->program : none;
}

// ---------------------------------------------------------------------------------------------------------------------
// Its end
// ---------------------------------------------------------------------------------------------------------------------

exit_status process::wait(std::error_code& ec) {
  if (state_ != nullptr) state_->check_ours();
  auto const attempt = [this](system_calls& calls, int pidfd) { return state_->reap(calls, pidfd); };
  if (descriptor_.perform(readiness::readable, 1, ec, attempt) < 0) return exit_status::exited(-1);
  return *state_->status();
}

exit_status process::wait() {
  std::error_code ec;
  auto const status = wait(ec);
  if (ec) throw_error(ec, {"waiting for '", program(), "'"});
  return status;
}

bool process::wait_until_(time_point deadline) {
  if (!detail::wait_ready(*this, readiness::readable, deadline)) return false;
  (void)wait();
  return true;
}

std::optional<exit_status> process::try_wait() {
  std::error_code ec;
  if (state_ == nullptr) {
    ec = detail::closed_error();
  } else {
    state_->check_ours();
    auto const result = state_->reap(descriptor_.calls(), descriptor_.number());
    if (result < 0 && result != -EAGAIN && result != -EINTR) ec = detail::system_error_of(result);
  }
  if (ec) throw_error(ec, {"asking for the end of '", program(), "'"});
  return state_->status();
}

bool process::signal(int number, std::error_code& ec) {
  ec.clear();
  if (state_ == nullptr) {
    ec = detail::closed_error();
    return false;
  }
  state_->check_ours();
  int const result = state_->send(descriptor_.calls(), descriptor_.number(), number);
  if (result < 0 && result != -ESRCH) ec = detail::system_error_of(result);
  return result >= 0;
}

bool process::signal(int number) {
  std::error_code ec;
  bool const sent = signal(number, ec);
  if (ec) throw_error(ec, {"sending signal ", std::to_string(number), " to '", program(), "'"});
  return sent;
}

bool process::terminate() { return signal(SIGTERM); }
bool process::terminate(std::error_code& ec) { return signal(SIGTERM, ec); }
bool process::kill() { return signal(SIGKILL); }
bool process::kill(std::error_code& ec) { return signal(SIGKILL, ec); }

exit_status process::stop_(time_point deadline) {
  (void)terminate();
  if (!wait_until_(deadline)) (void)kill();
  return wait();
}

// ---------------------------------------------------------------------------------------------------------------------
// To its end, with all that it says
// ---------------------------------------------------------------------------------------------------------------------

process_output process::communicate(std::string_view input, std::size_t limit, std::error_code& ec) {
  process_output done{exit_status::exited(-1), {}, {}};
  ec.clear();
  if (!input.empty() && !in_.is_open()) {
    ec = std::make_error_code(std::errc::invalid_argument);
    return done;
  }
  std::error_code failed_in;
  std::error_code failed_out;
  std::error_code failed_err;
  {
    task_group talking;
    auto const read = [&](stream& from, std::string& to, std::error_code& failed) {
      if (!from.is_open()) return;
      talking.spawn([&, limit] {
        to = from.read_all(limit, failed);
        if (failed) talking.cancel();  // who writes too much to one must not be waited for on the other
      });
    };
    read(out_, done.out, failed_out);
    read(err_, done.err, failed_err);
    if (!input.empty()) {
      talking.spawn([&] {
        (void)in_.write_all(input, failed_in);
        if (failed_in == std::errc::broken_pipe) failed_in.clear();
        if (failed_in) talking.cancel();
        in_.close();
      });
    } else {
      in_.close();
    }
    talking.wait();
  }
  auto const take_rest = [](stream& from, std::string& to, bool incomplete) {
    if (auto const left = from.buffered(); incomplete && left != 0) to = from.read_exactly(left);
  };
  bool const incomplete = failed_in || failed_out || failed_err;
  take_rest(out_, done.out, incomplete);
  take_rest(err_, done.err, incomplete);
  for (auto const& failed : {failed_in, failed_out, failed_err}) {
    if (failed) ec = failed;
  }
  if (ec) return done;
  done.status = wait(ec);
  return done;
}

process_output process::communicate(std::string_view input, std::size_t limit) {
  std::error_code ec;
  auto done = communicate(input, limit, ec);
  if (ec == std::errc::message_size) {
    throw limit_overrun(std::string("weft: '").append(program()).append("' has written more than it may"), limit);
  }
  if (ec) throw_error(ec, {"talking to '", program(), "'"});
  return done;
}

/// Sets what run_process() is used for.
class usual_pipes {
public:
  static process_options instead_of_inherited(process_options options, bool has_input) {
    set(options.in, has_input ? redirection::pipe() : redirection::null());
    set(options.out, redirection::pipe());
    set(options.err, redirection::pipe());
    return options;
  }

private:
  static void set(redirection& which, redirection to) {
    if (which.kind_ == redirection::kind::usual) which = std::move(to);
  }
};

process_output run_process(std::vector<std::string> const& argv, std::string_view input, process_options options) {
  auto running = process::spawn(argv, usual_pipes::instead_of_inherited(std::move(options), !input.empty()));
  return running.communicate(input);
}

process_output run_process(std::vector<std::string> const& argv, std::string_view input, process_options options,
                           std::error_code& ec) {
  auto running = process::spawn(argv, usual_pipes::instead_of_inherited(std::move(options), !input.empty()), ec);
  if (ec) return {exit_status::exited(-1), {}, {}};
  return running.communicate(input, process::no_limit, ec);
}

}  // namespace weft::inline v0::io
