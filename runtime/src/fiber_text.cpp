#include "fiber_text.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <dlfcn.h>
#include <memory>
#include <string_view>

namespace weft::inline v0::detail {

namespace {

std::string hex(std::uintptr_t number) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "0x%zx", static_cast<std::size_t>(number));
  return text.data();
}

}  // namespace

std::string describe_code(void const* address) {
  Dl_info found{};
  if (::dladdr(address, &found) == 0) return hex(reinterpret_cast<std::uintptr_t>(address));
  auto const beyond = [address](void const* base) {
    return std::string(" +").append(
        hex(reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(base)));
  };
  if (found.dli_sname == nullptr) return std::string(found.dli_fname) + beyond(found.dli_fbase);
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const plain{abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, &status),
                                                     &std::free};
  return (plain != nullptr ? plain.get() : found.dli_sname) + beyond(found.dli_saddr);
}

/// From "... [with F = type]", as gcc has it, or "... [F = type]".
std::string type_of_callable(record_type const& type) {
  std::string_view function = type.callable;
  constexpr std::string_view before = "F = ";
  auto const begin = function.rfind('[');
  auto const name = function.find(before, function.find("name_of_callable"));
  if (begin == std::string_view::npos || name == std::string_view::npos) return std::string(function);
  function.remove_prefix(name + before.size());
  if (function.ends_with(']')) function.remove_suffix(1);
  return std::string(function);
}

std::string spawn_site(fiber_record const& fiber) {
  auto const* const extras = fiber.extras.load(std::memory_order_acquire);  // as in fiber_record::name()
  if (extras == nullptr || !extras->has_site()) return {};
  if (extras->file == nullptr) return describe_code(extras->code);
  return std::string(extras->file).append(":").append(std::to_string(extras->line));
}

}  // namespace weft::inline v0::detail
