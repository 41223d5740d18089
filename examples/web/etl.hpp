#pragma once
/// Lines from a URL, changed, into a file: three stages that work at the same time, with a few batches of lines between
/// them. A stage that is ahead waits for the next one.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace etl {

/// The line that takes the place of one, without its end; or nothing, where that is not as it should be. It computes:
/// threads of the offload pool call it.
using change = std::function<std::optional<std::string>(std::string_view line)>;

struct summary {
  std::uint64_t lines = 0;
  std::uint64_t refused = 0;                                  ///< lines for which there was nothing
  std::chrono::nanoseconds reading{}, changing{}, writing{};  ///< what the stages worked, waits for others left out
  std::chrono::nanoseconds all{};                             ///< what it took
};

/// The file is there when it is whole; of what fails, nothing is left.
/// @throws http::error; std::system_error; what `f` throws
summary run(std::string const& url, std::filesystem::path const& to, change const& f);

}  // namespace etl
