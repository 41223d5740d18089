/// A pipeline: a producer, three fibers that share the work, and one that collects. The channels between them hold a
/// few values, so that the fast wait for the slow; that one is closed tells the next that there is no more.

#include <weft/weft.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace {

struct line {
  int number;
  std::string text;
};

std::size_t count_words(std::string const& text) {
  std::size_t words = 0;
  bool inside = false;
  for (char const c : text) {
    if (c != ' ' && !inside) ++words;
    inside = c != ' ';
  }
  return words;
}

}  // namespace

int main() {
  weft::run([] {
    std::vector<std::string> const text{"channels carry values", "from fiber to fiber", "first in first out",
                                        "until they are closed", "and empty"};
    weft::channel<line> lines{2};
    weft::channel<std::pair<int, std::size_t>> counts{2};

    auto producer = weft::spawn([&] {
      for (int number = 0; auto const& t : text) lines.send({number++, t});
      lines.close();
    });

    auto workers = weft::spawn([&] {
      weft::with_task_group([&](weft::task_group& group) {
        for (int i = 0; i < 3; ++i) {
          group.spawn([&] {
            for (auto const& l : lines) counts.send({l.number, count_words(l.text)});
          });
        }
      });
      counts.close();  // all three are done
    });

    std::vector<std::size_t> words(text.size());
    std::size_t total = 0;
    for (auto const& [number, count] : counts) {
      words[static_cast<std::size_t>(number)] = count;  // they come in any order
      total += count;
    }
    producer.get();
    workers.get();
    for (std::size_t i = 0; i < text.size(); ++i) std::printf("%zu words: %s\n", words[i], text[i].c_str());
    std::printf("%zu words in all\n", total);
  });
}

// Prints:
//   3 words: channels carry values
//   4 words: from fiber to fiber
//   4 words: first in first out
//   4 words: until they are closed
//   2 words: and empty
//   17 words in all
