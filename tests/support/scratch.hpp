#pragma once
/// @file
/// A directory for one test's files, which goes with all that is in it; and what tests ask of it without weft.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft::test {

class scratch {
public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "weft-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no directory for the test's files");
    path_ = name;
  }
  scratch(scratch const&) = delete;
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  std::filesystem::path put(std::string_view name, std::string_view contents) const {
    std::ofstream{path_ / name, std::ios::binary} << contents;
    return path_ / name;
  }
  [[nodiscard]] std::string get(std::string_view name) const {
    std::ostringstream all;
    all << std::ifstream{path_ / name, std::ios::binary}.rdbuf();
    return all.str();
  }
  /// What is in it, in order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (auto const& entry : std::filesystem::directory_iterator{path_}) all.push_back(entry.path().filename());
    std::sort(all.begin(), all.end());
    return all;
  }

private:
  std::filesystem::path path_;
};

}  // namespace weft::test
