#pragma once
/// RESP, the protocol of Redis (version 2): commands as a server reads them, and replies as it writes them. Commands
/// come as arrays of strings, or as a line of words. See https://redis.io/docs/reference/protocol-spec.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace resp {

inline constexpr std::size_t max_line = 64 * 1024;                ///< a command as a line, or a length
inline constexpr std::int64_t max_arguments = 1024 * 1024;        ///< of one command
inline constexpr std::int64_t max_bulk = 512LL * 1024 * 1024;     ///< bytes of one argument
inline constexpr std::size_t max_command = 1024UL * 1024 * 1024;  ///< bytes of one command, as sent
inline constexpr std::size_t usual_buffer = 16 * 1024;            ///< bytes kept between commands

/// A whole number of 64 bits in its one form: no sign but `-`, no blank, no zero in front.
[[nodiscard]] inline std::optional<std::int64_t> to_integer(std::string_view text) noexcept {
  std::int64_t value = 0;
  auto const digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || (digits.front() == '0' && text.size() > 1)) return {};
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

// --- what a server writes, at the end of `to`

inline void append_number(std::string& to, char kind, std::int64_t value) {
  char text[24];
  text[0] = kind;
  char* end = std::to_chars(text + 1, text + 22, value).ptr;
  *end++ = '\r';
  *end++ = '\n';
  to.append(text, end);
}
inline void append_integer(std::string& to, std::int64_t value) { append_number(to, ':', value); }
inline void append_array(std::string& to, std::size_t elements) {
  append_number(to, '*', static_cast<std::int64_t>(elements));
}
inline void append_bulk(std::string& to, std::string_view text) {
  append_number(to, '$', static_cast<std::int64_t>(text.size()));
  to.append(text).append("\r\n");
}
inline void append_null(std::string& to) { to.append("$-1\r\n"); }
inline void append_simple(std::string& to, std::string_view text) { to.append("+").append(text).append("\r\n"); }
/// @param text  begins with a word in capitals, which programs look at; what would end the line becomes blanks
inline void append_error(std::string& to, std::string_view text) {
  auto const begin = to.size();
  to.append("-").append(text);
  std::replace_if(
      to.begin() + static_cast<std::ptrdiff_t>(begin), to.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  to.append("\r\n");
}

/// What a client sends.
inline void append_command(std::string& to, std::span<std::string_view const> words) {
  append_array(to, words.size());
  for (auto const word : words) append_bulk(to, word);
}

/// Splits a line into words, as a shell does: blanks separate, "quotes" hold together and know \n \r \t \b \a \xHH, and
/// so do 'these', which know \' alone.
/// @returns nothing if a quote is not closed, or closed in the middle of a word
[[nodiscard]] inline std::optional<std::vector<std::string>> split_words(std::string_view line) {
  auto const blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; };
  auto const hex = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::vector<std::string> words;
  std::size_t at = 0;
  for (;;) {
    while (at < line.size() && blank(line[at])) ++at;
    if (at == line.size()) return words;
    auto& word = words.emplace_back();
    while (at < line.size() && !blank(line[at])) {
      char const quote = line[at++];
      if (quote != '"' && quote != '\'') {
        word += quote;
        continue;
      }
      for (;; ++at) {
        if (at >= line.size()) return {};
        if (line[at] == quote) break;
        if (line[at] != '\\' || at + 1 == line.size() || (quote == '\'' && line[at + 1] != '\'')) {
          word += line[at];
        } else if (char const c = line[++at];
                   c == 'x' && at + 2 < line.size() && hex(line[at + 1]) >= 0 && hex(line[at + 2]) >= 0) {
          word += static_cast<char>(hex(line[at + 1]) * 16 + hex(line[at + 2]));
          at += 2;
        } else {
          constexpr std::string_view letters = "nrtba";
          auto const which = letters.find(c);
          word += which == letters.npos ? c : "\n\r\t\b\a"[which];
        }
      }
      if (++at < line.size() && !blank(line[at])) return {};
    }
  }
}

/// Cuts what comes from a client into commands, without copying it. The caller reads into room(), says filled(), and
/// then takes next() until that has no more.
class command_reader {
public:
  enum class result { command, need_more, bad };

