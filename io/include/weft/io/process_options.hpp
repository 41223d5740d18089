#pragma once
/// @file
/// What a new process gets.

#include <weft/io/stream.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace weft::inline v0::io {

class process_start;
class usual_pipes;

/// What a process finds as its standard input, output or error. Files are opened by the process as it starts, from this
/// process's directory.
class redirection {
public:
  /// What is usual: spawn() passes on what this process has, run_process() makes pipes.
  redirection() noexcept : kind_(kind::usual) {}
  /// What this process has. If that is closed, or is closed on exec, the new one starts without.
  [[nodiscard]] static redirection inherit() noexcept { return redirection{kind::inherit}; }
  /// /dev/null
  [[nodiscard]] static redirection null() noexcept { return redirection{kind::null}; }
  /// A pipe, whose other end is in the process object.
  [[nodiscard]] static redirection pipe() noexcept { return redirection{kind::pipe}; }
  /// A copy of a descriptor that stays open until the process has started.
  [[nodiscard]] static redirection to(int descriptor) noexcept {
    redirection made{kind::descriptor};
    made.descriptor_ = descriptor;
    return made;
  }
  /// A stream that is given away: it blocks from then on, as programs expect, and is closed here when the process has
  /// started or failed to. What had been read ahead is lost.
  /// @throws std::bad_alloc
  [[nodiscard]] static redirection to(stream&& given) {
    redirection made{kind::given};
    made.given_ = std::make_shared<stream>(std::move(given));
    return made;
  }
  /// A file to read. Of a named pipe, the start waits for who writes to it; to_file(), for who reads.
  [[nodiscard]] static redirection from_file(std::string path) { return {kind::read_file, std::move(path)}; }
  /// A file to write, made if need be; what was in it is gone.
  [[nodiscard]] static redirection to_file(std::string path) { return {kind::write_file, std::move(path)}; }
  /// A file to write at its end, made if need be.
  [[nodiscard]] static redirection appended_to(std::string path) { return {kind::append_file, std::move(path)}; }
  /// For standard error: wherever standard output goes.
  [[nodiscard]] static redirection to_stdout() noexcept { return redirection{kind::to_stdout}; }

private:
  friend class process_start;
  friend class usual_pipes;
  enum class kind : unsigned char {
    usual,
    inherit,
    null,
    pipe,
    descriptor,
    given,
    read_file,
    write_file,
    append_file,
    to_stdout
  };
  explicit redirection(kind what) noexcept : kind_(what) {}
  redirection(kind what, std::string path) : kind_(what), path_(std::move(path)) {}

  kind kind_;
  int descriptor_ = -1;
  std::shared_ptr<stream> given_;
  std::string path_;
};

/// Who is told when this process's group is, by the terminal for instance, and who is told with the new process.
enum class process_group : unsigned char {
  inherited,    ///< it belongs to the group of this process
  own,          ///< it leads a group of its own, and what it is sent goes to all in that
  own_session,  ///< the same, in a session of its own: without a terminal
};

struct process_options {
  /// What is executed, if not the first argument: a path, or a name to look for as for that.
  std::string program{};
  /// Where it starts; empty: where this process is. A program given by a relative path is looked for from there.
  std::string directory{};
  /// Its environment, and no more than that; nothing: this process's.
  std::optional<std::map<std::string, std::string>> environment{};
  /// On top of it: variables that are set, or, with nothing, taken out.
  std::map<std::string, std::optional<std::string>> environment_changes{};
  redirection in{};
  redirection out{};
  redirection err{};
  process_group group = process_group::inherited;
};

}  // namespace weft::inline v0::io
