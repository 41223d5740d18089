#include "stream_end.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <sys/socket.h>
#include <utility>

namespace weft::inline v0::testing {

void stream_end::join(std::shared_ptr<stream_end> const& a, std::shared_ptr<stream_end> const& b) {
  a->peer_ = b;
  b->peer_ = a;
}

void stream_end::established() noexcept {
  connected_ = true;
  report(readiness::writable);
}

void stream_end::failed(int error) noexcept {
  over_ = true;
  error_ = error;
  report_both();
}

int stream_end::take_error() noexcept { return std::exchange(error_, 0); }

std::size_t stream_end::room() const noexcept {
  auto const taken = unread() + under_way_;
  auto const most = wire_.options.stream_buffer;
  return taken < most ? most - taken : 0;
}

bool stream_end::readable() const noexcept {
  return unread() > 0 || end_arrived_ || reads_no_more_ || over_ || error_ != 0;
}

/// As Linux: not before a third of the buffer is free.
bool stream_end::writable() const noexcept {
  if (over_ || end_sent_ || error_ != 0) return true;
  if (!connected_) return false;
  auto const to = peer_.lock();
  return to == nullptr || to->room() >= (wire_.options.stream_buffer + 2) / 3;
}

void stream_end::send_here(std::function<void()> what) {
  if (kind_ != kind::tcp) return what();
  auto const at = std::max(last_arrival_, weft::detail::add(wire::now(), wire_.latency()));
  wire_.send(at, std::move(what));
  last_arrival_ = at;
}

ssize_t stream_end::read(pieces to, int flags) {
  auto const asked = to.size();
  if (unread() > 0) {
    auto const size = wire_.part_of(std::min(asked, unread()));
    (void)to.fill(inbox_.data() + read_, size);
    if ((flags & MSG_PEEK) != 0) return static_cast<ssize_t>(size);
    auto const writer = peer_.lock();
    bool const was_full = writer != nullptr && !writer->writable();
    read_ += size;
    if (read_ == inbox_.size()) {
      inbox_.clear();
      read_ = 0;
    }
    if (was_full) writer->report(readiness::writable);
    return static_cast<ssize_t>(size);
  }
  if (kind_ != kind::tcp && error_ != 0) return -take_error();
  if (end_arrived_) return 0;
  if (error_ != 0) return -take_error();
  if (over_ || reads_no_more_) return 0;
  return asked == 0 ? 0 : -EAGAIN;
}

ssize_t stream_end::write(pieces from) {
  if (error_ != 0) return -take_error();
  if (over_ || end_sent_) return -EPIPE;
  if (!connected_) return -EAGAIN;
  auto const to = peer_.lock();
  if (kind_ != kind::tcp && (to == nullptr || to->reads_no_more_)) return -EPIPE;
  auto const asked = from.size();
  if (asked == 0) return 0;
  if (to == nullptr) {
    send_here([self = shared_from_this()] { self->reset_arrives(); });
    return static_cast<ssize_t>(asked);
  }
  auto const room = to->room();
  if (room == 0) return -EAGAIN;
  auto const size = wire_.part_of(std::min(asked, room));
  if (kind_ == kind::tcp && wire_.random.chance(wire_.options.reset)) {
    to->send_here([self = shared_from_this(), to] {
      to->reset_arrives();
      self->reset_arrives();
    });
  } else {
    std::vector<char> bytes;
    bytes.reserve(size);
    from.take(size, bytes);
    to->send_here([to, bytes = std::move(bytes)] { to->bytes_arrive(bytes); });
  }
  if (kind_ == kind::tcp) to->under_way_ += size;
  return static_cast<ssize_t>(size);
}

void stream_end::bytes_arrive(std::vector<char> const& bytes) {
  if (kind_ == kind::tcp) under_way_ -= std::min(under_way_, bytes.size());
  if (over_) return;
  if (closed_) return reset_peer();
  if (read_ > 0 && inbox_.size() + bytes.size() > inbox_.capacity()) {
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(read_));
    read_ = 0;
  }
  try {
    inbox_.insert(inbox_.end(), bytes.begin(), bytes.end());
  } catch (std::bad_alloc const&) {
    if (kind_ != kind::tcp) throw;  // to who writes, whose call this is
    reset_arrives();                // never a gap
    return reset_peer();
  }
  report(readiness::readable);
}

void stream_end::end_arrives() noexcept {
  if (over_) return;
  end_arrived_ = true;
  if (kind_ != kind::tcp) {  // who writes learns of it, too
    report_both();
  } else {
    report(readiness::readable);
  }
}

void stream_end::reset_arrives() noexcept {
  if (over_) return;
  over_ = true;
  error_ = end_arrived_ ? EPIPE : ECONNRESET;
  report_both();
}

void stream_end::reset_peer() noexcept {
  over_ = true;
  auto const to = peer_.lock();
  if (to == nullptr) return;
  try {
    to->send_here([to] { to->reset_arrives(); });
  } catch (std::bad_alloc const&) {
    to->reset_arrives();
  }
}

void stream_end::end_to_peer() {
  if (end_sent_ || over_) return;
  if (auto const to = peer_.lock()) to->send_here([to] { to->end_arrives(); });
  end_sent_ = true;
}

int stream_end::shutdown(int how) {
  if (!connected()) return -ENOTCONN;
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
  if (how != SHUT_RD) end_to_peer();
  if (how != SHUT_WR) {
    reads_no_more_ = true;
    if (auto const writer = peer_.lock(); writer != nullptr && kind_ != kind::tcp) writer->report_both();
  }
  report_both();
  return 0;
}

void stream_end::close(bool abort) noexcept {
  file_ = nullptr;
  closed_ = true;
  bool const loses = unread() > 0;
  inbox_.clear();
  read_ = 0;
  auto const to = peer_.lock();
  if (over_ || to == nullptr) return;
  if (kind_ != kind::tcp) {
    if ((abort || loses) && kind_ == kind::local) to->error_ = ECONNRESET;
    peer_.reset();
    to->peer_.reset();
    return to->end_arrives();
  }
  if (abort || loses) return reset_peer();
  try {
    end_to_peer();
  } catch (std::bad_alloc const&) {
    reset_peer();
  }
}

}  // namespace weft::inline v0::testing
