/// Three programs, each with the output of the one before, as a shell's `a | b | c` has them; and what became of each.

#include <weft/weft.hpp>

#include <cstddef>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace io = weft::io;

namespace {

using command = std::vector<std::string>;

struct pipeline_result {
  std::string output;                     ///< of the last one
  std::vector<io::exit_status> statuses;  ///< of each
};

/// They all run at once.
pipeline_result run_pipeline(std::vector<command> const& commands) {
  std::vector<io::process> running;
  auto input = io::redirection::null();
  for (std::size_t i = 0; i + 1 < commands.size(); ++i) {
    auto between = io::pipe();
    running.push_back(
        io::process::spawn(commands[i], {.in = input, .out = io::redirection::to(std::move(between.writer))}));
    input = io::redirection::to(std::move(between.reader));
  }
  running.push_back(io::process::spawn(commands.back(), {.in = input, .out = io::redirection::pipe()}));

  pipeline_result result{running.back().communicate().out, {}};
  for (auto& process : running) result.statuses.push_back(process.wait());
  return result;
}

void show(std::vector<command> const& commands) {
  auto const [output, statuses] = run_pipeline(commands);
  std::printf("%s", output.c_str());
  for (std::size_t i = 0; i < commands.size(); ++i) {
    std::printf("  %s %s\n", commands[i].front().c_str(), statuses[i].to_string().c_str());
  }
}

}  // namespace

int main() {
  weft::run([] {
    show({{"printf", "%s\n", "weft", "warp", "weft", "loom", "weft", "warp"}, {"sort"}, {"uniq", "-c"}});
    // As soon as `head` has enough, nobody reads what `yes` writes: SIGPIPE ends it, as in a shell.
    show({{"yes", "no end of it"}, {"head", "-n", "2"}});
    show({{"cat", "/dev/null"}, {"grep", "needle"}, {"sed", "s/needle/pin/"}});
    try {
      show({{"true"}, {"weft-no-such-program"}});
    } catch (std::system_error const& e) {
      std::printf("%s\n", e.what());
    }
  });
}

// Prints:
//         1 loom
//         2 warp
//         3 weft
//     printf exited with 0
//     sort exited with 0
//     uniq exited with 0
//   no end of it
//   no end of it
//     yes ended by signal 13 (Broken pipe)
//     head exited with 0
//     cat exited with 0
//     grep exited with 1
//     sed exited with 0
//   weft: starting 'weft-no-such-program': No such file or directory
