#pragma once
/// Rooms in which people chat, over streams. Nobody waits for who is slow: each member has a queue of lines that are
/// yet to be sent, and one whose queue is full is put out of the room. The others are told; and so is the slow one, if
/// the lines that are left can be sent in time.
///
/// The first line is a name. Later ones are said to all others in the room, but for
///
///     /join ROOM    goes from the room (at first the lobby) to another
///     /who          who is here?
///     /quit

#include <weft/weft.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct chat_options {
  std::size_t queue = 64;                                    ///< lines
  std::chrono::nanoseconds grace = std::chrono::seconds{5};  ///< to get what is queued, for one who leaves
  std::size_t max_line = 1024;                               ///< bytes
};

class chat {
public:
  explicit chat(chat_options const& options = {}) : options_(options) {}

  /// One connection, to its end.
  /// @throws std::system_error, weft::limit_overrun  when it breaks, or a line is too long
  void talk(weft::io::tcp_stream client) {
    client.write_all("* who are you?\n");
    auto const name = client.read_line(options_.max_line);
    if (!name || name->empty()) return;
    weft::cancel_scope patience;  // without limit until the member is to leave
    (void)patience.run([&] {
      member self{*name, patience, options_.queue};
      if (!enter(self)) {
        client.write_all("* somebody has that name\n");
        return;
      }
      weft::defer const at_the_end{[&] { leave(self); }};
      weft::with_task_group([&](weft::task_group& both) {
        both.spawn([&] {
          write(client, self);
          both.cancel();  // the reader, if it is there
        });
        read(client, self);
        leave(self);
      });
    });
  }

private:
  using line = std::shared_ptr<std::string const>;  // one for all who get it

  struct member {
    member(std::string called, weft::cancel_scope& scope, std::size_t queue)
        : name(std::move(called)), patience(scope), lines(queue) {}

    std::string const name;
    weft::cancel_scope& patience;  // gets a limit when the member is to leave
    weft::channel<line> lines;     // to be sent; closed when the member is to leave
    std::string room{};            // empty: in none. Guarded by the chat's guard_
    bool too_slow = false;         // set before `lines` is closed
  };
  using room = std::vector<member*>;

  /// Sends what there is to tell, until no more comes.
  static void write(weft::io::tcp_stream& client, member& self) {
    for (auto const& text : self.lines) client.write_all(*text);
    if (self.too_slow) client.write_all("* you do not keep up, and are out\n");
  }

  void read(weft::io::tcp_stream& client, member& self) {
    while (auto const said = client.read_line(options_.max_line)) {
      std::string_view const text{*said};
      if (text == "/quit") return;
      std::lock_guard const alone{guard_};
      if (self.room.empty()) return;  // too slow
      if (text == "/who") {
        std::string names{"*"};
        for (auto const* other : rooms_[self.room]) names.append(" ").append(other->name);
        tell({&self}, names);
      } else if (text.starts_with("/join ") && text.size() > 6) {
        move(self, text.substr(6));
      } else {
        auto others = rooms_[self.room];
        std::erase(others, &self);
        tell(std::move(others), std::string(self.name).append(": ").append(text));
      }
    }
  }

  /// @returns false if the name is taken
  bool enter(member& self) {
    std::lock_guard const alone{guard_};
    if (!names_.emplace(self.name, &self).second) return false;
    move(self, "lobby");
    return true;
  }

  /// Out of the room, but what is queued may still be sent. To leave again does nothing.
  void leave(member& self) {
    std::lock_guard const alone{guard_};
    if (names_.erase(self.name) == 0) return;
    move(self, "");
    if (!self.lines.closed()) end(self);
  }

  // --- with guard_ held

  void move(member& self, std::string_view to) {
    if (!self.room.empty()) tell(take_out(self), std::string("* ").append(self.name).append(" leaves"));
    if (to.empty()) return;
    self.room = to;
    auto& there = rooms_[self.room];
    there.push_back(&self);
    tell(there, std::string("* ").append(self.name).append(" is in ").append(to));
  }

  /// @returns who is still there
  room take_out(member& self) {
    auto const at = rooms_.find(std::exchange(self.room, {}));
    std::erase(at->second, &self);
    if (!at->second.empty()) return at->second;
    rooms_.erase(at);
    return {};
  }

  /// Queues `text` for each. Who is too slow is put out, which those who are left are told in turn.
  void tell(room to, std::string text) {
    std::vector<std::pair<room, std::string>> news;
    news.emplace_back(std::move(to), std::move(text));
    while (!news.empty()) {
      auto [who, what] = std::move(news.back());
      news.pop_back();
      line const shared = std::make_shared<std::string const>(std::move(what.append("\n")));
      for (auto* const other : who) {
        if (other->room.empty()) continue;  // put out meanwhile
        if (auto copy = shared; other->lines.try_send(copy)) continue;
        news.emplace_back(take_out(*other),
                          std::string("* ").append(other->name).append(" does not keep up, and is out"));
        other->too_slow = true;
        end(*other);
      }
    }
  }

  void end(member& self) noexcept {
    self.lines.close();
    self.patience.reschedule(options_.grace);
  }

  chat_options const options_;
  weft::mutex guard_;
  std::map<std::string, room, std::less<>> rooms_;  // none is empty
  std::map<std::string, member*, std::less<>> names_;
};
