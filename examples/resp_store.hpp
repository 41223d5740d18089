#pragma once
/// Keys and their values, strings both, with a time to live; and the commands of Redis that work on them.

#include "resp.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace resp {

/// Not to be used by two at once.
class store {
public:
  using words = std::span<std::string_view const>;

  /// Does what `w` says, a command's name and its arguments, and appends the reply to `out`.
  /// @param now  in milliseconds; never goes back
  /// @returns whether the connection goes on
  bool execute(words w, std::int64_t now, std::string& out) {
    now_ = now;
    std::array<char, 16> folded{};
    auto const name = w[0].substr(0, folded.size());
    std::transform(name.begin(), name.end(), folded.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    for (auto const& known : commands) {
      if (known.name.size() != w[0].size() || std::string_view{folded.data(), name.size()} != known.name) continue;
      auto const count = static_cast<int>(w.size());
      if (known.words >= 0 ? count == known.words : count >= -known.words) return (this->*known.run)(w, out);
      return wrong_count(known.name, out);
    }
    std::string text{"ERR unknown command '"};
    text.append(w[0].substr(0, 128)).append("', with args beginning with: ");
    std::string shown;
    for (auto const word : w.subspan(1)) {
      if (shown.size() >= 128) break;
      shown.append("'").append(word.substr(0, 128 - shown.size())).append("' ");
    }
    append_error(out, text.append(shown));
    return true;
  }

  /// Removes what nobody asks for any more: of a part of the keys those whose time has come.
  void sweep(std::int64_t now, std::size_t buckets) {
    now_ = now;
    for (; buckets > 0 && !entries_.empty(); --buckets) {
      swept_ = (swept_ + 1) % entries_.bucket_count();
      for (auto at = entries_.begin(swept_); at != entries_.end(swept_);) {
        if (!expired(at->second)) {
          ++at;
        } else {
          entries_.erase(std::string{at->first});
          at = entries_.begin(swept_);
        }
      }
    }
  }

private:
  static constexpr std::int64_t never = 0;
  static constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

  struct entry {
    std::string value;
    std::int64_t expires = never;
  };
  struct hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  using command_function = bool (store::*)(words, std::string&);
  struct command {
    std::string_view name;
    int words;  // itself included; negative: at least so many
    command_function run;
  };
  static std::array<command, 22> const commands;

  [[nodiscard]] bool expired(entry const& e) const noexcept { return e.expires != never && e.expires <= now_; }
  /// Null: there is none.
  entry* find(std::string_view key) {
    auto const at = entries_.find(key);
    if (at == entries_.end()) return nullptr;
    if (!expired(at->second)) return &at->second;
    entries_.erase(at);
    return nullptr;
  }
  bool erase(std::string_view key) {
    auto const at = entries_.find(key);
    if (at == entries_.end()) return false;
    bool const was_there = !expired(at->second);
    entries_.erase(at);
    return was_there;
  }
  void assign(entry* to, std::string_view key, std::string_view value, std::int64_t expires) {
    if (to == nullptr) to = &entries_[std::string{key}];
    to->value.assign(value);  // into the memory that is there
    to->expires = expires;
  }

  static bool error(std::string& out, std::string_view text) {
    append_error(out, text);
    return true;
  }
  static bool wrong_count(std::string_view name, std::string& out) {
    return error(out, std::string("ERR wrong number of arguments for '").append(name).append("' command"));
  }
  static bool no_integer(std::string& out) { return error(out, "ERR value is not an integer or out of range"); }
  static bool invalid_time(std::string_view name, std::string& out) {
    return error(out, std::string("ERR invalid expire time in '").append(name).append("' command"));
  }
  static bool integer(std::string& out, std::int64_t value) {
    append_integer(out, value);
    return true;
  }
  static bool ok(std::string& out) {
    out.append("+OK\r\n");
    return true;
  }
  static void append_value(std::string& out, entry const* e) {
    e != nullptr ? append_bulk(out, e->value) : append_null(out);
  }

  bool ping(words w, std::string& out) {
    if (w.size() > 2) return wrong_count("ping", out);
    w.size() == 2 ? append_bulk(out, w[1]) : append_simple(out, "PONG");
    return true;
  }
  bool echo(words w, std::string& out) {
    append_bulk(out, w[1]);
    return true;
  }
  bool get(words w, std::string& out) {
    append_value(out, find(w[1]));
    return true;
  }
  bool mget(words w, std::string& out) {
    append_array(out, w.size() - 1);
    for (auto const key : w.subspan(1)) append_value(out, find(key));
    return true;
  }

  /// SET key value [NX | XX] [EX seconds | PX milliseconds]
  bool set(words w, std::string& out) {
    bool only_new = false;
    bool only_old = false;
    std::int64_t unit = 0;
    std::string_view time;
    for (std::size_t i = 3; i < w.size(); ++i) {
      auto const is = [&](char const* name) {
        return w[i].size() == 2 && (w[i][0] | 32) == name[0] && (w[i][1] | 32) == name[1];
      };
      bool const seconds = is("ex");
      if (is("nx") && !only_old) {
        only_new = true;
      } else if (is("xx") && !only_new) {
        only_old = true;
      } else if ((seconds || is("px")) && unit != (seconds ? 1 : 1000) && i + 1 < w.size()) {
        unit = seconds ? 1000 : 1;
        time = w[++i];
      } else {
        return error(out, "ERR syntax error");
      }
    }
    std::int64_t expires = never;
    if (unit != 0) {
      auto const value = to_integer(time);
      if (!value) return no_integer(out);
      if (*value <= 0 || *value > (most - now_) / unit) return invalid_time("set", out);
      expires = now_ + *value * unit;
    }
    auto* const old = find(w[1]);
    if (old != nullptr ? only_new : only_old) {
      append_null(out);
      return true;
    }
    assign(old, w[1], w[2], expires);
    return ok(out);
  }
  bool mset(words w, std::string& out) {
    if (w.size() % 2 == 0) return wrong_count("mset", out);
    for (std::size_t i = 1; i < w.size(); i += 2) assign(find(w[i]), w[i], w[i + 1], never);
    return ok(out);
  }
  bool del(words w, std::string& out) {
    return integer(out, std::count_if(w.begin() + 1, w.end(), [&](auto key) { return erase(key); }));
  }
  bool exists(words w, std::string& out) {
    return integer(out, std::count_if(w.begin() + 1, w.end(), [&](auto key) { return find(key) != nullptr; }));
  }

  bool add(std::string_view key, std::int64_t by, std::string& out) {
    auto* const old = find(key);
    auto const value = old != nullptr ? to_integer(old->value) : std::optional<std::int64_t>{0};
    if (!value) return no_integer(out);
    std::int64_t sum = 0;
    if (__builtin_add_overflow(*value, by, &sum)) return error(out, "ERR increment or decrement would overflow");
    std::array<char, 24> text{};
    auto const end = std::to_chars(text.data(), text.data() + text.size(), sum).ptr;
    assign(old, key, {text.data(), end}, old != nullptr ? old->expires : never);
    return integer(out, sum);
  }
  bool incr(words w, std::string& out) { return add(w[1], 1, out); }
  bool decr(words w, std::string& out) { return add(w[1], -1, out); }
  bool incrby(words w, std::string& out) {
    auto const by = to_integer(w[2]);
    return by ? add(w[1], *by, out) : no_integer(out);
  }
  bool decrby(words w, std::string& out) {
    auto const by = to_integer(w[2]);
    if (!by) return no_integer(out);
    if (*by == least) return error(out, "ERR decrement would overflow");
    return add(w[1], -*by, out);
  }

  bool expire_in(words w, std::int64_t unit, std::string_view name, std::string& out) {
    auto const time = to_integer(w[2]);
    if (!time) return no_integer(out);
    if (*time > (most - now_) / unit || *time < least / unit) return invalid_time(name, out);
    auto* const e = find(w[1]);
    if (e == nullptr) return integer(out, 0);
    e->expires = now_ + *time * unit;
    if (*time <= 0) erase(w[1]);
    return integer(out, 1);
  }
  bool expire(words w, std::string& out) { return expire_in(w, 1000, "expire", out); }
  bool pexpire(words w, std::string& out) { return expire_in(w, 1, "pexpire", out); }
  bool persist(words w, std::string& out) {
    auto* const e = find(w[1]);
    bool const had_one = e != nullptr && e->expires != never;
    if (had_one) e->expires = never;
    return integer(out, had_one ? 1 : 0);
  }
  /// -2: no such key; -1: it stays.
  std::int64_t milliseconds_left(std::string_view key) {
    auto const* const e = find(key);
    return e == nullptr ? -2 : e->expires == never ? -1 : e->expires - now_;
  }
  bool ttl(words w, std::string& out) {
    auto const left = milliseconds_left(w[1]);
    return integer(out, left < 0 ? left : (left + 500) / 1000);
  }
  bool pttl(words w, std::string& out) { return integer(out, milliseconds_left(w[1])); }

  bool dbsize(words, std::string& out) { return integer(out, static_cast<std::int64_t>(entries_.size())); }
  bool flushall(words, std::string& out) {
    entries_.clear();
    return ok(out);
  }
  /// Programs ask, and go on if the answer is empty.
  bool describe(words, std::string& out) {
    append_array(out, 0);
    return true;
  }
  /// redis-benchmark asks whether anything is saved: nothing is.
  bool config(words w, std::string& out) {
    append_array(out, w.size() < 3 ? 0 : 2);
    if (w.size() >= 3) {
      append_bulk(out, w[2]);
      append_bulk(out, "");
    }
    return true;
  }
  bool quit(words, std::string& out) {
    (void)ok(out);
    return false;
  }

  std::unordered_map<std::string, entry, hash, std::equal_to<>> entries_;
  std::int64_t now_ = 0;
  std::size_t swept_ = 0;  // the bucket that sweep() came to
};

// What is asked for most comes first.
inline std::array<store::command, 22> const store::commands{{
    {"get", 2, &store::get},           {"set", -3, &store::set},          {"incr", 2, &store::incr},
    {"ping", -1, &store::ping},        {"del", -2, &store::del},          {"exists", -2, &store::exists},
    {"mget", -2, &store::mget},        {"mset", -3, &store::mset},        {"expire", 3, &store::expire},
    {"ttl", 2, &store::ttl},           {"echo", 2, &store::echo},         {"decr", 2, &store::decr},
    {"incrby", 3, &store::incrby},     {"decrby", 3, &store::decrby},     {"pexpire", 3, &store::pexpire},
    {"pttl", 2, &store::pttl},         {"persist", 2, &store::persist},   {"dbsize", 1, &store::dbsize},
    {"flushall", 1, &store::flushall}, {"command", -1, &store::describe}, {"config", -2, &store::config},
    {"quit", -1, &store::quit},
}};

}  // namespace resp
