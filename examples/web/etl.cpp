#include "etl.hpp"

#include "http.hpp"

#include <weft/runtime/testing.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

namespace etl {
namespace {

constexpr std::size_t batch_size = 16 * 1024;  // bytes, about
constexpr std::size_t batches_between = 2;     // stages

/// Adds to `total` what `f` takes.
template <class F>
decltype(auto) timed(std::chrono::nanoseconds& total, F f) {
  auto const start = weft::testing::now();  // virtual in simulations
  weft::defer const at_the_end{[&] { total += weft::testing::now() - start; }};
  return f();
}

/// Whole lines, as many as there are in a batch; empty: there are no more.
std::string next_batch(http::open_response& from, std::string& begun) {
  std::string batch = std::exchange(begun, {});
  for (std::size_t read = 1; read != 0 && (batch.size() < batch_size || batch.find('\n') == batch.npos);) {
    auto const size = batch.size();
    batch.resize(size + batch_size);
    read = from.read_some(std::as_writable_bytes(std::span{batch}.subspan(size)));
    batch.resize(size + read);
    if (read == 0) return batch;  // the last line may have no end
  }
  auto const end = batch.rfind('\n') + 1;
  begun = batch.substr(end);
  batch.resize(end);
  return batch;
}

std::string change_all(std::string_view lines, change const& f, summary& counts) {
  std::string changed;
  while (!lines.empty()) {
    auto const line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    ++counts.lines;
    if (auto const text = f(line)) {
      changed.append(*text).append("\n");
    } else {
      ++counts.refused;
    }
  }
  return changed;
}

}  // namespace

summary run(std::string const& url, std::filesystem::path const& to, change const& f) {
  summary counts;
  timed(counts.all, [&] {
    auto source = http::open(url);
    if (source.status() != 200) throw http::error(url + ": " + http::status_text(source.status()));
    auto target = weft::io::temp_file::make(absolute(to).parent_path(), weft::io::default_permissions);
    weft::channel<std::string> read{batches_between};
    weft::channel<std::string> changed{batches_between};

    // Each stage closes what it fills; one that fails ends the others.
    weft::with_task_group([&](weft::task_group& stages) {
      stages.spawn([&] {
        weft::defer const end{[&] { read.close(); }};
        std::string begun;
        for (;;) {
          auto batch = timed(counts.reading, [&] { return next_batch(source, begun); });
          if (batch.empty()) return;
          read.send(std::move(batch));
        }
      });
      stages.spawn([&] {
        weft::defer const end{[&] { changed.close(); }};
        while (auto const batch = read.receive()) {
          changed.send(timed(counts.changing, [&] { return weft::offload(change_all, *batch, f, std::ref(counts)); }));
        }
      });
      stages.spawn([&] {
        while (auto const batch = changed.receive()) timed(counts.writing, [&] { target.write(*batch); });
      });
    });
    timed(counts.writing, [&] { target.rename_to(to); });
  });
  return counts;
}

}  // namespace etl
