#include <weft/io/exit_status.hpp>

#include <cstring>

namespace weft::inline v0::io {

namespace {

/// Null: unknown. Not from strsignal(), which may write into a place that all threads share.
char const* description(int signal) noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
  return ::sigdescr_np(signal);
#else
  (void)signal;
  return nullptr;
#endif
}

}  // namespace

std::string exit_status::to_string() const {
  if (how_ == how::exited) return std::string("exited with ").append(std::to_string(number_));
  std::string text = "ended by signal ";
  text.append(std::to_string(number_));
  if (char const* const name = description(number_); name != nullptr) text.append(" (").append(name).append(")");
  if (core_dumped()) text.append(", with a core dump");
  return text;
}

}  // namespace weft::inline v0::io