  /// Where to put what comes next. Ends the life of arguments().
  [[nodiscard]] std::span<std::byte> room() {
    take_last();
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ == 0 && buffer_.size() != usual_buffer) std::vector<char>(usual_buffer).swap(buffer_);
    if (begin_ > 0 && end_ == buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
    return std::as_writable_bytes(std::span{buffer_}).subspan(end_);
  }
  void filled(std::size_t bytes) noexcept { end_ += bytes; }

  /// The next command, whose arguments() these are until it is called again.
  result next() {
    take_last();
    if (end_ - begin_ > max_command) return refuse("too big request");
    if (missing_ == 0) {
      slices_.clear();
      if (begin_ == end_) return result::need_more;
      if (buffer_[begin_] != '*') return next_line();
      auto const count = length("too big mbulk count string", "invalid multibulk length", max_arguments);
      if (!count) return why_not_;
      missing_ = std::max<std::int64_t>(*count, 0);
    }
    for (; missing_ > 0; --missing_) {
      if (bulk_ < 0) {
        if (begin_ + at_ == end_) return result::need_more;
        if (char const found = buffer_[begin_ + at_]; found != '$') {
          return refuse(std::string("expected '$', got '").append(1, found).append("'"));
        }
        auto const size = length("too big bulk count string", "invalid bulk length", max_bulk);
        if (!size) return why_not_;
        if (*size < 0) return refuse("invalid bulk length");
        bulk_ = *size;
      }
      auto const size = static_cast<std::size_t>(bulk_);
      if (end_ - begin_ - at_ < size + 2) return result::need_more;
      slices_.push_back({at_, size});
      at_ += size + 2;
      bulk_ = -1;
    }
    arguments_.clear();
    for (auto const [at, size] : slices_) arguments_.emplace_back(buffer_.data() + begin_ + at, size);
    return result::command;
  }

  /// None at all: nothing is to be done, and nothing answered.
  [[nodiscard]] std::span<std::string_view const> arguments() const noexcept { return arguments_; }
  /// After `bad`. What follows cannot be understood.
  [[nodiscard]] std::string const& error() const noexcept { return error_; }

private:
  struct slice {
    std::size_t at;  // from the command's begin
    std::size_t size;
  };

  void take_last() noexcept {
    if (missing_ > 0) return;  // it has not been taken apart yet
    begin_ += at_;
    at_ = 0;
  }
  result refuse(std::string why) {
    error_ = std::move(why);
    return why_not_ = result::bad;
  }
  /// The number behind one letter, up to the end of the line; else why_not_ is set.
  std::optional<std::int64_t> length(char const* too_long, char const* wrong, std::int64_t most) {
    std::string_view const rest{buffer_.data() + begin_ + at_, end_ - begin_ - at_};
    auto const end = rest.find('\r');
    if (end == rest.npos || end + 2 > rest.size()) {
      why_not_ = result::need_more;
      if (end == rest.npos && rest.size() > max_line) refuse(too_long);
      return {};
    }
    auto const value = to_integer(rest.substr(1, end - 1));
    if (!value || *value > most) {
      refuse(wrong);
      return {};
    }
    at_ += end + 2;
    return value;
  }
  result next_line() {
    std::string_view rest{buffer_.data() + begin_, end_ - begin_};
    auto const end = rest.find('\n');
    if (end == rest.npos) return rest.size() > max_line ? refuse("too big inline request") : result::need_more;
    at_ = end + 1;
    rest = rest.substr(0, end);
    if (rest.ends_with('\r')) rest.remove_suffix(1);
    auto words = split_words(rest);
    if (!words) return refuse("unbalanced quotes in request");
    words_ = std::move(*words);
    arguments_.assign(words_.begin(), words_.end());
    return result::command;
  }

  std::vector<char> buffer_;
  std::size_t begin_ = 0;      // of the command that is being taken apart, or was last
  std::size_t end_ = 0;        // of what has come
  std::size_t at_ = 0;         // how far that command has been taken apart, from its begin
  std::int64_t missing_ = 0;   // arguments of it
  std::int64_t bulk_ = -1;     // bytes of the argument that comes; -1: not known yet
  std::vector<slice> slices_;  // arguments of it; they stay right when the buffer moves
  std::vector<std::string> words_;
  std::vector<std::string_view> arguments_;
  std::string error_;
  result why_not_ = result::need_more;
};

}  // namespace resp
