#include "poller.hpp"

#include "poller_core.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <sys/timerfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <uv.h>

namespace weft::inline v0::detail {

namespace {

[[noreturn]] void throw_uv(int status, char const* what) {
  throw std::system_error(-status, std::generic_category(), std::string("weft: ") + what);
}

}  // namespace

poller::poller() : core_(std::make_shared<core>()), armed_count_(&core_->armed) {
  auto& c = *core_;
  if (int const e = uv_loop_init(&c.loop); e != 0) {
    // libuv before 1.51 forgets the epoll descriptor where a later step fails (libuv/libuv#4757). 0: it got none.
    if (int const forgotten = uv_backend_fd(&c.loop); uv_version() < 0x013300 && forgotten > 0) ::close(forgotten);
    throw_uv(e, "an event loop could not be made");
  }
  auto fail = [&c](int status, char const* what) {
    if (c.alarm_descriptor >= 0) ::close(c.alarm_descriptor);
    uv_walk(&c.loop, [](uv_handle_t* handle, void*) { uv_close(handle, nullptr); }, nullptr);
    uv_run(&c.loop, UV_RUN_DEFAULT);
    uv_loop_close(&c.loop);
    throw_uv(status, what);
  };
  if (int const e = uv_async_init(&c.loop, &c.async, [](uv_async_t*) {}); e != 0) {
    fail(e, "an event loop's wake-up could not be made");
  }
  c.alarm_descriptor = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (c.alarm_descriptor < 0) fail(-errno, "an event loop's timer could not be made");
  if (int const e = uv_poll_init(&c.loop, &c.alarm, c.alarm_descriptor); e != 0) fail(e, "timerfd cannot be polled");
  // The expiry is not read: arm() resets it.
  uv_poll_start(&c.alarm, UV_READABLE, [](uv_poll_t*, int, int) {});
}

poller::~poller() { core_->end(); }

void poller::wake() noexcept { core_->wake(); }

void poller::core::wake() noexcept {
  // release: publishes what the worker is woken for. acquire: pairs with sleep(): if it took an earlier wake-up, then
  // it has taken libuv's signal too, and another is sent. Who finds the flag set leaves the sending to who set it.
  if (!woken.exchange(true, std::memory_order_acq_rel)) uv_async_send(&async);
}

/// An alarm that has gone off ends every sleep at once, until it is set anew; a deadline that has passed never comes
/// again, so that an equal one is set already.
void poller::arm(time_point deadline) noexcept {
  if (deadline == armed_) return;
  // The deadline counts on CLOCK_MONOTONIC, as steady_clock does; 0 would disarm.
  auto const ns = deadline == never ? std::int64_t{0} : std::max<std::int64_t>(deadline.time_since_epoch().count(), 1);
  itimerspec spec{};
  spec.it_value.tv_sec = ns / 1'000'000'000;
  spec.it_value.tv_nsec = ns % 1'000'000'000;
  ::timerfd_settime(core_->alarm_descriptor, TFD_TIMER_ABSTIME, &spec, nullptr);
  armed_ = deadline;
}

void poller::sleep(time_point deadline) noexcept {
  // An outsider counts itself and then wakes: either it is seen here, or its wake-up ends the sleep.
  if (core_->outsiders.load() != 0) return std::this_thread::yield();
  std::lock_guard const lock{core_->lock};
  // Under the lock: from here on no neighbour takes the signal of a wake-up that comes now. acq_rel: pairs with wake().
  if (core_->woken.exchange(false, std::memory_order_acq_rel)) return run(false);
  arm(deadline);
  run(true);
  core_->woken.exchange(false, std::memory_order_acq_rel);  // as above: whatever it stood for is looked at next
}

void poller::poll() noexcept {
  std::lock_guard const lock{core_->lock};
  run(false);
}

void poller::try_poll() noexcept {
  std::unique_lock const lock{core_->lock, std::try_to_lock};
  if (lock.owns_lock()) run(false);
}

void poller::poll_and_arm(time_point deadline) noexcept {
  std::lock_guard const lock{core_->lock};
  core_->guest = true;
  do {
    run(false);
    // libuv may have taken the signal of a wake-up, and the next must be sent. acq_rel: pairs with wake(); what this
    // one stood for is looked at next, here or by the caller.
    core_->woken.exchange(false, std::memory_order_acq_rel);
    // An event that nobody waits for changes what is armed. It does so twice at most, and then the loop is silent.
  } while (core_->behind || core_->requests.load(std::memory_order_relaxed) != nullptr);
  arm(deadline);
}

void poller::show_more() noexcept {
  core_->woken.store(false, std::memory_order_relaxed);  // who saw it set relied on the signal that follows
  core_->wake();
}

int poller::wake_descriptor() const noexcept { return uv_backend_fd(&core_->loop); }

void poller::run(bool may_sleep) noexcept {
  core_->serve_requests();
  core_->behind = false;
  core_->bytes_left = core::bytes_at_once;
  uv_run(&core_->loop, may_sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  core_->deliver();
}

}  // namespace weft::inline v0::detail
