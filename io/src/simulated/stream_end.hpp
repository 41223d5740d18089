#pragma once
/// @file
/// One end of a simulated stream: what a kernel keeps of a connection, which outlives the descriptor until all that was
/// sent has arrived. Two such ends send each other packets, which arrive in the order in which they were sent:
///
///     connecting --answer--> connected --closed, end or reset by either side--> over
///
/// What each does is what Linux does (net/ipv4/tcp.c, net/unix/af_unix.c): bytes that have arrived can be read even
/// after a reset; an error is told once, by whatever call comes first; after the end of the stream no reset is seen by
/// who reads, and one is by who writes. Packets of Unix sockets (`local`) and pipes take no time.

#include "simulated_file.hpp"
#include "wire.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace weft::inline v0::testing {

class stream_end : public std::enable_shared_from_this<stream_end> {
public:
  enum class kind : unsigned char { tcp, local, pipe };

  stream_end(wire& by, kind what) noexcept : wire_(by), kind_(what) {}
  stream_end(stream_end const&) = delete;

  /// Connects both, at once. How they learn of it is their owners' business.
  static void join(std::shared_ptr<stream_end> const& a, std::shared_ptr<stream_end> const& b);
  void established() noexcept;
  [[nodiscard]] bool connected() const noexcept { return connected_ && !over_; }
  /// Nobody has its descriptor any more.
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  /// Refused, or it took too long: told as an error, once.
  void failed(int error) noexcept;

  /// It is over here, which the other end is told, if there is one.
  void reset_peer() noexcept;

  ssize_t read(pieces to, int flags);
  ssize_t write(pieces from);
  int shutdown(int how);
  /// Its descriptor has been closed. What has been sent arrives all the same.
  /// @param abort  with a reset and not with an end
  void close(bool abort) noexcept;
  [[nodiscard]] bool readable() const noexcept;
  [[nodiscard]] bool writable() const noexcept;
  [[nodiscard]] int take_error() noexcept;

  /// Who reports readiness, or null.
  void belong_to(simulated_file* file) noexcept { file_ = file; }
  /// Runs `what` here when all has arrived that was sent here before.
  void send_here(std::function<void()> what);

  socket_name own;
  socket_name peer_name;

private:
  void bytes_arrive(std::vector<char> const& bytes);
  void end_arrives() noexcept;
  void reset_arrives() noexcept;
  void end_to_peer();
  [[nodiscard]] std::size_t unread() const noexcept { return inbox_.size() - read_; }
  /// For the peer to send.
  [[nodiscard]] std::size_t room() const noexcept;
  void report(readiness what) noexcept {
    if (file_ != nullptr) file_->report(what);
  }
  void report_both() noexcept {
    if (file_ != nullptr) file_->report_both();
  }

  wire& wire_;
  kind const kind_;
  // Its owner may have closed it. It then lives until what is on its way there has arrived: none: whatever comes there
  // now is answered by a reset.
  std::weak_ptr<stream_end> peer_;
  simulated_file* file_ = nullptr;
  std::vector<char> inbox_;
  std::size_t read_ = 0;       // of the inbox
  std::size_t under_way_ = 0;  // bytes that will arrive in it
  time_point last_arrival_{};  // of what is on its way here
  int error_ = 0;              // to be told
  bool connected_ = false;
  bool end_arrived_ = false;  // the peer writes no more
  bool end_sent_ = false;     // we write no more
  bool reads_no_more_ = false;
  bool over_ = false;    // reset: nothing comes or goes
  bool closed_ = false;  // nobody has the descriptor any more
};

}  // namespace weft::inline v0::testing
