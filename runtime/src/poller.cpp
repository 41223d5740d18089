#include "poller.hpp"

#include <weft/runtime/waiter.hpp>

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

struct poller::handles {
  uv_loop_t loop{};
  uv_async_t async{};
  uv_poll_t alarm{};
  int alarm_descriptor = -1;
};

/// Shared by the waiting fiber and the loop; deleted by libuv's close callback, or when it never started.
struct poller::watch {
  uv_poll_t poll{};
  poller* owner = nullptr;
  waiter* waiting = nullptr;  // guarded by the poller's lock
};

poller::poller() : handles_(std::make_unique<handles>()) {
  auto& h = *handles_;
  if (int const e = uv_loop_init(&h.loop); e != 0) {
    // libuv before 1.51 forgets the epoll descriptor where a later step fails (libuv/libuv#4757). 0: it got none.
    if (int const forgotten = uv_backend_fd(&h.loop); uv_version() < 0x013300 && forgotten > 0) ::close(forgotten);
    throw_uv(e, "an event loop could not be made");
  }
  auto fail = [&h](int status, char const* what) {
    if (h.alarm_descriptor >= 0) ::close(h.alarm_descriptor);
    uv_walk(&h.loop, [](uv_handle_t* handle, void*) { uv_close(handle, nullptr); }, nullptr);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    uv_loop_close(&h.loop);
    throw_uv(status, what);
  };
  if (int const e = uv_async_init(&h.loop, &h.async, [](uv_async_t*) {}); e != 0) {
    fail(e, "an event loop's wake-up could not be made");
  }
  h.alarm_descriptor = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (h.alarm_descriptor < 0) fail(-errno, "an event loop's timer could not be made");
  if (int const e = uv_poll_init(&h.loop, &h.alarm, h.alarm_descriptor); e != 0) fail(e, "timerfd cannot be polled");
  // The expiry is not read: arm() resets it.
  uv_poll_start(&h.alarm, UV_READABLE, [](uv_poll_t*, int, int) {});
}

poller::~poller() {
  auto& h = *handles_;
  uv_close(reinterpret_cast<uv_handle_t*>(&h.async), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&h.alarm), nullptr);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  uv_loop_close(&h.loop);
  ::close(h.alarm_descriptor);
}

void poller::wake() noexcept {
  // release: publishes what the worker is woken for. acquire: pairs with sleep(): if it took an earlier wake-up, then
  // it has taken libuv's signal too, and another is sent. Who finds the flag set leaves the sending to who set it.
  if (!woken_.exchange(true, std::memory_order_acq_rel)) uv_async_send(&handles_->async);
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
  ::timerfd_settime(handles_->alarm_descriptor, TFD_TIMER_ABSTIME, &spec, nullptr);
  armed_ = deadline;
}

void poller::sleep(time_point deadline) noexcept {
  // An outsider counts itself and then wakes: either it is seen here, or its wake-up ends the sleep.
  if (outsiders_.load() != 0) return std::this_thread::yield();
  std::lock_guard const lock{lock_};
  // Under the lock: from here on no neighbour takes the signal of a wake-up that comes now. acq_rel: pairs with wake().
  if (woken_.exchange(false, std::memory_order_acq_rel)) return run(false);
  arm(deadline);
  run(true);
  woken_.exchange(false, std::memory_order_acq_rel);  // as above: whatever it stood for is looked at next
}

void poller::poll() noexcept {
  std::lock_guard const lock{lock_};
  run(false);
}

void poller::try_poll() noexcept {
  std::unique_lock const lock{lock_, std::try_to_lock};
  if (lock.owns_lock()) run(false);
}

void poller::poll_and_arm(time_point deadline) noexcept {
  std::lock_guard const lock{lock_};
  run(false);
  arm(deadline);
  // Last: libuv may have taken the signal of a wake-up, and the next must be sent. acq_rel: pairs with wake(); what
  // this one stood for is looked at next.
  woken_.exchange(false, std::memory_order_acq_rel);
}

int poller::wake_descriptor() const noexcept { return uv_backend_fd(&handles_->loop); }

void poller::run(bool may_sleep) noexcept { uv_run(&handles_->loop, may_sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT); }

poller::watch* poller::watch_descriptor(int descriptor, bool writable, waiter& w) {
  auto made = std::make_unique<watch>();
  std::lock_guard const lock{lock_};
  made->owner = this;
  made->waiting = &w;
  if (int const e = uv_poll_init(&handles_->loop, &made->poll, descriptor); e != 0) {
    throw_uv(e, "the descriptor cannot be waited for");
  }
  uv_poll_start(&made->poll, writable ? UV_WRITABLE : UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* const self = reinterpret_cast<watch*>(handle);
    uv_poll_stop(handle);
    if (self->waiting == nullptr) return;
    (void)std::exchange(self->waiting, nullptr)->notify(placement::prompt);
  });
  watched_.fetch_add(1, std::memory_order_relaxed);
  return made.release();
}

void poller::unwatch(watch* watched) noexcept {
  // The worker may sleep in the loop, and with it hold the lock: it is woken, and stays awake while outsiders want in.
  std::unique_lock lock{lock_, std::try_to_lock};
  if (!lock.owns_lock()) {
    outsiders_.fetch_add(1);
    wake();
    lock.lock();
    outsiders_.fetch_sub(1);
  }
  watched->waiting = nullptr;
  watched_.fetch_sub(1, std::memory_order_relaxed);
  uv_close(reinterpret_cast<uv_handle_t*>(&watched->poll),
           [](uv_handle_t* handle) { delete reinterpret_cast<watch*>(handle); });
}

}  // namespace weft::inline v0::detail
