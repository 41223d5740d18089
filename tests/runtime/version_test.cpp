/// @file
/// The version, as macros and as an inline namespace.

#include <weft/runtime/config.hpp>

#include "support/catch.hpp"

#include <weft/runtime/error.hpp>

#include <type_traits>

TEST_CASE("the version is one comparable number, and part of every name", "[version]") {
  STATIC_REQUIRE(WEFT_VERSION == WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH);
  STATIC_REQUIRE(WEFT_VERSION_MAJOR == 0);  // with the next, the namespace's name changes too
  STATIC_REQUIRE(std::is_same_v<weft::error, weft::v0::error>);
}
