#include <weft/io/testing/simulated_files.hpp>

#include "files_core.hpp"

#include <utility>

namespace weft::inline v0::testing {

file_options file_options::with_faults() {
  file_options options;
  options.partial = 0.2;
  options.interrupted = 0.02;
  options.io_error = 0.01;
  options.no_space = 0.01;
  options.no_descriptors = 0.02;
  return options;
}

simulated_files::simulated_files(simulation& of, file_options options) : core_(std::make_shared<files_core>(options)) {
  of.attach(core_);
}

simulated_files::~simulated_files() = default;

void simulated_files::add_file(std::filesystem::path const& path, std::string_view contents,
                               std::filesystem::perms permissions) {
  core_->add(path, std::filesystem::file_type::regular, contents, permissions);
}
void simulated_files::add_directory(std::filesystem::path const& path, std::filesystem::perms permissions) {
  core_->add(path, std::filesystem::file_type::directory, {}, permissions);
}

std::optional<std::string> simulated_files::contents_of(std::filesystem::path const& path) const {
  return core_->contents_of(path);
}
std::vector<std::string> simulated_files::paths() const { return core_->paths(); }
std::size_t simulated_files::open_descriptors() const noexcept { return core_->open_descriptors(); }
weft::detail::file_calls& simulated_files::calls() noexcept { return *core_; }
void simulated_files::wrap_calls(weft::detail::file_calls* by) noexcept { core_->wrap(by); }

}  // namespace weft::inline v0::testing
