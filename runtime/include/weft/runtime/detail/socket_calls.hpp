#pragma once
/// @file
/// The two system calls that a connection makes for each message, in line. The C library's are points of cancellation
/// for pthread_cancel(), which costs each two locked instructions; and each return after a system call is mispredicted,
/// because the kernel has used up what the processor had noted of the way back.

#include <cerrno>
#include <cstddef>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

// The C library's where something stands in front of them: a sanitizer, which has to see what is read and written.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEFT_LIBRARY_CALLS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define WEFT_LIBRARY_CALLS 1
#endif
#endif

namespace weft::inline v0::detail {

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(WEFT_LIBRARY_CALLS)

/// recvfrom() and sendto() without an address.  @returns what they return, or the negative error number
[[gnu::always_inline]] inline ssize_t socket_call(long number, int fd, void const* data, std::size_t size,
                                                  int flags) noexcept {
  register long r10 asm("r10") = flags;
  register long r8 asm("r8") = 0;
  register long r9 asm("r9") = 0;
  long result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(static_cast<long>(fd)), "S"(data), "d"(size), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
[[gnu::always_inline]] inline ssize_t kernel_recv(int fd, void* to, std::size_t size, int flags) noexcept {
  return socket_call(SYS_recvfrom, fd, to, size, flags);
}
[[gnu::always_inline]] inline ssize_t kernel_send(int fd, void const* from, std::size_t size, int flags) noexcept {
  return socket_call(SYS_sendto, fd, from, size, flags | MSG_NOSIGNAL);
}

#else

// Not in line: whoever calls may wait as well, and nothing of a thread, as `errno` is, is kept across a wait.
[[gnu::noinline]] inline ssize_t kernel_recv(int fd, void* to, std::size_t size, int flags) noexcept {
  auto const done = ::recv(fd, to, size, flags);
  return done < 0 ? -errno : done;
}
[[gnu::noinline]] inline ssize_t kernel_send(int fd, void const* from, std::size_t size, int flags) noexcept {
  auto const done = ::send(fd, from, size, flags | MSG_NOSIGNAL);
  return done < 0 ? -errno : done;
}

#endif
#undef WEFT_LIBRARY_CALLS

}  // namespace weft::inline v0::detail
