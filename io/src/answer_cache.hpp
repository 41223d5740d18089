#pragma once
/// @file
/// Answers of a name service, kept for a while. They do not know how old they may be: who asks says so.

#include <weft/io/detail/name_service.hpp>
#include <weft/runtime/clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace weft::inline v0::detail {

/// @tparam Question  ordered by `<`
/// @par Thread safety
/// Any thread, at once.
template <class Question, class Answer>
class answer_cache {
public:
  static constexpr std::size_t most = 256;
  static constexpr std::chrono::minutes longest{5};

  /// @returns the answer, if one was asked for less than `max_age` ago
  [[nodiscard]] std::optional<Answer> find(Question const& question, time_point now,
                                           std::chrono::nanoseconds max_age) const {
    std::lock_guard const lock{mutex_};
    auto const at = answers_.find(question);
    if (at == answers_.end()) return std::nullopt;
    auto const age = now - at->second.since;
    if (age >= std::min<std::chrono::nanoseconds>(max_age, longest)) return std::nullopt;
    return at->second.answer;
  }

  /// Which clear() is the latest: for keep(), to be asked before the question is.
  [[nodiscard]] std::uint64_t clears() const {
    std::lock_guard const lock{mutex_};
    return clears_;
  }

  /// Not if there was a clear() meanwhile.
  /// @param asked   when the question was
  /// @param clears  as it was then
  void keep(Question const& question, time_point asked, std::uint64_t clears, Answer const& answer) {
    std::lock_guard const lock{mutex_};
    if (clears != clears_) return;
    auto const at = answers_.find(question);
    if (at != answers_.end()) {
      at->second = {asked, answer};
      return;
    }
    if (answers_.size() >= most) {
      answers_.erase(std::min_element(answers_.begin(), answers_.end(),
                                      [](auto& a, auto& b) { return a.second.since < b.second.since; }));
    }
    answers_.emplace(question, kept{asked, answer});
  }

  void clear() {
    std::lock_guard const lock{mutex_};
    answers_.clear();
    ++clears_;
  }

private:
  struct kept {
    time_point since;
    Answer answer;
  };

  mutable std::mutex mutex_;
  std::map<Question, kept> answers_;
  std::uint64_t clears_ = 0;
};

/// Of one service.
struct kept_answers {
  answer_cache<name_query, std::vector<io::endpoint>> addresses;
  answer_cache<io::endpoint, found_name> names;
};

}  // namespace weft::inline v0::detail
