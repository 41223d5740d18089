/// @file
/// H27: many processes, many at a time, half of which fail to start.

#include <weft/io/process.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/run_on.hpp"
#include "support/scale.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/map.hpp>

#include <atomic>
#include <cstddef>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

using namespace weft::io;
using namespace weft::test;

TEST_CASE("H27: soak: processes, 100 at a time, of which half fail to start: no zombie, no descriptor too many",
          "[io][process][hazard][H27][soak]") {
  constexpr std::size_t at_a_time = 100;
  std::size_t const count = full_length ? 10'000 : under_sanitizer ? 100 : 400;
  auto const workers = full_length ? std::size_t{2} : some_workers();
  run_on(1, [] { auto const one = process::spawn({"true"}); });  // what is there for good from then on
  auto const before = open_descriptors();
  int const leaked = ::open("/dev/null", O_RDONLY);
  verify(leaked >= 0);
  std::atomic<std::size_t> ran{0};
  std::atomic<std::size_t> failed{0};
  run_on(workers, [&] {
    std::vector<std::size_t> numbers(count);
    for (std::size_t i = 0; i < count; ++i) numbers[i] = i;
    auto const start_one = [&](std::size_t i) {
      if (i % 2 == 0) {
        std::error_code ec;
        (void)process::spawn({i % 4 == 0 ? "/nowhere/at/all" : "/"}, {}, ec);
        verify(ec == (i % 4 == 0 ? std::errc::no_such_file_or_directory : std::errc::permission_denied));
        ++failed;
        return;
      }
      auto const status = run_process({"cat", "/proc/self/status"});
      verify(status.status.success());
      for (char const* const field : {"SigBlk", "SigIgn", "SigCgt"}) {
        verify(status.out.find(std::string(field).append(":\t0000000000000000\n")) != std::string::npos);
      }
      verify(run_process({"ls", "/proc/self/fd"}).out == "0\n1\n2\n3\n");  // 3 is that directory
      ++ran;
    };
    weft::for_each(numbers, start_one, weft::max_concurrency{at_a_time});
  });
  CHECK(ran == count / 2);
  CHECK(failed == count / 2);
  CHECK_FALSE(has_children());
  ::close(leaked);
  CHECK(open_descriptors() == before);
}
