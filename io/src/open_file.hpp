#pragma once
/// @file
/// An open file's number, and who uses it.

#include <weft/io/detail/file_calls.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

namespace weft::inline v0::detail {

/// @returns an error, or 0: interrupted, it is closed all the same
inline int close_number(file_calls& calls, int number) noexcept {
  int const status = calls.close(number);
  return status == -EINTR ? 0 : status;
}

/// Closed by close(), or, if calls are under way then, by the last of them: so its number is never used for a file that
/// was opened later.
class open_file {
public:
  open_file(int number, file_calls& calls, std::string path, bool appends) noexcept
      : calls_(calls), number_(number), path_(std::move(path)), appends_(appends) {}
  open_file(open_file const&) = delete;
  ~open_file() { (void)close(); }

  [[nodiscard]] file_calls& calls() const noexcept { return calls_; }
  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] bool appends() const noexcept { return appends_; }
  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool is_closed() const noexcept { return (word_.load(std::memory_order_relaxed) & closed) != 0; }

  /// May block. Any thread, any number of times.  @returns what the call does, if this closes it
  int close() noexcept {
    // acq_rel: what the calls before did to the file comes before its end; who enters later sees that it is closed.
    return word_.fetch_or(closed, std::memory_order_acq_rel) == 0 ? close_number(calls_, number_) : 0;
  }

  /// `call(calls, number)`, or -EBADF if it is closed.
  template <class Call>
  auto use(Call call) -> decltype(call(std::declval<file_calls&>(), 0)) {
    guest const inside{*this};
    if (!inside.open) return -EBADF;
    return call(calls_, number_);
  }

private:
  static constexpr std::uint32_t closed = 1;
  static constexpr std::uint32_t one_use = 2;

  struct guest {
    open_file& of;
    bool const open;
    explicit guest(open_file& file) noexcept : of(file), open(file.enter()) {}
    guest(guest const&) = delete;
    ~guest() {
      // acq_rel: as close(), of which this may be the second half.
      if (open && of.word_.fetch_sub(one_use, std::memory_order_acq_rel) == (one_use | closed)) {
        (void)of.calls_.close(of.number_);
      }
    }
  };

  /// Who is counted has it open: nobody else is, so that one is the last.
  [[nodiscard]] bool enter() noexcept {
    auto word = word_.load(std::memory_order_relaxed);
    // relaxed: to come in publishes nothing, and all that is used never changes.
    while ((word & closed) == 0) {
      if (word_.compare_exchange_weak(word, word + one_use, std::memory_order_relaxed)) return true;
    }
    return false;
  }

  file_calls& calls_;
  std::atomic<std::uint32_t> word_{0};  // uses * 2, and whether it is closed
  int const number_;
  std::string const path_;
  bool const appends_;
};

}  // namespace weft::inline v0::detail
