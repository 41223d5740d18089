#include <weft/compat/errors.hpp>

#include <weft/compat/buffered_channel.hpp>

#include <string>

namespace weft::inline v0::compat {

namespace fibers {

namespace {

class future_error_category final : public std::error_category {
public:
  char const* name() const noexcept override { return "fiber-future"; }
  std::string message(int value) const override {
    switch (static_cast<future_errc>(value)) {
      case future_errc::broken_promise: return "the promise was destroyed before it had a result";
      case future_errc::future_already_retrieved: return "the future has been retrieved already";
      case future_errc::promise_already_satisfied: return "the result has been set already";
      case future_errc::no_state: return "there is no state";
    }
    return "unknown";
  }
};

}  // namespace

std::error_category const& future_category() noexcept {
  static future_error_category const category;
  return category;
}

std::error_code make_error_code(future_errc e) noexcept { return {static_cast<int>(e), future_category()}; }
std::error_condition make_error_condition(future_errc e) noexcept { return {static_cast<int>(e), future_category()}; }

future_uninitialized::future_uninitialized() : future_error(make_error_code(future_errc::no_state)) {}
future_already_retrieved::future_already_retrieved()
    : future_error(make_error_code(future_errc::future_already_retrieved)) {}
broken_promise::broken_promise() : future_error(make_error_code(future_errc::broken_promise)) {}
promise_already_satisfied::promise_already_satisfied()
    : future_error(make_error_code(future_errc::promise_already_satisfied)) {}
promise_uninitialized::promise_uninitialized() : future_error(make_error_code(future_errc::no_state)) {}
packaged_task_uninitialized::packaged_task_uninitialized() : future_error(make_error_code(future_errc::no_state)) {}

}  // namespace fibers

namespace detail {

std::size_t checked_capacity(std::size_t capacity) {
  if (capacity >= 2 && (capacity & (capacity - 1)) == 0) return capacity;
  throw fibers::fiber_error(std::make_error_code(std::errc::invalid_argument),
                            "weft: the capacity of a buffered_channel must be a power of two, and at least 2");
}

void throw_channel_closed() {
  throw fibers::fiber_error(std::make_error_code(std::errc::operation_not_permitted), "weft: the channel is closed");
}

}  // namespace detail
}  // namespace weft::inline v0::compat
