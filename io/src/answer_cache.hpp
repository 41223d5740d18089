#pragma once
/// @file
/// Answers to questions for names, kept for a while. It does not know how old an answer may be: who asks says so.

#include <weft/io/detail/name_service.hpp>
#include <weft/runtime/clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace weft::inline v0::detail {

/// @par Thread safety
/// Any thread, at once.
class name_cache {
public:
  static constexpr std::size_t most = 256;
  static constexpr std::chrono::minutes longest{5};

  /// @returns the answer, if one is not older than `max_age`, or nothing: an empty vector
  [[nodiscard]] std::vector<io::endpoint> find(name_query const& query, time_point now,
                                               std::chrono::nanoseconds max_age) const {
    std::lock_guard const lock{mutex_};
    auto const at = answers_.find(query);
    if (at == answers_.end()) return {};
    auto const age = now - at->second.since;
    return age < std::min<std::chrono::nanoseconds>(max_age, longest) ? at->second.endpoints
                                                                      : std::vector<io::endpoint>{};
  }

  /// Which clear() is the latest: for keep(), to be asked before the question is.
  [[nodiscard]] std::uint64_t clears() const {
    std::lock_guard const lock{mutex_};
    return clears_;
  }

  /// Not if there was a clear() meanwhile.
  /// @param asked   when the question was
  /// @param clears  as it was then
  void keep(name_query const& query, time_point asked, std::uint64_t clears,
            std::vector<io::endpoint> const& endpoints) {
    std::lock_guard const lock{mutex_};
    if (clears != clears_) return;
    auto const at = answers_.find(query);
    if (at != answers_.end()) {
      at->second = {asked, endpoints};
      return;
    }
    if (answers_.size() >= most) {
      answers_.erase(std::min_element(answers_.begin(), answers_.end(),
                                      [](auto& a, auto& b) { return a.second.since < b.second.since; }));
    }
    answers_.emplace(query, answer{asked, endpoints});
  }

  void clear() {
    std::lock_guard const lock{mutex_};
    answers_.clear();
    ++clears_;
  }

  [[nodiscard]] std::size_t size() const {
    std::lock_guard const lock{mutex_};
    return answers_.size();
  }

private:
  struct answer {
    time_point since;
    std::vector<io::endpoint> endpoints;
  };

  mutable std::mutex mutex_;
  std::map<name_query, answer> answers_;
  std::uint64_t clears_ = 0;
};

}  // namespace weft::inline v0::detail
