#pragma once
/// @file
/// What reports say of a fiber's code.

#include <weft/runtime/detail/fiber_record.hpp>

#include <string>

namespace weft::inline v0::detail {

/// "function +0x12", as far as the program's dynamic symbols tell; else "module +0x1234", as addr2line takes it.
[[nodiscard]] std::string describe_code(void const* address);
/// The callable's type as the compiler writes it.
[[nodiscard]] std::string type_of_callable(record_type const& type);
/// "file.cpp:12", or describe_code() of where the spawn returned to; empty if that has not been noted.
[[nodiscard]] std::string spawn_site(fiber_record const& fiber);

}  // namespace weft::inline v0::detail
