#pragma once
/// @file
/// Files. What a disk does blocks, whatever is asked of it, so each call goes to a thread of the blocking pool (see
/// weft::offload_blocking), while the calling fiber alone waits. The way there and back is the price of a call: read
/// and write in large pieces, or through a buffered_reader or buffered_writer. whole_file.hpp has files in one call.

#include <weft/io/buffered_source.hpp>
#include <weft/io/file_info.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::inline v0::detail {
class open_file;
}

namespace weft::inline v0::io {

/// What a file is opened for.
enum class open_mode : unsigned char {
  read,              ///< to be read; it is there
  write,             ///< to be written; made if it is not there, emptied if it is
  append,            ///< to be written at its end, wherever that is then; made if it is not there
  create,            ///< to be read and written; it must not be there yet
  update,            ///< to be read and written; it is there
  update_or_create,  ///< to be read and written; made if it is not there
};

/// For a file that is made, before the process's mask takes some away: all may read and write.
inline constexpr std::filesystem::perms default_permissions{0666};

class file_lines;

/// An open file, and a position in it from which it is read and written in order.
///
/// Each operation comes twice: one throws std::system_error, with the path in its text, the other sets `ec`, and clears
/// it where all went well. To be cancelled is no error: weft::cancelled leaves both.
/// @par Thread safety
/// pread(), pwrite(), stat(), sync() and the like by any number of fibers at once, and close() beside them: what is
/// under way then goes on. What uses the position: one fiber at a time.
/// @par Cancellation
/// All but close() are cancellation points. A call that is under way on its thread is not broken off: it refers to the
/// caller's buffer, and its end is waited for, deadline or not; but large reads and writes go in pieces of 1 MiB, and
/// stop after one. A read that was cancelled leaves the position where it was. Of a write that was cancelled some may
/// be there: write() then leaves the position behind it.
/// @par Errors
/// std::errc::bad_file_descriptor: it has been closed, or is not open for that. std::errc::invalid_argument: an offset
/// that no file can have, or a path with a NUL in it. Who is no fiber makes the calls on its own thread.
class file {
public:
  /// Not open: all operations fail as on a closed one.
  file() noexcept;
  /// @throws std::system_error  std::errc::is_a_directory for those, and std::errc::invalid_seek for what has no
  ///   positions, such as pipes and terminals: see stream::adopt(). std::bad_alloc
  [[nodiscard]] static file open(std::filesystem::path const& path, open_mode mode = open_mode::read,
                                 std::filesystem::perms permissions = default_permissions);
  [[nodiscard]] static file open(std::filesystem::path const& path, open_mode mode, std::filesystem::perms permissions,
                                 std::error_code& ec);
  [[nodiscard]] static file open(std::filesystem::path const& path, open_mode mode, std::error_code& ec) {
    return open(path, mode, default_permissions, ec);
  }
  file(file&& other) noexcept;
  file& operator=(file&& other) noexcept;  ///< Closes what was there.
  /// Closes; waits for that, whether or not the caller is cancelled. What the system has to say of it, close() tells.
  ~file();

  // --- from the position on, which moves by what was read or written ---

  /// Fills `buffer`, as far as there is something.  @returns bytes read: less than all only at the end of the file
  std::size_t read(std::span<std::byte> buffer);
  std::size_t read(std::span<std::byte> buffer, std::error_code& ec);
  /// By one call: at most `buffer.size()` bytes, or 1 MiB.  @returns bytes read; 0 only at the end of the file or for
  /// an empty buffer
  std::size_t read_some(std::span<std::byte> buffer);
  std::size_t read_some(std::span<std::byte> buffer, std::error_code& ec);
  /// All that is left.
  /// @param limit  in bytes  @throws limit_overrun  (with `ec`: std::errc::message_size), and then nothing was read
  [[nodiscard]] std::string read_all(std::size_t limit = std::numeric_limits<std::size_t>::max());
  [[nodiscard]] std::string read_all(std::size_t limit, std::error_code& ec);
  [[nodiscard]] std::string read_all(std::error_code& ec) {
    return read_all(std::numeric_limits<std::size_t>::max(), ec);
  }
  /// Its lines, as a range of strings that is gone through once, each without the `\n` or `\r\n` that ends it. They are
  /// read ahead: use the position again when they are done with. Of a temporary file it keeps it open.
  /// @param limit  of a line with its end, in bytes: a longer one throws limit_overrun
  [[nodiscard]] file_lines lines(std::size_t limit = buffered_source::default_limit) &;
  [[nodiscard]] file_lines lines(std::size_t limit = buffered_source::default_limit) &&;

