#include "prepared_errors.hpp"

#include "stack_pool.hpp"

#include <new>
#include <string>

namespace weft::inline v0::detail {

prepared_errors::prepared_errors(std::uint8_t stack_class) {
  if (!has_room()) throw std::bad_alloc{};
  for (std::size_t reason = 0; reason < cancelled_.size(); ++reason) {
    cancelled_.at(reason) = std::make_exception_ptr(cancelled{static_cast<cancel_reason>(reason)});
  }
  no_stack_ = no_stack(stack_class);
}

std::exception_ptr prepared_errors::no_stack(std::uint8_t stack_class) {
  return std::make_exception_ptr(stack_unavailable(
      "weft: no stack of " + std::to_string(stack_pool::size_of(stack_class)) +
      " bytes could be had for a fiber: the address space, or vm.max_map_count where the kernel cannot install "
      "guards without splitting mappings, is used up"));
}

bool prepared_errors::has_room() noexcept {
  void* const room = ::operator new(4096, std::nothrow);
  ::operator delete(room);
  return room != nullptr;
}

}  // namespace weft::inline v0::detail
