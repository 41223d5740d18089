#pragma once
/// @file
/// See identity.cpp.

namespace weft::test {
/// @returns 0 if all was right; otherwise a line on stderr says what was not
int check_identity();
}  // namespace weft::test
