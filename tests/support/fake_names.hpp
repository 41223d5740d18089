#pragma once
/// @file
/// Names that a test makes up.

#include "forwarding_calls.hpp"

#include <weft/io/detail/name_service.hpp>
#include <weft/io/resolve.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace weft::test {

class fake_names final : public detail::name_service {
public:
  explicit fake_names(bool blocks = true) : blocks_(blocks) {}

  std::error_code find(detail::name_query const& query, std::vector<io::endpoint>& found) override {
    ++asked;
    return answer ? answer(query, found) : make_error_code(io::name_error::no_such_name);
  }
  std::error_code find_name(io::endpoint const& of, detail::found_name& found) override {
    ++asked;
    return name_of ? name_of(of, found) : make_error_code(io::name_error::no_such_name);
  }
  [[nodiscard]] bool blocks() const noexcept override { return blocks_; }

  std::function<std::error_code(detail::name_query const&, std::vector<io::endpoint>&)> answer;
  std::function<std::error_code(io::endpoint const&, detail::found_name&)> name_of;
  std::atomic<int> asked{0};

private:
  bool blocks_;
};

/// The kernel's calls, and those names.
class calls_with_names : public forwarding_calls {
public:
  explicit calls_with_names(std::shared_ptr<fake_names> names) : names_(std::move(names)) {}
  [[nodiscard]] std::shared_ptr<detail::name_service> names() override { return names_; }

private:
  std::shared_ptr<fake_names> names_;
};

}  // namespace weft::test
