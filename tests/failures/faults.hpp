#pragma once
/// @file
/// A program linked with faults.cpp can have memory and system calls fail where it wants: it puts functions of its own
/// in front of operator new, aligned_alloc and the system calls that weft and libuv make to get something. libuv's own
/// malloc is counted but never fails: libuv itself aborts in some places where it does.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weft::test::faults {

enum class kind {
  memory,  ///< operator new in all its forms, and aligned_alloc
  system   ///< mmap, madvise, process_madvise, mprotect, pthread_create, timerfd_create, eventfd, epoll_create1
};

/// From now on, on any thread, the n-th call of `which` fails, and if `on_and_on` all later ones too.
void arm(kind which, std::uint64_t n, bool on_and_on) noexcept;
/// No call fails any more.  @returns how many have failed
std::uint64_t disarm() noexcept;
/// How many have failed since arm().
[[nodiscard]] std::uint64_t failed_so_far() noexcept;

/// Blocks from malloc and its kin that have not been freed.
[[nodiscard]] std::int64_t blocks_in_use() noexcept;

/// What is called on the thread whose call is about to fail, if it is not null. It must need nothing that could fail.
extern std::atomic<void (*)() noexcept> when_failing;

// Switches of their own: memory advice for guards fails, as on an older kernel; so does protection, as at the limit of
// mappings.
extern std::atomic<bool> no_guard_advice;
extern std::atomic<bool> no_protection;
// How often they have been asked for.
extern std::atomic<std::uint64_t> mappings_made;
extern std::atomic<std::uint64_t> protections_made;

}  // namespace weft::test::faults