  /// Writes all of `bytes`; in open_mode::append at the end, and the position stays.
  void write(std::span<std::byte const> bytes);
  /// @returns bytes written: less than all only with `ec` set
  std::size_t write(std::span<std::byte const> bytes, std::error_code& ec);
  void write(std::string_view text) { write(std::as_bytes(std::span{text})); }
  std::size_t write(std::string_view text, std::error_code& ec) { return write(std::as_bytes(std::span{text}), ec); }
  /// By one call: at most all of `bytes`, or 1 MiB.  @returns bytes written; 0 only for none
  std::size_t write_some(std::span<std::byte const> bytes);
  std::size_t write_some(std::span<std::byte const> bytes, std::error_code& ec);

  /// In bytes from the beginning; may be behind the end: what is written there leaves zeros before it. Do not wait.
  void seek(std::uint64_t position) noexcept { position_ = position; }
  [[nodiscard]] std::uint64_t tell() const noexcept { return position_; }

  // --- anywhere ---

  /// As read(), from `offset` on.
  std::size_t pread(std::span<std::byte> buffer, std::uint64_t offset);
  std::size_t pread(std::span<std::byte> buffer, std::uint64_t offset, std::error_code& ec);
  /// As write(), from `offset` on; in open_mode::append at the end all the same.
  void pwrite(std::span<std::byte const> bytes, std::uint64_t offset);
  std::size_t pwrite(std::span<std::byte const> bytes, std::uint64_t offset, std::error_code& ec);
  void pwrite(std::string_view text, std::uint64_t offset) { pwrite(std::as_bytes(std::span{text}), offset); }
  std::size_t pwrite(std::string_view text, std::uint64_t offset, std::error_code& ec) {
    return pwrite(std::as_bytes(std::span{text}), offset, ec);
  }

  // --- the file as a whole ---

  [[nodiscard]] file_info stat() const;
  [[nodiscard]] file_info stat(std::error_code& ec) const;
  /// In bytes.
  [[nodiscard]] std::uint64_t size() const { return stat().size; }
  [[nodiscard]] std::uint64_t size(std::error_code& ec) const { return stat(ec).size; }
  /// Cuts it, or lengthens it with zeros. The position stays.
  void truncate(std::uint64_t size);
  void truncate(std::uint64_t size, std::error_code& ec);
  /// Returns when all that has been written is on the disk.
  void sync();
  void sync(std::error_code& ec);
  /// The same, but what can be done without to read it again, such as the time, may be missing.
  void sync_data();
  void sync_data(std::error_code& ec);

  /// What operations fail from now on. To close again does nothing. Not a cancellation point.
  /// @throws std::system_error  what the system says of it, as of data that could not be written. It is closed then.
  void close();
  void close(std::error_code& ec);
  [[nodiscard]] bool is_open() const noexcept;
  /// -1: none. It stays this file's.
  [[nodiscard]] int native_handle() const noexcept;
  /// As it was opened.
  [[nodiscard]] std::filesystem::path path() const;

protected:
  /// Null: none.
  [[nodiscard]] detail::open_file* opened() const noexcept { return of_.get(); }

private:
  friend struct file_access;
  explicit file(std::unique_ptr<detail::open_file> of) noexcept;
  [[noreturn]] void fail(std::error_code ec, std::string_view doing) const;

  std::unique_ptr<detail::open_file> of_;  // null: none
  std::uint64_t position_ = 0;
};

/// The lines of a file; see file::lines(). A std::ranges::input_range.
/// @par Cancellation
/// begin() and `++` are cancellation points; one that was cancelled took no line.
class file_lines : private buffered_source {
public:
  class iterator {
  public:
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    iterator() noexcept = default;
    /// The line; it may be moved out.
    [[nodiscard]] std::string& operator*() const noexcept { return *lines_->line_; }
    [[nodiscard]] std::string* operator->() const noexcept { return &*lines_->line_; }
    iterator& operator++() {
      lines_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(iterator const& i, std::default_sentinel_t) noexcept { return i.at_end(); }

  private:
    friend class file_lines;
    explicit iterator(file_lines* of) noexcept : lines_(of) {}
    [[nodiscard]] bool at_end() const noexcept { return lines_ == nullptr || !lines_->line_; }
    file_lines* lines_ = nullptr;
  };

  file_lines(file_lines&&) noexcept = default;
  file_lines& operator=(file_lines&&) noexcept = default;

  /// The first line; later the one at which it stopped.
  [[nodiscard]] iterator begin() {
    if (!begun_) next();
    begun_ = true;
    return iterator{this};
  }
  [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

private:
  friend class file;
  file_lines(file* borrowed, file owned, std::size_t limit) noexcept;

  std::size_t fetch(std::span<std::byte> into, std::error_code& ec) override;
  void next() { line_ = read_line(limit_); }

  file* borrowed_;  // null: it is owned_
  file owned_;
  std::size_t limit_;
  std::optional<std::string> line_;  // nothing: before the first, or behind the last
  bool begun_ = false;
};

}  // namespace weft::inline v0::io
