/// tail -f: prints the last lines of a file, and what is appended to it from then on. A file that is cut, or replaced
/// by another of its name as logs are, is printed from its beginning.
///
///     weft_example_tail_f FILE
///
/// It ends at SIGINT.

#include <weft/weft.hpp>

#include <array>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace {

namespace io = weft::io;
constexpr std::size_t lines_at_first = 10;

class follower {
public:
  /// The directory is watched, so that it sees a new file of the name; and from before the first look at the old one,
  /// so that nothing falls in between.
  explicit follower(std::filesystem::path const& path)
      : path_(std::filesystem::absolute(path)),
        changes_(io::watch_path(path_.parent_path())),
        file_(io::file::open(path_)) {}

  void print_last_lines() {
    std::deque<std::string> last;
    for (auto& line : file_.lines()) {
      last.push_back(std::move(line));
      if (last.size() > lines_at_first) last.pop_front();
    }
    for (auto const& line : last) std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  /// Until the fiber is cancelled, or the directory is gone.
  void follow() {
    print_new();  // what came since
    while (auto const change = changes_.next()) {
      if (change->name != path_.filename()) continue;
      if (change->what == io::path_change::kind::created) reopen();
      print_new();
    }
  }

private:
  void reopen() {
    std::error_code ec;
    auto found = io::file::open(path_, io::open_mode::read, ec);
    if (ec) return;  // it is gone again
    print_new();     // the end of the old one
    file_ = std::move(found);
  }

  void print_new() {
    if (file_.size() < file_.tell()) file_.seek(0);  // it has been cut
    while (auto const size = file_.read_some(buffer_)) std::fwrite(buffer_.data(), 1, size, stdout);
    std::fflush(stdout);
  }

  std::filesystem::path path_;
  io::path_watch changes_;
  io::file file_;
  std::array<std::byte, 65'536> buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  try {
    weft::run([path = argv[1]] {
      auto const log = std::make_unique<follower>(path);  // not on the fiber's stack: it has a large buffer
      log->print_last_lines();
      log->follow();
    });
  } catch (weft::cancelled const&) {  // SIGINT
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
