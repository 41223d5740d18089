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

bool after_wait(descriptor_outcome outcome, polled_descriptor::use& in_use, readiness what, bool tried,
                std::error_code& ec) {
  if (outcome == descriptor_outcome::no_fiber) {
    if (tried) (void)in_use.wait(what);  // which says so
    check_cancelled();
    return true;
  }
  if (outcome != descriptor_outcome::closed) return true;
  ec = closed_error();
  return false;
}

void open_descriptor::close() noexcept {
  if (polled_ != nullptr && polled_->close()) (void)calls_->close(polled_->number());
}

}  // namespace weft::inline v0::detail
