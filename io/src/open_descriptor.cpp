#include <weft/io/detail/open_descriptor.hpp>

namespace weft::inline v0::detail {

open_descriptor::open_descriptor(int number, system_calls& calls) : calls_(&calls) {
  try {
    polled_ = polled_descriptor::make(number, calls.kind());
  } catch (...) {
    (void)calls.close(number);
    throw;
  }
  calls.watched(*polled_);
}

bool await_ready(polled_descriptor::use& in_use, readiness what, std::error_code& ec) {
  try {
    if (in_use.wait(what) != descriptor_outcome::closed) return true;
    ec = closed_error();
  } catch (std::system_error const& e) {
    ec = e.code();
  }
  return false;
}

void open_descriptor::close() noexcept {
  if (polled_ != nullptr && polled_->close()) (void)calls_->close(polled_->number());
}

}  // namespace weft::inline v0::detail
