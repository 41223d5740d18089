#include <weft/runtime/fiber.hpp>

#include <system_error>

namespace weft::inline v0 {

namespace {

detail::fiber_record& joinable_record(detail::fiber_record* record, char const* call) {
  if (record == nullptr) throw std::system_error(std::make_error_code(std::errc::invalid_argument), call);
  return *record;
}

}  // namespace

void fiber::join() {
  (void)detail::join(joinable_record(record_, "weft::fiber::join: not joinable"), never, cancellation::heeded);
  detail::join_and_release(*std::exchange(record_, nullptr));
}

void fiber::detach() {
  detail::release_handle(joinable_record(record_, "weft::fiber::detach: not joinable"));
  record_ = nullptr;
}

void fiber::cancel(cancel_reason reason) const {
  detail::cancel(joinable_record(record_, "weft::fiber::cancel: not joinable"), reason);
}

bool fiber::request_stop(cancel_reason reason) noexcept {
  bool const first = stop_.request_stop();
  if (record_ != nullptr && !takes_token_) detail::cancel(*record_, reason);
  return first;
}

void fiber::drop() noexcept {
  if (record_ == nullptr) return;
  (void)request_stop(cancel_reason::handle_dropped);
  detail::join_and_release(*std::exchange(record_, nullptr));
}

}  // namespace weft::inline v0
