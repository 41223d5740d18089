/// @file
/// The barrier that one side runs for both, where the kernel refuses it all of a sudden.

#include <weft/runtime/runtime.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/run_on.hpp"
#include "support/verify.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace weft::test;

namespace {

/// From now on the calling thread's membarrier(2) fails with EPERM, as a sandbox's might.
void forbid_membarrier() {
  std::array<sock_filter, 4> program{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_membarrier},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  sock_fprog const filter{static_cast<unsigned short>(program.size()), program.data()};
  verify(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  verify(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

bool has_membarrier() { return ::syscall(SYS_membarrier, 0, 0U, 0) > 0; }  // 0: which commands are there

}  // namespace

TEST_CASE("membarrier that is refused after it has worked ends the program, and says why", "[runtime]") {
  if (!has_membarrier()) return;
  CHECK(aborts_with("membarrier(2) worked when the program began and is refused now", [] {
    weft::runtime rt{on(1)};
    rt.run([] {});
    forbid_membarrier();
    std::ostringstream text;
    rt.dump(text);
  }));
}
