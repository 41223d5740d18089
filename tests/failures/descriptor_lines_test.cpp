/// @file
/// Lines of those that wait for a descriptor, when memory fails at the worst moment.

#include "faults.hpp"

#include "support/catch.hpp"
#include "support/run_on.hpp"
#include "support/throws.hpp"
#include "support/verify.hpp"

#include <weft/runtime/detail/polled_descriptor.hpp>
#include <weft/runtime/detail/wait_list.hpp>
#include <weft/runtime/waiter.hpp>

#include <atomic>
#include <new>
#include <sys/eventfd.h>
#include <thread>

using namespace weft::test;
using weft::detail::descriptor_node;
using weft::detail::polled_descriptor;
using weft::detail::readiness;

namespace {

std::atomic<polled_descriptor*> watched{nullptr};
std::atomic<descriptor_node*> latecomer{nullptr};

void stand_in_line() noexcept {
  if (auto* const node = latecomer.exchange(nullptr)) verify(watched.load()->enter_line(readiness::readable, *node));
}

}  // namespace

TEST_CASE("who cannot be watched for leaves a line in which another stands behind it",
          "[io][polled_descriptor][failure]") {
  int const fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  REQUIRE(fd >= 0);
  auto polled = polled_descriptor::make(fd);
  polled->exhausted(readiness::readable);
  watched = polled.get();
  std::thread other([] {
    weft::waiter self{"line"};
    descriptor_node node{self};
    latecomer = &node;
    verify(self.wait() == weft::wake_cause::notified);  // by the failure: whoever waits then asks again
  });
  while (latecomer.load() == nullptr) std::this_thread::yield();
  run_with({.workers = 1}, [&] {
    polled_descriptor::use in_use{*polled};
    faults::when_failing = &stand_in_line;
    faults::arm(faults::kind::memory, 1, false);
    bool const failed = throws<std::bad_alloc>([&] { (void)in_use.wait(readiness::readable); });
    faults::disarm();
    faults::when_failing = nullptr;
    verify(failed);
    verify(latecomer.load() == nullptr);
  });
  other.join();
  CHECK(polled->close());
}
