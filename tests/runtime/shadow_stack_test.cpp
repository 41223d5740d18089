/// @file
/// H17: where hardware shadow stacks are on, a runtime refuses to start and says why.

#include "shadow_stack.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"

#include <string>
#include <system_error>

using namespace weft::test;
using weft::detail::has_shadow_stack;
using weft::detail::shadow_stack_probe;

namespace {

struct pretend_shadow_stack {
  pretend_shadow_stack() {
    shadow_stack_probe.store([]() noexcept { return true; });
  }
  pretend_shadow_stack(pretend_shadow_stack const&) = delete;
  ~pretend_shadow_stack() { shadow_stack_probe.store(&has_shadow_stack); }
};

std::string refusal() {
  pretend_shadow_stack const on;
  try {
    weft::runtime const rt{{.workers = 1}};
  } catch (std::system_error const& e) {
    CHECK(e.code() == std::errc::not_supported);
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("H17: a runtime does not start where shadow stacks are on, and says so", "[runtime][hazard][H17]") {
  CHECK(refusal().find("shadow stack") != std::string::npos);
  pretend_shadow_stack const on;
  CHECK_THROWS_AS(weft::run([] {}), std::system_error);
}

TEST_CASE("H17: a runtime that runs is not disturbed, and one is refused when started again",
          "[runtime][hazard][H17]") {
  if (has_shadow_stack()) return;
  weft::runtime rt{{.workers = 1}};
  CHECK(rt.run([] { return 1; }) == 1);
  rt.shutdown();
  {
    pretend_shadow_stack const on;
    CHECK_THROWS_AS(rt.start(), std::system_error);
  }
  rt.start();
  CHECK(rt.run([] { return 2; }) == 2);
}
