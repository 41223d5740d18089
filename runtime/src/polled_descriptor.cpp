#include <weft/runtime/detail/polled_descriptor.hpp>

#include "fork_guard.hpp"
#include "poller_core.hpp"
#include "scheduler.hpp"
#include "worker.hpp"

#include <weft/runtime/detail/socket_calls.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/waiter.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace weft::inline v0::detail {

namespace {

[[noreturn]] void throw_unpollable(int status) {
  throw std::system_error(-status, std::generic_category(), "weft: the descriptor cannot be waited for");
}

/// A connection that ends before so many events would not gain by edges what to ask for them costs.
constexpr unsigned edges_after = 8;

constexpr std::array both_directions{readiness::readable, readiness::writable};

constexpr int events_of(readiness what) noexcept { return what == readiness::readable ? UV_READABLE : UV_WRITABLE; }

/// Held from asking for a borrowed descriptor's flags until they are set again: of two loops that are about to watch it
/// one would take for its owner's what the other has set.
constinit std::mutex borrowing;

/// uv_poll_init(), which makes descriptors non-blocking.
int begin_watching(uv_loop_t& loop, uv_poll_t& poll, int number, descriptor_kind kind) {
  if (kind != descriptor_kind::borrowed) return uv_poll_init(&loop, &poll, number);
  std::lock_guard const lock{borrowing};
  int const flags = ::fcntl(number, F_GETFL);
  int const status = uv_poll_init(&loop, &poll, number);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) (void)::fcntl(number, F_SETFL, flags);
  return status;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Lifetime
// ---------------------------------------------------------------------------------------------------------------------

polled_descriptor::polled_descriptor(int number, descriptor_kind kind) noexcept
    : word_(one_reference), number_(number), kind_(kind) {
  for (auto& line : lines_) (void)line.try_set_flags(0, ready);
}

polled_descriptor::~polled_descriptor() {
  // acquire: pairs with attach(), on whatever thread that was.
  for (auto* r = registration_.load(std::memory_order_acquire); r != nullptr;) delete std::exchange(r, r->older);
}

owned_descriptor polled_descriptor::make(int number, descriptor_kind kind) {
  return owned_descriptor{new polled_descriptor(number, kind)};
}

void drop_descriptor::operator()(polled_descriptor* owned) const noexcept {
  (void)owned->close();
  owned->drop();
}

// relaxed: who refers anew does so by way of a reference that it has.
void polled_descriptor::refer() noexcept { (void)word_.fetch_add(one_reference, std::memory_order_relaxed); }

void polled_descriptor::destroy() noexcept { delete this; }

bool polled_descriptor::close() noexcept {
  // acq_rel: whoever uses the number either was counted before, or sees that it is closed.
  bool const first = !is_closed(word_.fetch_or(closed_bit, std::memory_order_acq_rel));
  if (fork_watch::in_child()) return first;  // those who waited, or were in a call, are not there
  for (auto const what : both_directions) wake_all(what, true);
  // acquire: pairs with drop() and wait(): the calls that used the number are over. None blocks for longer than a
  // worker takes to wake up, see lock_from_outside(). What the loop reads it reads with its lock, and detach() comes
  // after that: so a second who closes may be back before the number is out of use.
  for (unsigned turn = 0; uses(word_.load(std::memory_order_acquire)) != 0; ++turn) std_atomics::pause(turn);
  if (first) poller::detach(*this);
  return first;
}

// ---------------------------------------------------------------------------------------------------------------------
// Readiness and those who wait for it
// ---------------------------------------------------------------------------------------------------------------------

void polled_descriptor::forget(readiness what, std::uint32_t seen, bool nothing_there) noexcept {
  line_of_nodes::section held{line(what)};
  bool const news = what == readiness::readable && events() != seen;
  if (what == readiness::readable && nothing_there && !news) hung_up_ = false;
  bool const stays = news || (what == readiness::readable && hung_up_);
  if (!stays) held.set_flags(held.flags() & ~ready);
}

/// If somebody has come to wait meanwhile, and the kernel may report edges, nothing else may tell that one.
void polled_descriptor::remember(readiness what) noexcept {
  descriptor_node* first = nullptr;
  {
    line_of_nodes::section held{line(what)};
    if (drained_.load(std::memory_order_relaxed)) (void)held.claim(1, &first);
    if (first == nullptr) held.set_flags(held.flags() | ready);
  }
  if (first != nullptr) first->owner->wake(placement::prompt);
}

/// With the lock of the readers' line.
void polled_descriptor::count_event() noexcept {
  // release: pairs with events(). Nobody else writes it meanwhile.
  events_.store(events_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void polled_descriptor::hang_up() noexcept {
  {
    line_of_nodes::section held{line(readiness::readable)};
    hung_up_ = true;
    count_event();
  }
  wake_all(readiness::readable, true);
}

[[gnu::always_inline]] inline bool polled_descriptor::take_event_in_line(readiness what,
                                                                         std::size_t* bytes_left) noexcept {
  descriptor_node* first = nullptr;
  bool useless = false;
  {
    line_of_nodes::section held{line(what)};
    (void)held.claim(1, &first);
    if (what == readiness::readable) count_event();
    if (first == nullptr) {
      // It may be watched though `armed` says no: where it failed, and was abandoned, while somebody was about to arm
      // it.
      useless = (held.flags() & ready) != 0;
      held.set_flags(useless ? ready : held.flags() | ready);
    }
  }
  if (first == nullptr) return useless;
  // Whoever has been claimed does not go on before it is woken. And the number stays open: close() detaches first, for
  // which it needs the loop's lock.
  if (read_by_loop* const read = first->read; read != nullptr && bytes_left != nullptr && read->size <= *bytes_left) {
    *bytes_left -= std::min(*bytes_left, std::max(read->size, poller::core::least_for_a_read));
    auto const done = kernel_recv(number_, read->to, read->size, MSG_DONTWAIT);
    read->result = done;
    if (done >= 0 && static_cast<std::size_t>(done) == read->size) remember(what);
  }
  first->owner->wake(placement::prompt);
  return false;
}

bool polled_descriptor::take_event(readiness what, std::size_t* bytes_left) noexcept {
  return take_event_in_line(what, bytes_left);
}

void polled_descriptor::became_ready(readiness what) noexcept { wake_all(what, false); }

void polled_descriptor::wake_all(readiness what, bool so_that_it_stays) noexcept {
  descriptor_node* claimed = nullptr;
  {
    line_of_nodes::section held{line(what)};
    (void)held.claim(~std::size_t{0}, &claimed);
    if (so_that_it_stays || claimed == nullptr) held.set_flags(held.flags() | ready);
  }
  while (claimed != nullptr) {
    descriptor_node* const node = claimed;
    claimed = node->next;  // the node is gone as soon as its waiter has been woken
    node->owner->wake(placement::prompt);
  }
}

[[gnu::always_inline]] inline bool polled_descriptor::stand_in_line(readiness what, descriptor_node& node) noexcept {
  line_of_nodes::section held{line(what)};
  // Looked at under the lock: close() sets it before it takes that, and so finds the node, or is found.
  if (closed()) return false;
  if ((held.flags() & ready) != 0) {
    bool const stays = what == readiness::readable && hung_up_;
    if (!stays) held.set_flags(held.flags() & ~ready);
    return false;
  }
  held.push_back(node);
  return true;
}

bool polled_descriptor::enter_line(readiness what, descriptor_node& node) noexcept { return stand_in_line(what, node); }

void polled_descriptor::leave_line(readiness what, descriptor_node& node) noexcept {
  line_of_nodes::section held{line(what)};
  held.remove(node);
}

void polled_descriptor::arm(readiness what) {
  if (kind_ == descriptor_kind::simulated) {
    if (source_ != nullptr) source_->wanted(*this, what);
    return;
  }
  if (is_armed(what)) return;
  worker* const w = current_worker();
  if (w == nullptr) throw no_runtime("weft: a descriptor can be waited for on a fiber only");
  if (environment const* const world = w->home.world; world != nullptr && world->closed()) {
    throw error("weft: descriptors belong to the world outside, and cannot be waited for in a simulation");
  }
  {
    line_of_nodes::section held{line(what)};
    if ((held.flags() & armed) != 0) return;
    held.set_flags(held.flags() | armed);
  }
  struct undo {
    polled_descriptor* of;
    readiness what;
    ~undo() {
      if (of == nullptr) return;
      {
        line_of_nodes::section held{of->line(what)};
        held.set_flags(held.flags() & ~armed);
      }
      of->wake_all(what, false);  // who relied on us: it tries itself
    }
  } if_it_fails{this, what};
  poller::attach_and_arm(w->loop, w->home.crowded_loop(*w), *this, what);
  if_it_fails.of = nullptr;
}

descriptor_outcome polled_descriptor::use::wait(readiness what, time_point deadline) {
  auto const outcome = wait_on_fiber(what, nullptr, deadline);
  if (outcome != descriptor_outcome::no_fiber) return outcome;
  check_not_forked();
  throw no_runtime("weft: a descriptor can be waited for on a fiber only");
}

[[gnu::noinline]] descriptor_outcome polled_descriptor::use::wait_on_fiber(readiness what, read_by_loop* read,
                                                                           time_point deadline) {
  if (!open_) return descriptor_outcome::closed;
  worker const* const w = entry_worker();
  if (w == nullptr || w->current == nullptr) [[unlikely]] {
    return paused() && !resume() ? descriptor_outcome::closed : descriptor_outcome::no_fiber;
  }
  waiter self{what == readiness::readable ? "readable descriptor" : "writable descriptor"};
  descriptor_node node{self, read};
  if (!of_.stand_in_line(what, node)) {
    if (paused()) (void)resume();
    return of_.closed() ? descriptor_outcome::closed : descriptor_outcome::ready;
  }
  if (!of_.is_armed(what)) [[unlikely]]
    arm_or_leave(what, self, node);
  if (!paused()) pause();
  auto const cause = self.wait(deadline);
  if (cause == wake_cause::notified && read != nullptr && read->result != read_by_loop::not_made) [[likely]]
    return descriptor_outcome::ready;
  if (cause != wake_cause::notified) [[unlikely]]
    of_.leave_line(what, node);
  (void)resume();
  if (cause == wake_cause::cancelled) [[unlikely]]
    self.rethrow(cause);
  if (!open_) return descriptor_outcome::closed;
  return cause == wake_cause::notified ? descriptor_outcome::ready : descriptor_outcome::timed_out;
}

/// Out of the way of who finds it armed.
[[gnu::noinline]] void polled_descriptor::use::arm_or_leave(readiness what, waiter& self, descriptor_node& node) {
  if (paused() && !resume()) return;  // the number is needed; close() has found the node, and ends the wait
  try {
    of_.arm(what);
  } catch (...) {
    // Somebody may have claimed the wait meanwhile, and is about to wake it.
    if (!self.claim()) {
      pause();  // it may be close(), which waits for us
      (void)self.wait();
      (void)resume();
    }
    // Whoever was chosen is in line no more, but linked to those that were chosen with it.
    if (!node.chosen) of_.leave_line(what, node);
    if (node.read != nullptr && node.read->result != read_by_loop::not_made) return;  // it has been read after all
    throw;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// In a loop
// ---------------------------------------------------------------------------------------------------------------------

namespace {

void forget(uv_handle_t* handle) {
  auto* const r = static_cast<poller::registration*>(reinterpret_cast<uv_poll_t*>(handle));
  std::unique_ptr<poller::registration> const unwanted{r->unwanted ? r : nullptr};
  r->descriptor.drop();
}

}  // namespace

poller::registration* poller::attach(polled_descriptor& d, registration* seen) {
  auto made = std::make_unique<registration>(d, core_, seen);
  auto const number = static_cast<std::size_t>(d.number());
  if (core_->handles.size() <= number) core_->handles.resize(number + 1);
  // Somebody may wait for the same number by another object. libuv would notice only while it is armed, and disarming
  // one would disarm both.
  int status = core_->handles[number] != 0 ? UV_EEXIST : begin_watching(core_->loop, *made, d.number(), d.kind_);
  if (status == UV_EEXIST) {
    made->duplicate = ::fcntl(d.number(), F_DUPFD_CLOEXEC, 0);
    status = made->duplicate < 0 ? -errno : begin_watching(core_->loop, *made, made->duplicate, d.kind_);
  }
  if (status != 0) {
    if (made->duplicate >= 0) ::close(made->duplicate);
    throw_unpollable(status);
  }
  if (made->duplicate < 0) ++core_->handles[number];
  d.refer();  // for the loop
  auto* const ours = made.release();
  // release: publishes it to who arms another direction. acquire: the same of the other one's.
  if (d.registration_.compare_exchange_strong(seen, ours, std::memory_order_acq_rel, std::memory_order_acquire)) {
    return ours;
  }
  ours->unwanted = true;
  core_->close(*ours);
  return seen;
}

void poller::attach_and_arm(poller& own, poller& home, polled_descriptor& d, readiness what) {
  auto* r = d.registration_.load(std::memory_order_acquire);  // pairs with attach()
  auto const attach_there = [&] {
    auto const lock = home.core_->lock_from_outside();
    return home.attach(d, r);
  };
  if (r == nullptr) r = attach_there();
  for (;; r = attach_there()) {
    core& loop = *r->watcher;
    if (std::unique_lock const lock{loop.lock, std::try_to_lock}; lock.owns_lock()) {
      if (loop.gone) continue;
      loop.serve_requests();
      loop.change(*r, r->watched | events_of(what));
      // Who has the lock runs the loop before it waits; but a guest waits outside, without the lock.
      if (loop.guest && &loop != own.core_.get()) (void)loop.wake_from_outside([] {});
      return;
    }
    if (loop.request(*r, events_of(what))) return;
  }
}

void poller::detach(polled_descriptor& d) noexcept {
  if (fork_watch::in_child()) return;  // what the kernel watches is the parent's too, and the lock may never be free
  auto* const r = d.registration_.load(std::memory_order_acquire);  // pairs with attach()
  if (r == nullptr) return;
  core& loop = *r->watcher;
  auto const lock = loop.lock_from_outside();
  if (loop.gone) return;
  loop.serve_requests();
  loop.close(*r);
}

/// The worker may sleep in the loop, and with it hold the lock: it is woken, and stays awake while outsiders want in.
std::unique_lock<std::mutex> poller::core::lock_from_outside() noexcept {
  std::unique_lock held{lock, std::try_to_lock};
  if (!held.owns_lock()) {
    outsiders.fetch_add(1);
    wake_from_outside([] {});
    held.lock();
    outsiders.fetch_sub(1);
  }
  return held;
}

/// Asks whoever holds the lock.  @returns false if the loop is about to go
bool poller::core::request(registration& r, int events) noexcept {
  return wake_from_outside([&] {
    // release: publishes the registration's state to serve_requests(); acquire: pairs with that, which may have just
    // taken it off the stack.
    if (r.wanted.fetch_or(events, std::memory_order_acq_rel) != 0) return;
    r.descriptor.refer();
    armed.fetch_add(1, std::memory_order_relaxed);  // so that somebody polls
    auto* head = requests.load(std::memory_order_relaxed);
    do {
      r.next_request = head;
      // release: publishes the link to serve_requests().
    } while (!requests.compare_exchange_weak(head, &r, std::memory_order_release, std::memory_order_relaxed));
  });
}

void poller::core::serve_requests() noexcept {
  if (requests.load(std::memory_order_relaxed) == nullptr) return;  // what comes later brings a wake-up
  // acquire: pairs with request().
  auto* r = requests.exchange(nullptr, std::memory_order_acquire);
  while (r != nullptr) {
    auto* const next = r->next_request;
    // acq_rel: pairs with request(). From here on it may be pushed again, and its link has been read before.
    int const wanted = r->wanted.exchange(0, std::memory_order_acq_rel);
    armed.fetch_sub(1, std::memory_order_relaxed);
    if (!r->detached) change(*r, r->watched | wanted);
    r->descriptor.drop();
    r = next;
  }
}

void poller::core::change(registration& r, int events) noexcept {
  armed.fetch_add(std::popcount(static_cast<unsigned>(events)) - std::popcount(static_cast<unsigned>(r.watched)),
                  std::memory_order_relaxed);
  r.watched = events;
  r.reports_edges = false;
  r.to_be_seen = edges_after;
  if (events == 0) {
    uv_poll_stop(&r);
    return;
  }
  behind = true;
  r.hears_of_the_end = (events & UV_READABLE) != 0 && r.descriptor.drained_.load(std::memory_order_relaxed);
  int const all = r.hears_of_the_end ? events | UV_DISCONNECT | UV_PRIORITIZED : events;
  uv_poll_start(&r, all, [](uv_poll_t* handle, int status, int happened) {
    auto& of = *static_cast<registration*>(handle);
    of.watcher->report(of, status, happened);
  });
}

void poller::core::close(registration& r) noexcept {
  change(r, 0);
  r.detached = true;
  uv_close(reinterpret_cast<uv_handle_t*>(static_cast<uv_poll_t*>(&r)), forget);
  // From here on the handle leaves the number alone.
  if (r.duplicate >= 0) {
    ::close(r.duplicate);
  } else {
    --handles[static_cast<std::size_t>(r.descriptor.number())];
  }
}

/// In line, down to the read: each return after a system call is mispredicted.
[[gnu::always_inline]] inline void polled_descriptor::registration::happened(int status, int what_happened) noexcept {
  if (status != 0) {  // it has failed, and libuv has stopped: the next call will say how
    descriptor.abandon();
    if (watched != 0) watcher->change(*this, 0);
    return;
  }
  int left = watched;
  if ((what_happened & UV_READABLE) != 0 && descriptor.take_event_in_line(readiness::readable, &watcher->bytes_left)) {
    left &= ~UV_READABLE;
  }
  if ((what_happened & UV_WRITABLE) != 0 && descriptor.take_event(readiness::writable)) left &= ~UV_WRITABLE;
  // With urgent data, libuv takes an error for all that is watched for. What is so is told again, by levels.
  if (hears_of_the_end && (what_happened & (UV_DISCONNECT | UV_PRIORITIZED)) == UV_DISCONNECT) [[unlikely]]
    descriptor.hang_up();
  // A read ends before urgent data, whatever is behind; and that there are some may be reported for ever.
  bool const urgent = (what_happened & UV_PRIORITIZED) != 0;
  if (urgent) [[unlikely]]
    descriptor.drained_.store(false, std::memory_order_relaxed);
  if (urgent || left != watched) return watcher->change(*this, left);
  if (to_be_seen != 0 && --to_be_seen == 0) report_edges();
}

void poller::core::report(registration& of, int status, int happened) noexcept {
  __builtin_prefetch(&of.descriptor, 1);
  if (number_reported == reported.size()) deliver();
  reported[number_reported++] = {&of, status, happened};
}

void poller::core::deliver() noexcept {
  auto const all = std::span{reported}.first(std::exchange(number_reported, 0));
  for (auto const& e : all) e.of->descriptor.prefetch_first();
  for (auto const& e : all) e.of->happened(e.status, e.happened);
}

/// From now on the kernel reports what happens, and not what is. It says so once more of what is now. libuv learns of
/// it by nothing; where it arms the handle anew, for other events, it reports levels again.
void polled_descriptor::registration::report_edges() noexcept {
  if (!hears_of_the_end || watched != UV_READABLE || reports_edges) return;
  int const number = duplicate >= 0 ? duplicate : descriptor.number();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  event.data.fd = number;  // by which libuv finds the handle
  reports_edges = ::epoll_ctl(uv_backend_fd(&watcher->loop), EPOLL_CTL_MOD, number, &event) == 0;
}

/// Nobody reports any more: all are woken, and who waits again arms it anew.
void polled_descriptor::abandon() noexcept {
  for (auto const what : both_directions) {
    {
      line_of_nodes::section held{line(what)};
      held.set_flags(held.flags() & ~armed);
    }
    wake_all(what, true);
  }
}

void poller::core::end() noexcept {
  // seq_cst, as in wake_from_outside(): either it is seen there, or its sender is seen here.
  closing.store(true);
  for (unsigned turn = 0; senders.load() != 0; ++turn) std_atomics::pause(turn);
  std::lock_guard const held{lock};
  serve_requests();
  gone = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&async), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&alarm), nullptr);
  auto const detach_all = [](uv_handle_t* handle, void* core_of_it) {
    if (uv_is_closing(handle) != 0) return;
    auto& r = *static_cast<registration*>(reinterpret_cast<uv_poll_t*>(handle));
    auto& self = *static_cast<poller::core*>(core_of_it);
    self.close(r);
    r.descriptor.abandon();  // who waits may belong to another runtime
  };
  uv_walk(&loop, detach_all, this);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  ::close(alarm_descriptor);
}

}  // namespace weft::inline v0::detail
